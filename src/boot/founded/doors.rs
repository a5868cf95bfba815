//! What the doors of groups and of the cloud have in common: where they are, who is let in.

use super::Founding;
use crate::{
    boot::{
        BootFault,
        membership::{limits, registry::Registry, system_clock},
        topology::Seat,
    },
    domain::id::{GroupName, NodeName},
    messages::envelope::Outbound,
    transport::{
        NotAdmitted,
        credentials::{CredentialFault, CurrentCredentials},
        identity::{Identity, Peer},
        listener::{self, Door, LinkTo, Listener, Reception},
        renewal::Renewal,
    },
};
use actix::{Actor, Addr, ArbiterHandle, Recipient};
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

impl Founding<'_> {
    pub(super) async fn listen(
        &mut self,
        at: SocketAddr,
        credentials: CurrentCredentials,
        on: &ArbiterHandle,
        reception: impl FnOnce() -> Reception + Send + 'static,
    ) -> Result<Addr<Listener>, BootFault> {
        let fault = || BootFault::io(format!("managers on other hosts cannot be met at {at}"));
        let listener = TcpListener::bind(at).map_err(fault())?;
        let door = Door { listener, credentials, limits: limits(), clock: system_clock() };
        let listener = listener::start(on, door, reception).await.map_err(fault())?;
        log::info!("managers on other hosts are met at {at}");
        self.doors.push(listener.clone());
        Ok(listener)
    }
}

/// A group has one manager, which bears its name.
pub(super) fn group_identity(cloud: &str, group: &GroupName) -> Result<Identity, BootFault> {
    Ok(Identity::group_manager(cloud, group.as_str(), group.as_str())?)
}

pub(super) fn node_name(peer: &Peer) -> Result<NodeName, String> {
    let name = peer.identity.name();
    name.parse().map_err(|_| format!("`{name}` is no node's name"))
}

pub(super) fn believed(is_revoked: bool) -> Result<(), NotAdmitted> {
    if is_revoked { Err(NotAdmitted::Revoked) } else { Ok(()) }
}

pub(super) async fn link_to(
    listener: &Addr<Listener>,
    identity: Identity,
) -> Result<Recipient<Outbound>, BootFault> {
    let ended = |_| BootFault::io("a link")(std::io::Error::other("the listener has ended"));
    Ok(listener.send(LinkTo(identity)).await.map_err(ended)?.recipient())
}

/// A certificate for a manager beside the authority, renewed for as long as its thread runs.
pub(super) fn issue<A: Actor>(
    registry: &Arc<Registry>,
    seat: &Seat<A>,
) -> Result<CurrentCredentials, CredentialFault> {
    let credentials = CurrentCredentials::new(registry.issue(&seat.identity)?);
    let renewal = Renewal { credentials: credentials.clone(), clock: system_clock(), seed: 0 };
    let (registry, identity) = (registry.clone(), seat.identity.clone());
    seat.on.spawn(async move {
        let renew = || std::future::ready(registry.issue(&identity));
        // It is as good as new after every restart, so none is kept.
        renewal.go_on(renew, |_| Ok(())).await;
    });
    Ok(credentials)
}
