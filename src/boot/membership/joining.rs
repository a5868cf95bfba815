//! Becoming a member: a certificate for a token, and then what there is to know of the group.
//!
//! Asking again is harmless, and after a success it asks nobody. The key is on the disk before it is
//! sent for certification, so that a host which lost the answer asks for the same once more.

use super::{
    card::{Card, CardFault},
    desk::DeskFault,
    limits, system_clock,
    uplink::{Uplink, read_charter},
};
use crate::{
    actors::address::AskError,
    config::state_directory::{StateDirectory, write_private},
    domain::id::NodeName,
    messages::envelope::LinkFault,
    transport::{
        ReceiveFrom,
        credentials::{CredentialFault, Credentials, ProcessKey},
        fingerprint::Fingerprint,
        identity::{Identity, Role},
        join::{self, JoinFault},
        ledger::Refused,
        link::{Inspect, Link},
        token::JoinToken,
    },
};
use actix::Actor;
use std::{
    fs, io,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a parent that certified may take to say what the group is.
const CHARTER_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum JoiningFault {
    #[error(transparent)]
    Card(#[from] CardFault),
    #[error("this host is `{0}` already, which the token is not for")]
    Member(Identity),
    #[error("`{0}` cannot be a node's name: use lower-case letters, digits and hyphens")]
    Name(String),
    #[error("`{}`: {source}", .path.display())]
    Key { path: PathBuf, source: io::Error },
    #[error("`{}`: {source}", .path.display())]
    DamagedKey { path: PathBuf, source: CredentialFault },
    #[error(transparent)]
    Join(#[from] JoinFault),
    #[error("the parent certified this host and does not say what its group is: {0}")]
    NoCharter(String),
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    Now(Identity),
    Before(Identity),
}

/// Joins the cloud of the token, as `name` if that is for a node. A parent that is not there, or that
/// cannot ask the cloud, is asked again until the patience is out.
pub fn join(
    state: &StateDirectory,
    token: &JoinToken,
    name: &str,
    patience: Duration,
) -> Result<Joined, JoiningFault> {
    if let Some(card) = Card::find(state)? {
        let own = card.identity();
        let same = own.role() == token.role
            && own.group() == Some(&token.group)
            && Fingerprint::of(card.credentials.authority()) == token.authority;
        return match same {
            true => Ok(Joined::Before(own.clone())),
            false => Err(JoiningFault::Member(own.clone())),
        };
    }
    let name = match token.role {
        // A group has one manager, wherever it runs.
        Role::Group | Role::Cloud => token.group.as_str(),
        Role::Node => name,
    };
    name.parse::<NodeName>().map_err(|_| JoiningFault::Name(name.to_owned()))?;
    let key = own_key(state)?;
    let card = actix::System::new().block_on(async {
        let credentials = certified(token, name, &key, patience).await?;
        learn(token, credentials).await
    })?;
    card.keep(state)?;
    let path = state.joining_key();
    fs::remove_file(&path).map_err(|source| JoiningFault::Key { path, source })?;
    Ok(Joined::Now(card.identity().clone()))
}

fn own_key(state: &StateDirectory) -> Result<ProcessKey, JoiningFault> {
    let path = state.joining_key();
    match fs::read_to_string(&path) {
        Ok(pem) => {
            ProcessKey::from_pem(&pem).map_err(|source| JoiningFault::DamagedKey { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = ProcessKey::generate();
            write_private(&path, key.to_pem().as_bytes())
                .map_err(|source| JoiningFault::Key { path, source })?;
            Ok(key)
        }
        Err(source) => Err(JoiningFault::Key { path, source }),
    }
}

async fn certified(
    token: &JoinToken,
    name: &str,
    key: &ProcessKey,
    patience: Duration,
) -> Result<Credentials, JoinFault> {
    let begun = Instant::now();
    loop {
        match join::join(token, name, key, &limits(), &system_clock()).await {
            Err(JoinFault::Unreachable(why) | JoinFault::Refused(Refused::Undecided(why)))
                if begun.elapsed() < patience =>
            {
                log::info!("the parent is asked again: {why}");
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

async fn learn(token: &JoinToken, credentials: Credentials) -> Result<Card, JoiningFault> {
    let identity = credentials.own().identity.clone();
    let dial = Uplink::dial_of(&token.addresses, &credentials);
    let nothing: ReceiveFrom = Rc::new(|_, _| {
        Box::pin(async { Err(LinkFault::NotDelivered("the role has not begun yet".into())) })
    });
    let link = Link::dial(dial, nothing).start();
    let recipient = link.clone().recipient();
    let read = read_charter(&recipient, &identity);
    let why = match tokio::time::timeout(CHARTER_WITHIN, read).await {
        Ok(Ok(charter)) => {
            let credentials = Arc::new(credentials);
            return Ok(Card { addresses: token.addresses.clone(), charter, credentials });
        }
        Ok(Err(AskError::Refused(DeskFault::UnknownGroup(group)))) => {
            format!("it knows no group `{group}`")
        }
        Ok(Err(fault)) => fault.to_string(),
        Err(_) => match link.send(Inspect).await {
            Ok(state) => state.last_failure.unwrap_or_else(|| "no answer in time".to_owned()),
            Err(_) => "no answer in time".to_owned(),
        },
    };
    Err(JoiningFault::NoCharter(why))
}
