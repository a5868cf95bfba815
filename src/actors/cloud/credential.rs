//! Credentials of users: decisions. Certificates are read and made by `api::certificate`.

use super::{
    account::{base32, new_access_key},
    command::Decide,
};
use crate::domain::{
    account::{AccessKey, Account},
    cloud_state::Entry,
    credential::{self, CredentialFault, CredentialKind, CredentialStatus, check_room},
    draft::Draft,
    fault::CloudFault,
    id::AccountId,
    signing_certificate::SigningCertificate,
};
use crate::messages::cloud::credential::{
    CreateAccessKey, DeleteAccessKey, DeleteSigningCertificate, RecordSigningCertificate,
    UpdateAccessKey, UpdateSigningCertificate,
};
use std::sync::Arc;

impl Decide for CreateAccessKey {
    fn decide(self, draft: &mut Draft<'_>) -> Result<AccessKey, CloudFault> {
        let holder = holder(&self.user, draft)?;
        let held = draft.state.access_keys_of(&holder.id).count();
        check_room(CredentialKind::AccessKey, held, &holder)?;
        let role = draft.state.role_of(&holder.id);
        let key = AccessKey { issued: true, ..new_access_key(holder.id.clone(), role, draft) };
        draft.put(Entry::AccessKey(Arc::new(key.clone())));
        Ok(key)
    }
}

impl Decide for UpdateAccessKey {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let key = access_key(&self.user, &self.id, draft)?;
        if self.status == CredentialStatus::Inactive && key.is_configured() {
            return Err(CredentialFault::Configured(self.id).into());
        }
        if key.status != self.status {
            let changed = AccessKey { status: self.status, ..AccessKey::clone(&key) };
            draft.put(Entry::AccessKey(Arc::new(changed)));
        }
        Ok(())
    }
}

impl Decide for DeleteAccessKey {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let key = access_key(&self.user, &self.id, draft)?;
        if key.is_configured() {
            return Err(CredentialFault::Configured(self.id).into());
        }
        draft.remove(Entry::AccessKey(key));
        Ok(())
    }
}

impl Decide for RecordSigningCertificate {
    fn decide(self, draft: &mut Draft<'_>) -> Result<SigningCertificate, CloudFault> {
        let holder = holder(&self.user, draft)?;
        // Certificates of one key are one sender's; were they two users', either could be taken for the
        // other by who changes the certificate on the way.
        let is_others = |one: &Arc<SigningCertificate>| {
            one.fingerprint == self.fingerprint || one.key == self.key && one.account != holder.id
        };
        if draft.state.signing_certificates.values().any(is_others) {
            return Err(CredentialFault::DuplicateCertificate.into());
        }
        let held = draft.state.signing_certificates_of(&holder.id).count();
        check_room(CredentialKind::SigningCertificate, held, &holder)?;
        let certificate = SigningCertificate {
            // As long as AWS' own.
            id: base32(&mut [0; 32], draft.chance),
            fingerprint: self.fingerprint,
            key: self.key,
            body: self.body,
            account: holder.id.clone(),
            status: CredentialStatus::Active,
            uploaded_at: draft.now,
        };
        draft.put(Entry::SigningCertificate(Arc::new(certificate.clone())));
        Ok(certificate)
    }
}

impl Decide for UpdateSigningCertificate {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let certificate = signing_certificate(&self.user, &self.id, draft)?;
        if certificate.status != self.status {
            let changed = SigningCertificate {
                status: self.status,
                ..SigningCertificate::clone(&certificate)
            };
            draft.put(Entry::SigningCertificate(Arc::new(changed)));
        }
        Ok(())
    }
}

impl Decide for DeleteSigningCertificate {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let certificate = signing_certificate(&self.user, &self.id, draft)?;
        draft.remove(Entry::SigningCertificate(certificate));
        Ok(())
    }
}

fn holder(user: &Option<String>, draft: &Draft<'_>) -> Result<Arc<Account>, CredentialFault> {
    credential::holder(&draft.state, draft.caller, user.as_deref())
}

/// A credential is the named user's, or it is not there.
fn access_key(
    user: &Option<String>,
    id: &str,
    draft: &Draft<'_>,
) -> Result<Arc<AccessKey>, CredentialFault> {
    let holder = holder(user, draft)?;
    let key = draft.state.access_keys.get(id).filter(|key| key.account == holder.id);
    key.cloned().ok_or_else(|| not_found(CredentialKind::AccessKey, id, &holder))
}

fn signing_certificate(
    user: &Option<String>,
    id: &str,
    draft: &Draft<'_>,
) -> Result<Arc<SigningCertificate>, CredentialFault> {
    let holder = holder(user, draft)?;
    let named: (AccountId, String) = (holder.id.clone(), id.to_owned());
    let fingerprint = draft.state.signing_certificates_held.get(&named);
    let certificate = fingerprint.and_then(|print| draft.state.signing_certificates.get(print));
    certificate.cloned().ok_or_else(|| not_found(CredentialKind::SigningCertificate, id, &holder))
}

fn not_found(kind: CredentialKind, id: &str, holder: &Account) -> CredentialFault {
    CredentialFault::NotFound { kind, id: id.to_owned(), user: holder.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        account::{Caller, Role, SecretKey},
        chance::Counting,
        cloud_state::{Change, CloudState},
        scope::Scope,
        settings::CloudSettings,
        signing_certificate::CertificateFingerprint,
        time::Timestamp,
    };

    const ROOT: &str = "000000000001";
    const ALICE: &str = "000000000002";

    /// A root account with the configuration's key, and alice with the key of her account.
    struct World {
        state: CloudState,
        chance: Counting,
    }

    impl World {
        fn new() -> World {
            let mut state = CloudState::default();
            for (id, name, role) in
                [(ROOT, "root", Role::Administrator), (ALICE, "alice", Role::User)]
            {
                let account =
                    Account { id: id.parse().unwrap(), name: name.to_owned(), created_at: NOW };
                let key = AccessKey {
                    id: format!("AKIA{}", name.to_uppercase()),
                    secret: SecretKey("s".to_owned()),
                    account: account.id.clone(),
                    role,
                    created_at: NOW,
                    status: CredentialStatus::Active,
                    issued: false,
                };
                state.apply(&Change::Put(Entry::Account(Arc::new(account))));
                state.apply(&Change::Put(Entry::AccessKey(Arc::new(key))));
            }
            World { state, chance: Counting::default() }
        }

        /// What is refused leaves the world as it was.
        fn decide<C: Decide>(&mut self, by: &str, command: C) -> Result<C::Reply, CloudFault> {
            let account: AccountId = by.parse().unwrap();
            let role = self.state.role_of(&account);
            let caller = Caller { account: account.clone(), role };
            let scope = Scope { account, region: "local".parse().unwrap() };
            let settings = CloudSettings::for_tests();
            let mut draft =
                Draft::new(&self.state, &settings, &caller, scope, NOW, &mut self.chance);
            let reply = command.decide(&mut draft)?;
            self.state = draft.decided().state;
            Ok(reply)
        }

        fn certificate(&mut self, by: &str, digest: u8) -> Result<SigningCertificate, CloudFault> {
            self.certificate_of(by, digest, digest)
        }

        fn certificate_of(
            &mut self,
            by: &str,
            key: u8,
            digest: u8,
        ) -> Result<SigningCertificate, CloudFault> {
            let [key, fingerprint] =
                [key, digest].map(|digest| CertificateFingerprint::of_digest([digest; 32]));
            let body = format!("certificate {digest}");
            self.decide(by, RecordSigningCertificate { user: None, fingerprint, key, body })
        }
    }

    const NOW: Timestamp = Timestamp(1000);

    fn user(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn is<T: std::fmt::Debug>(refused: Result<T, CloudFault>, fault: CredentialFault) {
        assert_eq!(refused.unwrap_err(), CloudFault::Credential(fault));
    }

    #[test]
    fn a_key_is_its_users_with_the_users_role_and_there_are_two_at_most() {
        let mut world = World::new();
        let mine = world.decide(ALICE, CreateAccessKey { user: None }).unwrap();
        assert_eq!((mine.account.as_str(), mine.role, mine.issued), (ALICE, Role::User, true));
        assert!(mine.id.starts_with("AKIA") && mine.id.len() == 20 && mine.secret.0.len() == 40);
        let exceeded = CredentialFault::LimitExceeded {
            kind: CredentialKind::AccessKey,
            user: "alice".to_owned(),
        };
        is(world.decide(ALICE, CreateAccessKey { user: None }), exceeded.clone());
        is(world.decide(ROOT, CreateAccessKey { user: user("alice") }), exceeded);
        let roots = world.decide(ROOT, CreateAccessKey { user: None }).unwrap();
        assert_eq!((roots.account.as_str(), roots.role), (ROOT, Role::Administrator));
        assert!(!roots.is_configured());
    }

    #[test]
    fn an_administrators_key_for_somebody_else_has_no_more_power_than_that_one() {
        let key = World::new().decide(ROOT, CreateAccessKey { user: user("alice") }).unwrap();
        assert_eq!((key.account.as_str(), key.role), (ALICE, Role::User));
    }

    #[test]
    fn a_key_is_put_out_of_use_and_back_and_deleted_once() {
        let mut world = World::new();
        let id = || "AKIAALICE".to_owned();
        for status in [CredentialStatus::Inactive, CredentialStatus::Active] {
            let update = UpdateAccessKey { user: None, id: id(), status };
            world.decide(ALICE, update).unwrap();
            assert_eq!(world.state.access_keys.get(&id()).unwrap().status, status);
        }
        world.decide(ALICE, DeleteAccessKey { user: None, id: id() }).unwrap();
        assert!(world.state.access_keys_of(&ALICE.parse().unwrap()).next().is_none());
        let kind = CredentialKind::AccessKey;
        let gone = CredentialFault::NotFound { kind, id: id(), user: "alice".to_owned() };
        is(world.decide(ALICE, DeleteAccessKey { user: None, id: id() }), gone);
    }

    #[test]
    fn the_configurations_key_stays_so_that_no_administrator_is_locked_out() {
        let mut world = World::new();
        let id = || "AKIAROOT".to_owned();
        let kept = CredentialFault::Configured(id());
        is(world.decide(ROOT, DeleteAccessKey { user: None, id: id() }), kept.clone());
        let off = UpdateAccessKey { user: None, id: id(), status: CredentialStatus::Inactive };
        is(world.decide(ROOT, off), kept);
        let on = UpdateAccessKey { user: None, id: id(), status: CredentialStatus::Active };
        world.decide(ROOT, on).unwrap();
        let issued = world.decide(ROOT, CreateAccessKey { user: None }).unwrap();
        world.decide(ROOT, DeleteAccessKey { user: None, id: issued.id }).unwrap();
    }

    #[test]
    fn nobody_but_an_administrator_sees_to_the_credentials_of_others() {
        let mut world = World::new();
        let id = || "AKIAROOT".to_owned();
        is(world.decide(ALICE, CreateAccessKey { user: user("root") }), CredentialFault::Others);
        let delete = DeleteAccessKey { user: user("root"), id: id() };
        is(world.decide(ALICE, delete), CredentialFault::Others);
        // Without a name, one's own is meant.
        let kind = CredentialKind::AccessKey;
        let own = CredentialFault::NotFound { kind, id: id(), user: "alice".to_owned() };
        is(world.decide(ALICE, DeleteAccessKey { user: None, id: id() }), own);
        let nobody = CredentialFault::UserNotFound("bob".to_owned());
        is(world.decide(ROOT, CreateAccessKey { user: user("bob") }), nobody);
    }

    #[test]
    fn a_certificate_is_found_by_its_bytes_and_by_its_holder_until_it_is_deleted() {
        let mut world = World::new();
        let made = world.certificate(ALICE, 1).unwrap();
        let print = CertificateFingerprint::of_digest([1; 32]);
        assert_eq!(**world.state.signing_certificates.get(&print).unwrap(), made);
        assert_eq!((made.is_active(), made.uploaded_at), (true, NOW));
        let alice = ALICE.parse().unwrap();
        assert_eq!(world.state.signing_certificates_of(&alice).count(), 1);
        let update = UpdateSigningCertificate {
            user: None,
            id: made.id.clone(),
            status: CredentialStatus::Inactive,
        };
        world.decide(ALICE, update).unwrap();
        assert!(!world.state.signing_certificates.get(&print).unwrap().is_active());
        let delete = || DeleteSigningCertificate { user: user("alice"), id: made.id.clone() };
        world.decide(ROOT, delete()).unwrap();
        assert!(!world.state.signing_certificates.contains_key(&print));
        assert_eq!(world.state.signing_certificates_of(&alice).count(), 0);
        let kind = CredentialKind::SigningCertificate;
        let (id, user) = (made.id.clone(), "alice".to_owned());
        is(world.decide(ROOT, delete()), CredentialFault::NotFound { kind, id, user });
    }

    #[test]
    fn a_key_has_certificates_of_one_user_only() {
        let mut world = World::new();
        world.certificate_of(ALICE, 1, 10).unwrap();
        is(world.certificate_of(ROOT, 1, 11), CredentialFault::DuplicateCertificate);
        // One's own is renewed.
        world.certificate_of(ALICE, 1, 12).unwrap();
    }

    #[test]
    fn a_certificate_is_on_record_once_and_a_user_has_two_at_most() {
        let mut world = World::new();
        world.certificate(ALICE, 1).unwrap();
        is(world.certificate(ROOT, 1), CredentialFault::DuplicateCertificate);
        world.certificate(ALICE, 2).unwrap();
        let kind = CredentialKind::SigningCertificate;
        let exceeded = CredentialFault::LimitExceeded { kind, user: "alice".to_owned() };
        is(world.certificate(ALICE, 3), exceeded);
        let roots = world.certificate(ROOT, 3).unwrap();
        let kind = CredentialKind::SigningCertificate;
        let (id, user) = (roots.id.clone(), "alice".to_owned());
        let others = DeleteSigningCertificate { user: None, id: roots.id };
        is(world.decide(ALICE, others), CredentialFault::NotFound { kind, id, user });
    }
}
