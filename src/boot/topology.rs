//! How roles reach one another: by mailbox, through bytes, or over links.
//!
//! The same actors either way; only the addresses they are given differ.

use super::links::{Links, LinksFault};
use crate::{
    actors::{
        address::Address, cloud::CloudManager, group::GroupManager, node::NodeManager,
        switchboard::Switchboard,
    },
    config::Topology,
    messages::{
        cloud::{ReportGroup, ReportPlacements},
        group::ReportNode,
    },
    metrics::questions::Mailbox,
    transport::{identity::Identity, listener::Listener, loopback::Loopback},
};
use actix::{Actor, Addr, ArbiterHandle};
use std::{
    rc::Rc,
    sync::{Arc, OnceLock},
};

/// A role, where it runs, and its address once it does.
#[derive(Debug)]
pub struct Seat<A: Actor> {
    pub identity: Identity,
    pub on: ArbiterHandle,
    pub addr: Arc<OnceLock<Addr<A>>>,
    /// If what is asked of it is counted.
    pub mailbox: Option<Arc<Mailbox>>,
}

impl<A: Actor> Clone for Seat<A> {
    fn clone(&self) -> Seat<A> {
        Seat {
            identity: self.identity.clone(),
            on: self.on.clone(),
            addr: self.addr.clone(),
            mailbox: self.mailbox.clone(),
        }
    }
}

impl<A: Actor> Seat<A> {
    pub fn new(identity: Identity, on: ArbiterHandle) -> Seat<A> {
        Seat { identity, on, addr: Arc::default(), mailbox: None }
    }

    /// What is asked of it is counted.
    pub fn counting(self, mailbox: Option<Arc<Mailbox>>) -> Seat<A> {
        Seat { mailbox, ..self }
    }

    /// It begins, once.
    pub fn begin(&self, addr: Addr<A>) -> Addr<A> {
        self.addr.get_or_init(|| addr).clone()
    }

    /// Its address; only of a role that has begun.
    pub fn started(&self) -> Addr<A> {
        self.addr.get().expect("roles are introduced in the order of their beginnings").clone()
    }
}

/// A role that can be put through to.
pub trait Role: Actor<Context = actix::Context<Self>> {
    fn attach_to(addr: &Addr<Self>, board: &mut Switchboard);

    /// What its parent may ask of it.
    fn for_parent(addr: &Addr<Self>) -> Switchboard {
        let mut board = Switchboard::default();
        Self::attach_to(addr, &mut board);
        board
    }
}

/// A role that others report to.
pub trait Parent: Role {
    /// What a child may ask of it: what is about itself.
    fn for_child(addr: &Addr<Self>, child: &Identity) -> Switchboard;
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

    fn for_parent(addr: &Addr<Self>) -> Switchboard {
        let mut board = Switchboard::default();
        Self::attach_to(addr, &mut board);
        board.without::<ReportNode>()
    }
}

impl Role for NodeManager {
    fn attach_to(addr: &Addr<Self>, board: &mut Switchboard) {
        NodeManager::attach(addr, board);
    }
}

impl Parent for CloudManager {
    fn for_child(addr: &Addr<Self>, child: &Identity) -> Switchboard {
        let group = child.group().unwrap_or_default().to_owned();
        let mut board = Switchboard::default();
        let own = group.clone();
        board.serve_if(addr.clone(), move |asked: &ReportGroup| asked.report.group.as_str() == own);
        board.serve_if(addr.clone(), move |asked: &ReportPlacements| asked.group.as_str() == group);
        board
    }
}

impl Parent for GroupManager {
    fn for_child(addr: &Addr<Self>, child: &Identity) -> Switchboard {
        let node = child.name().to_owned();
        let mut board = Switchboard::default();
        board.serve_if(addr.clone(), move |asked: &ReportNode| asked.report.node.as_str() == node);
        board
    }
}

#[derive(Debug)]
pub enum Wiring {
    Local,
    Loopback,
    Linked(Links),
}

impl Wiring {
    pub fn of(topology: Topology, cloud: &str) -> Result<Wiring, LinksFault> {
        Ok(match topology {
            Topology::Local => Wiring::Local,
            Topology::Loopback => Wiring::Loopback,
            Topology::Linked => Wiring::Linked(Links::begin(cloud)?),
        })
    }

    /// The address a parent, which may not have begun yet, has of its child.
    pub async fn child<P: Parent, C: Role>(
        &mut self,
        parent: &Seat<P>,
        child: &Seat<C>,
    ) -> Result<Address<C>, LinksFault> {
        match self {
            Wiring::Local => Ok(Address::Local(child.started())),
            Wiring::Loopback => Ok(through_bytes(child)),
            Wiring::Linked(links) => links.child(parent, child).await,
        }
    }

    /// The address a child has of its parent: it does not keep the parent alive.
    pub async fn parent<P: Parent, C: Role>(
        &mut self,
        parent: &Seat<P>,
        child: &Seat<C>,
    ) -> Result<Address<P>, LinksFault> {
        match self {
            Wiring::Local => Ok(Address::Parent(parent.started().downgrade())),
            Wiring::Loopback => Ok(through_bytes(parent)),
            Wiring::Linked(links) => links.parent(parent, child).await,
        }
    }

    /// Where links between roles of this process are met.
    pub fn doors(&self) -> Vec<Addr<Listener>> {
        match self {
            Wiring::Local | Wiring::Loopback => Vec::new(),
            Wiring::Linked(links) => links.doors(),
        }
    }

    /// The address that the endpoint has of the cloud manager, which is always in its process.
    pub fn endpoint(&self, cloud: &Seat<CloudManager>) -> Address<CloudManager> {
        match self {
            Wiring::Local | Wiring::Linked(_) => Address::Local(cloud.started()),
            Wiring::Loopback => through_bytes(cloud),
        }
    }
}

fn through_bytes<A: Role>(seat: &Seat<A>) -> Address<A> {
    let (addr, mailbox) = (seat.started(), seat.mailbox.clone());
    let link = Loopback::start_in_arbiter(&seat.on, move |_| {
        let mut board = Switchboard::default();
        A::attach_to(&addr, &mut board);
        let board = Rc::new(board.counting(mailbox));
        Loopback::new(Box::new(move |envelope| {
            let board = board.clone();
            Box::pin(async move { board.put_through(envelope).await })
        }))
    });
    Address::Remote(link.recipient())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actors::testing::{self, GROUP, Group, Node},
        messages::{
            Ask,
            envelope::{Envelope, LinkFault},
            group::DescribeInstances,
            node::DescribeNode,
        },
    };

    fn envelope<M: Ask>(body: &M) -> Envelope {
        let context = testing::on_behalf_of(testing::user());
        Envelope { name: M::NAME.to_owned(), context, body: postcard::to_stdvec(body).unwrap() }
    }

    async fn refusal(board: &Switchboard, question: Envelope) -> String {
        match board.put_through(question).await {
            Err(LinkFault::NotDelivered(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[actix_rt::test]
    async fn a_node_reports_itself_to_its_group_and_asks_nothing_else() {
        let group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
        let child = Identity::node_manager("lab", GROUP, "n1").unwrap();
        let board = GroupManager::for_child(&group.addr, &child);

        let own = group.nodes[0].ask(DescribeNode).await.unwrap();
        assert!(board.put_through(envelope(&ReportNode { report: own })).await.is_ok());
        let another = group.nodes[1].ask(DescribeNode).await.unwrap();
        let refused = refusal(&board, envelope(&ReportNode { report: another })).await;
        assert_eq!(refused, "it is not yours to ask");
        let refused = refusal(&board, envelope(&DescribeInstances)).await;
        assert_eq!(refused, "nobody here answers `group.describe_instances`");
    }

    #[actix_rt::test]
    async fn a_cloud_does_not_speak_for_the_nodes_of_a_group() {
        let group = Group::start(vec![Node::start("n1", 4)]).await;
        let board = GroupManager::for_parent(&group.addr);
        assert!(board.put_through(envelope(&DescribeInstances)).await.is_ok());
        let report = group.nodes[0].ask(DescribeNode).await.unwrap();
        let refused = refusal(&board, envelope(&ReportNode { report })).await;
        assert_eq!(refused, "nobody here answers `group.report_node`");
    }

    #[actix_rt::test]
    async fn a_group_reports_itself_to_the_cloud_and_asks_nothing_else() {
        let cloud = testing::Cloud::start(vec![Node::start("n1", 4)]).await;
        let report = |group: &str| {
            let (unstated, absent) = (Vec::new(), Default::default());
            ReportPlacements { group: group.parse().unwrap(), unstated, absent }
        };
        let child = Identity::group_manager("lab", GROUP, "g1").unwrap();
        let board = CloudManager::for_child(&cloud.addr, &child);
        assert!(board.put_through(envelope(&report(GROUP))).await.is_ok());
        let refused = refusal(&board, envelope(&report("another"))).await;
        assert_eq!(refused, "it is not yours to ask");
        let launch =
            Envelope { name: "cloud.launch_reservation".into(), ..envelope(&report(GROUP)) };
        let refused = refusal(&board, launch).await;
        assert_eq!(refused, "nobody here answers `cloud.launch_reservation`");
    }
}
