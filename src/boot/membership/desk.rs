//! Whom a child asks about its membership: what group it is in, and for its next certificate. And
//! whom the cloud tells which certificates are not believed any more.

use super::registry::Registry;
use crate::{
    actors::{
        address::Call,
        switchboard::{Switchboard, serves},
    },
    config::state_directory::{create_private_directory, write_private},
    domain::{id::GroupName, settings::GroupCharter},
    messages::Ask,
    transport::{
        fingerprint::Fingerprint,
        identity::{Identity, Peer, Role},
        ledger::{Refused, Term},
        registrar::{Application, Certified, Proof},
    },
};
use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// From a child: what is it to know of its group?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadCharter {
    pub group: GroupName,
}

/// To a group: these keys are not believed any more. The whole list, every time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeRevoked {
    pub revoked: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DeskFault {
    #[error("there is no group `{0}`")]
    UnknownGroup(GroupName),
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
}

impl Ask for ReadCharter {
    type Reply = GroupCharter;
    type Fault = DeskFault;
    const NAME: &'static str = "membership.read_charter";
}

impl Ask for TakeRevoked {
    type Reply = ();
    type Fault = DeskFault;
    const NAME: &'static str = "membership.take_revoked";
}

impl Ask for Application {
    type Reply = Certified;
    type Fault = Refused;
    const NAME: &'static str = "membership.certify";
}

/// Says what a group is, to its manager or to its nodes.
#[derive(Debug)]
pub struct CharterDesk {
    pub charters: BTreeMap<GroupName, GroupCharter>,
}

impl Actor for CharterDesk {
    type Context = Context<Self>;
}

serves!(CharterDesk: ReadCharter);

impl CharterDesk {
    /// A child asks for its own group's.
    pub fn furnish(desk: &Addr<CharterDesk>, child: &Identity, board: &mut Switchboard) {
        let own = child.group().unwrap_or_default().to_owned();
        board.serve_if(desk.clone(), move |asked: &ReadCharter| asked.group.as_str() == own);
    }
}

impl Handler<Call<ReadCharter>> for CharterDesk {
    type Result = Result<GroupCharter, DeskFault>;

    fn handle(&mut self, call: Call<ReadCharter>, _: &mut Self::Context) -> Self::Result {
        let group = call.body.group;
        self.charters.get(&group).cloned().ok_or(DeskFault::UnknownGroup(group))
    }
}

/// Beside the cloud manager: certificates for nodes, by way of their groups.
#[derive(Debug)]
pub struct CertificateDesk {
    pub registry: Arc<Registry>,
}

impl Actor for CertificateDesk {
    type Context = Context<Self>;
}

serves!(CertificateDesk: Application);

impl CertificateDesk {
    /// The manager of a group vouches for its own nodes.
    pub fn furnish(desk: &Addr<CertificateDesk>, group: &Identity, board: &mut Switchboard) {
        let own = group.group().unwrap_or_default().to_owned();
        board.serve_if(desk.clone(), move |application: &Application| match &application.proof {
            Proof::Invitation { .. } => true,
            Proof::Membership(Peer { identity, .. }) => {
                identity.role() == Role::Node && identity.group() == Some(&own)
            }
        });
    }
}

impl Handler<Call<Application>> for CertificateDesk {
    type Result = ResponseFuture<Result<Certified, Refused>>;

    fn handle(&mut self, call: Call<Application>, _: &mut Self::Context) -> Self::Result {
        Box::pin(decide(self.registry.clone(), call.body))
    }
}

/// The registry's decision, on a thread made for waiting for disks.
pub async fn decide(
    registry: Arc<Registry>,
    application: Application,
) -> Result<Certified, Refused> {
    tokio::task::spawn_blocking(move || registry.decide(&application))
        .await
        .map_err(|ended| Refused::Undecided(ended.to_string()))?
}

/// Beside the manager of a group that is not in the cloud's process.
#[derive(Debug)]
pub struct RevocationDesk {
    pub revoked: Arc<Revoked>,
}

impl Actor for RevocationDesk {
    type Context = Context<Self>;
}

serves!(RevocationDesk: TakeRevoked);

impl Handler<Call<TakeRevoked>> for RevocationDesk {
    type Result = ResponseFuture<Result<(), DeskFault>>;

    fn handle(&mut self, call: Call<TakeRevoked>, _: &mut Self::Context) -> Self::Result {
        let (revoked, told) = (self.revoked.clone(), call.body.revoked);
        Box::pin(async move {
            let taken = tokio::task::spawn_blocking(move || revoked.take(told)).await;
            let taken = taken.unwrap_or_else(|ended| Err(io::Error::other(ended)));
            taken.map_err(|fault| DeskFault::NotRecorded(fault.to_string()))
        })
    }
}

/// What a group knows of revoked keys, over restarts too.
#[derive(Debug)]
pub struct Revoked {
    place: PathBuf,
    terms: Mutex<Vec<Term>>,
    keys: watch::Sender<BTreeSet<Fingerprint>>,
}

impl Revoked {
    pub fn open(directory: &Path) -> io::Result<Revoked> {
        create_private_directory(directory)?;
        let place = directory.join("revoked");
        let terms: Vec<Term> = match fs::read(&place) {
            Ok(json) => serde_json::from_slice(&json).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let keys = watch::Sender::new(keys(&terms));
        Ok(Revoked { place, terms: Mutex::new(terms), keys })
    }

    pub fn has(&self, peer: &Peer) -> bool {
        self.keys.borrow().contains(&peer.key)
    }

    /// Sees each change from now on.
    pub fn watch(&self) -> watch::Receiver<BTreeSet<Fingerprint>> {
        self.keys.subscribe()
    }

    fn take(&self, told: Vec<Term>) -> io::Result<()> {
        let mut terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        if *terms == told {
            return Ok(());
        }
        write_private(&self.place, &serde_json::to_vec(&told).map_err(io::Error::other)?)?;
        self.keys.send_replace(keys(&told));
        *terms = told;
        Ok(())
    }
}

fn keys(terms: &[Term]) -> BTreeSet<Fingerprint> {
    terms.iter().map(|term| term.key).collect()
}
