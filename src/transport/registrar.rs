//! Who decides whether an applicant is certified: the ledger's word, the authority's signature.
//!
//! It stands where the authority is, at the cloud manager. A group manager passes its nodes'
//! applications on, and vouches for the certificates that it saw: the caller of `decide` makes sure
//! that it vouches for its own nodes only.

use super::{
    authority::Authority,
    credentials::CertificateRequest,
    identity::Peer,
    ledger::{Ledger, Refused, Term},
    token::Secret,
};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// How long a certificate lasts. A host that is away for longer joins again.
pub const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug)]
pub struct Registrar {
    pub authority: Authority,
    pub ledger: Ledger,
    pub valid_for: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub request: CertificateRequest,
    pub proof: Proof,
}

/// Why the applicant should be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// It was invited, and calls itself so.
    Invitation { secret: Secret, name: String },
    /// It is a member, as the certificate says that it showed in the TLS handshake.
    Membership(Peer),
}

/// A certificate, and the authority's beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    pub certificate: Vec<u8>,
    pub authority: Vec<u8>,
}

impl Registrar {
    /// The ledger may have changed if this succeeds: keep it before the certificate goes out.
    pub fn decide(
        &mut self,
        application: &Application,
        now: SystemTime,
    ) -> Result<Certified, Refused> {
        let Application { request, proof } = application;
        let key = request.key().map_err(|_| Refused::MalformedRequest)?;
        let term = Term { key, until: now + self.valid_for };
        let identity = match proof {
            Proof::Invitation { secret, name } => self.ledger.accept(secret, name, term, now)?,
            Proof::Membership(member) => self.ledger.renew(member, term)?,
        };
        let certificate = self
            .authority
            .certify(request, &identity, now, self.valid_for)
            .map_err(|fault| Refused::Undecided(fault.to_string()))?;
        Ok(Certified {
            certificate: certificate.to_vec(),
            authority: self.authority.certificate().to_vec(),
        })
    }
}

impl Certified {
    pub(super) fn into_certificates(self) -> [CertificateDer<'static>; 2] {
        [self.certificate.into(), self.authority.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            credentials::{Credentials, ProcessKey},
            identity::Role,
        },
        *,
    };

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn an_invited_host_is_certified_and_renews_until_it_is_revoked() {
        let now = NOW + 20_000 * DAY;
        let mut registrar = Registrar {
            authority: Authority::create("lab", now).unwrap(),
            ledger: Ledger::new("lab"),
            valid_for: VALID_FOR,
        };
        let secret = Secret::generate();
        registrar.ledger.invite(&secret, Role::Node, "east", now + DAY);
        let mut certified = |proof, now| {
            let key = ProcessKey::generate();
            let application = Application { request: key.request().unwrap(), proof };
            let [own, authority] = registrar.decide(&application, now).unwrap().into_certificates();
            Credentials::new(key, own, authority).unwrap()
        };
        let joined = certified(Proof::Invitation { secret, name: "n1".into() }, now);
        assert_eq!(joined.own().identity.to_string(), "mallee://lab/node/east/n1");
        let renewed = certified(Proof::Membership(joined.own().clone()), joined.renew_at());
        assert!(renewed.own().valid_until > joined.own().valid_until);
        assert_ne!(renewed.own().key, joined.own().key);

        registrar.ledger.revoke(&renewed.own().identity);
        let application = Application {
            request: ProcessKey::generate().request().unwrap(),
            proof: Proof::Membership(renewed.own().clone()),
        };
        assert_eq!(registrar.decide(&application, now), Err(Refused::Revoked));
    }

    #[test]
    fn a_malformed_request_uses_no_invitation_up() {
        let mut registrar = Registrar {
            authority: Authority::create("lab", SystemTime::now()).unwrap(),
            ledger: Ledger::new("lab"),
            valid_for: VALID_FOR,
        };
        let secret = Secret::generate();
        registrar.ledger.invite(&secret, Role::Node, "east", NOW + DAY);
        let before = registrar.ledger.clone();
        let application = Application {
            request: CertificateRequest(b"no".to_vec()),
            proof: Proof::Invitation { secret, name: "n1".into() },
        };
        assert_eq!(registrar.decide(&application, NOW), Err(Refused::MalformedRequest));
        assert_eq!(registrar.ledger, before);
    }
}
