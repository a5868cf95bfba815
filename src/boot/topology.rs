//! How roles reach one another: by mailbox, or through bytes.
//!
//! The same actors either way; only the addresses they are given differ.

use crate::{
    actors::{
        address::Address, cloud::CloudManager, group::GroupManager, node::NodeManager,
        switchboard::Switchboard,
    },
    config::Topology,
    transport::loopback::Loopback,
};
use actix::{Actor, Addr, ArbiterHandle};
use std::rc::Rc;

#[derive(Debug, Clone, Copy)]
pub struct Wiring {
    pub topology: Topology,
}

/// A role that can be put through to.
pub trait Role: Actor<Context = actix::Context<Self>> {
    fn attach_to(addr: &Addr<Self>, board: &mut Switchboard);
}

impl Role for CloudManager {
    fn attach_to(addr: &Addr<Self>, board: &mut Switchboard) {
        CloudManager::attach(addr, board);
    }
}
impl Role for GroupManager {
    fn attach_to(addr: &Addr<Self>, board: &mut Switchboard) {
        GroupManager::attach(addr, board);
    }
}
impl Role for NodeManager {
    fn attach_to(addr: &Addr<Self>, board: &mut Switchboard) {
        NodeManager::attach(addr, board);
    }
}

impl Wiring {
    /// The address a parent has of its child, which lives on the arbiter given.
    pub fn child<A: Role>(self, addr: &Addr<A>, on: &ArbiterHandle) -> Address<A> {
        match self.topology {
            Topology::Local => Address::Local(addr.clone()),
            Topology::Loopback => through_bytes(addr, on),
        }
    }

    /// The address a child has of its parent: it does not keep the parent alive.
    pub fn parent<A: Role>(self, addr: &Addr<A>, on: &ArbiterHandle) -> Address<A> {
        match self.topology {
            Topology::Local => Address::Parent(addr.downgrade()),
            Topology::Loopback => through_bytes(addr, on),
        }
    }
}

fn through_bytes<A: Role>(addr: &Addr<A>, on: &ArbiterHandle) -> Address<A> {
    let addr = addr.clone();
    let link = Loopback::start_in_arbiter(on, move |_| {
        let mut board = Switchboard::default();
        A::attach_to(&addr, &mut board);
        let board = Rc::new(board);
        Loopback::new(Box::new(move |envelope| {
            let board = board.clone();
            Box::pin(async move { board.put_through(envelope).await })
        }))
    });
    Address::Remote(link.recipient())
}
