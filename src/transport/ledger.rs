//! What the issuer of tokens remembers: who was invited, who came, and who was shown the door.
//!
//! Plain data and pure decisions, to be kept by whoever holds it: a change counts once it is
//! durable, so write it down before the certificate goes out. Secrets are kept as hashes. An
//! invitation admits one key under one name, as often as that key comes before the invitation
//! expires: a joiner that missed the answer asks again. A name belongs to whoever holds a key
//! certified for it, until that is revoked or its last certificate has ended.

use super::{
    fingerprint::Fingerprint,
    identity::{Identity, Peer, Role},
    token::Secret,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::SystemTime};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    cloud: String,
    /// By the secret's hash.
    invitations: BTreeMap<Fingerprint, Invitation>,
    /// The keys certified for each identity: a former one too, since renewing early does not end
    /// the certificate before, and revoking a member must reach all it has.
    members: BTreeMap<Identity, BTreeMap<Fingerprint, SystemTime>>,
    /// Keys that are not believed, until when no certificate of theirs is valid any more.
    revoked: BTreeMap<Fingerprint, SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub role: Role,
    pub group: String,
    pub expires: SystemTime,
    /// `None`: nobody came yet.
    pub accepted: Option<Accepted>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub identity: Identity,
    pub key: Fingerprint,
}

/// A key, and until when a certificate of it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub key: Fingerprint,
    pub until: SystemTime,
}

/// Why somebody is not certified. Said to the joiner, who cannot be told more than it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    #[error("the token is not known here")]
    UnknownToken,
    #[error("the token has expired")]
    ExpiredToken,
    #[error("the token was used by another host")]
    UsedToken,
    #[error("`{0}` is another host's name; revoke that one first, or choose another name")]
    NameTaken(String),
    #[error("`{0}` cannot be a host's name")]
    MalformedName(String),
    #[error("the certificate of this host was revoked")]
    Revoked,
    #[error("`{0}` is not a member of this cloud")]
    NotAMember(String),
    #[error("the request for a certificate is malformed or not signed by its own key")]
    MalformedRequest,
    /// Whoever decides cannot be asked now; nothing was decided.
    #[error("nobody can decide now: {0}")]
    Undecided(String),
}

impl Ledger {
    pub fn new(cloud: &str) -> Ledger {
        Ledger {
            cloud: cloud.to_owned(),
            invitations: BTreeMap::new(),
            members: BTreeMap::new(),
            revoked: BTreeMap::new(),
        }
    }

    pub fn invite(&mut self, secret: &Secret, role: Role, group: &str, expires: SystemTime) {
        let invitation = Invitation { role, group: group.to_owned(), expires, accepted: None };
        self.invitations.insert(secret.fingerprint(), invitation);
    }

    /// The identity that the key of `term` may be certified for, having shown `secret`.
    pub fn accept(
        &mut self,
        secret: &Secret,
        name: &str,
        term: Term,
        now: SystemTime,
    ) -> Result<Identity, Refused> {
        let key = term.key;
        let invitation =
            self.invitations.get_mut(&secret.fingerprint()).ok_or(Refused::UnknownToken)?;
        if now >= invitation.expires {
            return Err(Refused::ExpiredToken);
        }
        if self.revoked.contains_key(&key) {
            return Err(Refused::Revoked);
        }
        let identity = Identity::member(&self.cloud, invitation.role, &invitation.group, name)
            .map_err(|_| Refused::MalformedName(name.to_owned()))?;
        let accepted = Accepted { identity: identity.clone(), key };
        if invitation.accepted.as_ref().is_some_and(|before| *before != accepted) {
            return Err(Refused::UsedToken);
        }
        let keys = self.members.get(&identity);
        if keys.is_some_and(|keys| !keys.contains_key(&key)) {
            return Err(Refused::NameTaken(name.to_owned()));
        }
        invitation.accepted = Some(accepted);
        self.certified(&identity, term);
        Ok(identity)
    }

    /// The identity that the next key of a member may be certified for. A member that missed the
    /// answer to its last renewal still has the key before, and that is good enough.
    pub fn renew(&mut self, member: &Peer, next: Term) -> Result<Identity, Refused> {
        if self.is_revoked(member) || self.revoked.contains_key(&next.key) {
            return Err(Refused::Revoked);
        }
        let keys = self.members.get(&member.identity);
        if !keys.is_some_and(|keys| keys.contains_key(&member.key)) {
            return Err(Refused::NotAMember(member.identity.to_string()));
        }
        self.certified(&member.identity, next);
        Ok(member.identity.clone())
    }

    fn certified(&mut self, identity: &Identity, term: Term) {
        let keys = self.members.entry(identity.clone()).or_default();
        let until = keys.entry(term.key).or_insert(term.until);
        *until = (*until).max(term.until);
    }

    /// Ends the membership of `identity`: no key it has or had and no token it used is of use any
    /// more, and its name is free. What was revoked, to be told to whoever listens for members.
    pub fn revoke(&mut self, identity: &Identity) -> Vec<Term> {
        let terms = self.members.remove(identity).unwrap_or_default();
        self.revoked.extend(terms.clone());
        terms.into_iter().map(|(key, until)| Term { key, until }).collect()
    }

    /// Whether a certificate is no longer believed, though the authority signed it.
    pub fn is_revoked(&self, peer: &Peer) -> bool {
        self.revoked.contains_key(&peer.key)
    }

    /// The cloud whose members these are.
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    /// Every key that is not believed, and until when there are certificates of it.
    pub fn revoked(&self) -> impl Iterator<Item = Term> {
        self.revoked.iter().map(|(&key, &until)| Term { key, until })
    }

    pub fn members(&self) -> impl Iterator<Item = &Identity> {
        self.members.keys()
    }

    /// Drops what can make no difference any more.
    pub fn tidy(&mut self, now: SystemTime) {
        self.invitations.retain(|_, invitation| now < invitation.expires);
        self.revoked.retain(|_, until| now < *until);
        for keys in self.members.values_mut() {
            keys.retain(|_, until| now < *until);
        }
        self.members.retain(|_, keys| !keys.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    fn invited() -> (Ledger, Secret) {
        let mut ledger = Ledger::new("lab");
        let secret = Secret::generate();
        ledger.invite(&secret, Role::Node, "east", NOW + HOUR);
        (ledger, secret)
    }

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of(name.as_bytes())
    }

    fn term(name: &str) -> Term {
        Term { key: key(name), until: NOW + 24 * HOUR }
    }

    fn peer(identity: &Identity, key: Fingerprint) -> Peer {
        Peer {
            identity: identity.clone(),
            certificate: key,
            key,
            valid_from: NOW,
            valid_until: NOW + 24 * HOUR,
        }
    }

    #[test]
    fn an_invitation_names_role_and_group_and_the_joiner_its_name() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        assert_eq!(identity.to_string(), "mallee://lab/node/east/n1");
        assert_eq!(ledger.members().collect::<Vec<_>>(), [&identity]);
    }

    #[test]
    fn a_repeat_of_the_same_join_is_accepted_again() {
        let (mut ledger, secret) = invited();
        let first = ledger.accept(&secret, "n1", term("a"), NOW);
        let before = ledger.clone();
        assert_eq!(ledger.accept(&secret, "n1", term("a"), NOW + HOUR / 2), first);
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_used_invitation_admits_no_other_key_and_no_other_name() {
        let (mut ledger, secret) = invited();
        ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let before = ledger.clone();
        for (name, of) in [("n1", "b"), ("n2", "b"), ("n2", "a")] {
            let refused = ledger.accept(&secret, name, term(of), NOW);
            assert_eq!(refused, Err(Refused::UsedToken), "{name} {of}");
        }
        assert_eq!(ledger, before, "a refusal changes nothing");
    }

    #[test]
    fn an_invitation_is_good_until_it_expires_even_for_whom_it_admitted() {
        let (mut ledger, secret) = invited();
        let last = NOW + HOUR - Duration::from_secs(1);
        ledger.accept(&secret, "n1", term("a"), last).unwrap();
        let refused = ledger.accept(&secret, "n1", term("a"), NOW + HOUR);
        assert_eq!(refused, Err(Refused::ExpiredToken));
    }

    #[test]
    fn nobody_comes_without_an_invitation_or_with_a_name_that_is_none() {
        let (mut ledger, secret) = invited();
        let before = ledger.clone();
        let refused = ledger.accept(&Secret::generate(), "n1", term("a"), NOW);
        assert_eq!(refused, Err(Refused::UnknownToken));
        let refused = ledger.accept(&secret, "../n1", term("a"), NOW);
        assert_eq!(refused, Err(Refused::MalformedName("../n1".into())));
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_name_stays_with_its_key_until_that_is_revoked() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let second = Secret::generate();
        ledger.invite(&second, Role::Node, "east", NOW + HOUR);
        let refused = ledger.accept(&second, "n1", term("b"), NOW);
        assert_eq!(refused, Err(Refused::NameTaken("n1".into())));

        assert_eq!(ledger.revoke(&identity), [term("a")]);
        assert_eq!(ledger.accept(&second, "n1", term("b"), NOW), Ok(identity.clone()));
        assert!(ledger.is_revoked(&peer(&identity, key("a"))));
        assert!(!ledger.is_revoked(&peer(&identity, key("b"))));
    }

    #[test]
    fn a_revoked_key_cannot_come_back_by_any_way() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        ledger.revoke(&identity);
        assert_eq!(ledger.accept(&secret, "n1", term("a"), NOW), Err(Refused::Revoked));
        let member = peer(&identity, key("a"));
        assert_eq!(ledger.renew(&member, term("b")), Err(Refused::Revoked));
        assert_eq!(ledger.revoke(&identity), []);
    }

    #[test]
    fn a_member_renews_with_a_new_key_and_may_repeat_that_with_another() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let member = peer(&identity, key("a"));
        assert_eq!(ledger.renew(&member, term("b")), Ok(identity.clone()));
        assert_eq!(ledger.renew(&member, term("b")), Ok(identity.clone()), "the answer was lost");
        assert_eq!(ledger.renew(&member, term("c")), Ok(identity.clone()), "and the key too");
        assert_eq!(ledger.renew(&peer(&identity, key("c")), term("d")), Ok(identity));
    }

    #[test]
    fn nobody_renews_what_was_not_certified_here() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let before = ledger.clone();
        let refused = ledger.renew(&peer(&identity, key("x")), term("y"));
        assert_eq!(refused, Err(Refused::NotAMember(identity.to_string())));
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_name_is_free_when_its_last_certificate_has_ended() {
        let (mut ledger, secret) = invited();
        ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let later = NOW + 24 * HOUR;
        ledger.tidy(later);
        assert_eq!(ledger.members().count(), 0);
        let second = Secret::generate();
        ledger.invite(&second, Role::Node, "east", later + HOUR);
        ledger.accept(&second, "n1", term("b"), later).unwrap();
    }

    #[test]
    fn revoking_reaches_the_keys_that_were_renewed_too() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let member = peer(&identity, key("a"));
        let next = Term { key: key("b"), until: NOW + 48 * HOUR };
        ledger.renew(&member, next).unwrap();
        assert_eq!(ledger.revoke(&identity).len(), 2);
        assert!(ledger.is_revoked(&member));
        assert!(ledger.is_revoked(&peer(&identity, key("b"))));
        ledger.tidy(NOW + 24 * HOUR);
        assert!(ledger.is_revoked(&peer(&identity, key("b"))), "as long as it is valid");
    }

    #[test]
    fn what_can_make_no_difference_is_dropped_and_the_rest_kept() {
        let (mut ledger, secret) = invited();
        let identity = ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        ledger.revoke(&identity);
        ledger.tidy(NOW + HOUR);
        assert_eq!(ledger.accept(&secret, "n1", term("b"), NOW), Err(Refused::UnknownToken));
        assert!(ledger.is_revoked(&peer(&identity, key("a"))));
        ledger.tidy(NOW + 24 * HOUR);
        assert!(!ledger.is_revoked(&peer(&identity, key("a"))));
    }

    #[test]
    fn a_ledger_kept_as_records_are_is_the_same_ledger_and_holds_no_secret() {
        let (mut ledger, secret) = invited();
        ledger.accept(&secret, "n1", term("a"), NOW).unwrap();
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        let bytes = serde_json::to_string(&secret).unwrap();
        assert!(!text.contains(&bytes));
    }
}
