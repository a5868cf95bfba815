//! Getting a certificate over the network: the first by a token, the next by the one before.
//!
//! The joiner knows its parent by the authority's fingerprint in the token, sends its secret to
//! nobody else, and sends a request for a certificate, never a key. Asking again with the same key
//! is harmless. Who is certified is decided by whoever is given the application.

use super::{
    Clock,
    credentials::{CertificateRequest, CredentialFault, Credentials, ProcessKey},
    dial::{Call, Dial, Stream},
    fingerprint::Fingerprint,
    handshake::{GreetingFault, greeting, hear, say},
    identity::{Expected, Identity, Peer},
    ledger::Refused,
    limits::Limits,
    registrar::{Application, Certified, Proof},
    tls::{self, Protocol},
    token::{JoinToken, Secret},
};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// Decides on applications, or passes them on to who does.
pub type Register = Rc<dyn Fn(Application) -> LocalBoxFuture<'static, Result<Certified, Refused>>>;

#[derive(Serialize, Deserialize)]
enum Asks {
    ToJoin { secret: Secret, name: String, request: CertificateRequest },
    ToRenew { request: CertificateRequest },
}

#[derive(Debug, thiserror::Error)]
pub enum JoinFault {
    #[error("the token has expired")]
    Expired,
    #[error("the parent cannot be reached: {0}")]
    Unreachable(String),
    #[error("the parent refused: {0}")]
    Refused(#[source] Refused),
    #[error("the parent sent a certificate that is not what was asked for: {0}")]
    NotAskedFor(String),
    #[error(transparent)]
    Credentials(#[from] CredentialFault),
}

/// Makes `name`, with its key, a member of the cloud that the token is of.
pub async fn join(
    token: &JoinToken,
    name: &str,
    key: &ProcessKey,
    limits: &Limits,
    clock: &Clock,
) -> Result<Credentials, JoinFault> {
    if clock() >= token.expires {
        return Err(JoinFault::Expired);
    }
    let identity = Identity::member(&token.cloud, token.role, &token.group, name)
        .map_err(|fault| JoinFault::Credentials(fault.into()))?;
    let call = Call {
        protocol: Protocol::Join,
        addresses: &token.addresses,
        credentials: None,
        authority: token.authority,
        expected: &Expected::parent_of(&token.cloud, token.role, identity.group()),
        clock,
        within: limits.connect_within,
    };
    let (stream, _) = call.connect().await.map_err(JoinFault::Unreachable)?;
    let asks = Asks::ToJoin {
        secret: token.secret.clone(),
        name: name.to_owned(),
        request: key.request()?,
    };
    let wanted = Wanted { key, identity: &identity, authority: token.authority, clock };
    wanted.ask(stream, asks, limits).await
}

/// The next certificate of a member, for a new key.
pub async fn renew(dial: &Dial, key: &ProcessKey) -> Result<Credentials, JoinFault> {
    let own = dial.credentials.get();
    let (stream, _) = dial.connect(Protocol::Join, &own).await.map_err(JoinFault::Unreachable)?;
    let wanted = Wanted {
        key,
        identity: &own.own().identity,
        authority: Fingerprint::of(own.authority()),
        clock: &dial.clock,
    };
    wanted.ask(stream, Asks::ToRenew { request: key.request()? }, &dial.limits).await
}

struct Wanted<'a> {
    key: &'a ProcessKey,
    identity: &'a Identity,
    authority: Fingerprint,
    clock: &'a Clock,
}

impl Wanted<'_> {
    async fn ask(
        &self,
        stream: Stream,
        asks: Asks,
        limits: &Limits,
    ) -> Result<Credentials, JoinFault> {
        let mut framed = greeting(stream);
        let exchange = async {
            say(&mut framed, &asks).await?;
            hear::<_, Result<Certified, Refused>>(&mut framed).await
        };
        let certified = timeout(limits.connect_within, exchange)
            .await
            .map_err(|_| JoinFault::Unreachable("it did not answer in time".into()))?
            .map_err(|fault| JoinFault::Unreachable(fault.to_string()))?
            .map_err(JoinFault::Refused)?;
        self.check(certified)
    }

    /// A parent that errs should be found out now, not by everybody else later.
    fn check(&self, certified: Certified) -> Result<Credentials, JoinFault> {
        let unwanted = |why: &str| JoinFault::NotAskedFor(why.to_owned());
        let [certificate, authority] = certified.into_certificates();
        if Fingerprint::of(&authority) != self.authority {
            return Err(unwanted("it is of another authority"));
        }
        tls::certified(&certificate, &authority, tls::unix_time(self.clock))
            .map_err(|fault| JoinFault::NotAskedFor(fault.to_string()))?;
        let credentials = Credentials::new(self.key.clone(), certificate, authority)?;
        if credentials.own().identity != *self.identity {
            return Err(unwanted("it is of another name"));
        }
        Ok(credentials)
    }
}

/// The listener's part. `member` is who showed a certificate, if the joiner did. What was
/// decided, and for whom, in words for the log.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    member: Option<Peer>,
    register: &Register,
) -> Result<String, GreetingFault> {
    let mut framed = greeting(stream);
    let (applicant, application) = match hear(&mut framed).await? {
        Asks::ToJoin { secret, name, request } => {
            let proof = Proof::Invitation { secret, name: name.clone() };
            (name, Application { request, proof })
        }
        Asks::ToRenew { request } => {
            let member = member.ok_or_else(|| {
                GreetingFault::Refused("it would renew a certificate and showed none".into())
            })?;
            let applicant = member.identity.to_string();
            (applicant, Application { request, proof: Proof::Membership(member) })
        }
    };
    let decision = register(application).await;
    say(&mut framed, &decision).await?;
    futures_util::SinkExt::<bytes::Bytes>::close(&mut framed).await?;
    match decision {
        Ok(_) => Ok(applicant),
        Err(refused) => Err(GreetingFault::Refused(format!("`{applicant}`: {refused}"))),
    }
}
