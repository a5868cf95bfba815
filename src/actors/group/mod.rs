//! The group manager: which of its nodes has what, and what passes between them and the cloud.
//!
//! It places instances by its policy over what its nodes declare, records where each one is before
//! asking the node, and forwards every later request to the right node. A node that does not answer
//! keeps its instances: only a node's own word gives a placement up.

pub mod arrival;
pub mod events;
pub mod eviction;
pub mod forward;
pub mod place;
pub mod placements;
pub mod report;
pub mod reported;
#[cfg(test)]
mod tests;

use super::{
    address::{Address, Call},
    cloud::CloudManager,
    forgotten::Forgotten,
    node::NodeManager,
    switchboard::serves,
};
use crate::{
    domain::{
        account::{Caller, Role},
        capacity::Capacity,
        id::{AccountId, GroupName, InstanceId, NodeName},
        placement::PlacementPolicy,
    },
    events::Teller,
    messages::{
        Ask, CallContext,
        cloud::ReportPlacements,
        group::{
            DescribeInstances, DescribeResources, EvictNode, ForgetInstances, GroupFault, Outcomes,
            PlaceInstances, ReadConsole, RebootInstances, ReportNode, ResourceCounts, SetFilters,
            StopInstances, TerminateInstances, UpdateInstances,
        },
        node::ConsoleText,
        report::{GroupReport, Heard},
    },
    store::{Store, StoreFault, journal::Journal, record},
};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, ResponseFuture};
use arrival::Arrived;
use placements::Placement;
use reported::Reported;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tracing::{Instrument, debug_span};

/// How often what could not be done, or was perhaps not heard, is tried again.
const TICK: Duration = Duration::from_secs(1);

/// What a group manager is started with.
#[derive(Debug)]
pub struct GroupParts {
    pub name: GroupName,
    pub store: Arc<dyn Store>,
    pub root: AccountId,
    pub placement: Arc<dyn PlacementPolicy>,
}

#[derive(Debug)]
pub struct GroupManager {
    core: Rc<Core>,
}

/// What handlers share; never borrowed across an `await`.
#[derive(Debug)]
struct Core {
    name: GroupName,
    journal: Journal,
    root: AccountId,
    /// When this process did.
    begun: Instant,
    book: RefCell<Book>,
    /// Somebody's placing is done.
    placing_done: Notify,
    ticking: Cell<bool>,
    teller: Teller,
    /// What the log calls the policy.
    policy: &'static str,
}

#[derive(Debug)]
struct Book {
    /// Set once, when the process is put together.
    cloud: Option<Address<CloudManager>>,
    nodes: BTreeMap<NodeName, Address<NodeManager>>,
    /// Durable.
    placements: BTreeMap<InstanceId, Placement>,
    /// Given up, and perhaps on the disk still.
    erasing: BTreeMap<InstanceId, Placement>,
    forgotten: Forgotten,
    /// What the cloud has been told last of the placements, and for how many ticks it was not.
    told: Option<ReportPlacements>,
    ticks_since_told: u32,
    reports: BTreeMap<NodeName, Reported>,
    /// Reports on their way to the cloud, by node.
    passing: BTreeMap<NodeName, Arc<()>>,
    /// Nodes whose last report did not reach the cloud.
    untold: BTreeSet<NodeName>,
    capacity: Capacity,
    /// Instances being placed, and by how many requests.
    placing: BTreeMap<InstanceId, usize>,
    /// Those among them for which one request is choosing a node.
    choosing: BTreeSet<InstanceId>,
}

impl GroupManager {
    /// Rebuilds the placements from the records.
    pub fn restore(parts: GroupParts) -> Result<RestoredGroup, StoreFault> {
        let mut capacity = Capacity::default();
        capacity.place_by(&parts.name, parts.placement);
        let mut placements = BTreeMap::new();
        for placement in record::load_all::<Placement>(&*parts.store)? {
            let Placement { instance, node, resources } = &placement;
            capacity.hold(instance, &parts.name, node, *resources);
            placements.insert(placement.instance.clone(), placement);
        }
        let forgotten = Forgotten::load(&*parts.store)?;
        let arrived = record::load_all::<Arrived>(&*parts.store)?;
        let arrived = arrived.into_iter().map(|Arrived { node }| node).collect();
        let journal = Journal::start(parts.store).map_err(|e| StoreFault::Io(e.to_string()))?;
        let book = Book {
            cloud: None,
            nodes: BTreeMap::new(),
            placements,
            erasing: BTreeMap::new(),
            forgotten,
            told: None,
            ticks_since_told: 0,
            reports: BTreeMap::new(),
            passing: BTreeMap::new(),
            untold: BTreeSet::new(),
            capacity,
            placing: BTreeMap::new(),
            choosing: BTreeSet::new(),
        };
        let core = Core {
            name: parts.name,
            journal,
            root: parts.root,
            begun: Instant::now(),
            book: RefCell::new(book),
            placing_done: Notify::new(),
            ticking: Cell::new(false),
            teller: Teller::default(),
            policy: "",
        };
        Ok(RestoredGroup { core, arrived })
    }
}

/// A group manager that may still be sent to the thread it is to run on.
#[derive(Debug)]
pub struct RestoredGroup {
    core: Core,
    /// The nodes on other hosts that came here before.
    pub arrived: Vec<NodeName>,
}

impl RestoredGroup {
    /// Tells from now on what happens; `policy` is what its placement is called.
    pub fn telling(mut self, teller: Teller, policy: &'static str) -> RestoredGroup {
        (self.core.teller, self.core.policy) = (teller, policy);
        self
    }

    pub fn start(self, arbiter: &ArbiterHandle) -> Addr<GroupManager> {
        GroupManager::start_in_arbiter(arbiter, |_| self.manager())
    }

    /// Among the tasks of whoever calls.
    pub fn start_here(self) -> Addr<GroupManager> {
        self.manager().start()
    }

    fn manager(self) -> GroupManager {
        GroupManager { core: Rc::new(self.core) }
    }
}

impl Actor for GroupManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |group, _| {
            let core = group.core.clone();
            // A cloud that takes its time is not asked again meanwhile.
            if core.ticking.replace(true) {
                return;
            }
            actix_rt::spawn(async move {
                core.erase().await;
                core.tell_again().await;
                core.report_placements().await;
                core.ticking.set(false);
            });
        });
    }
}

/// From `boot`, once, when every node has been introduced: who is above.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct MeetCloud(pub Address<CloudManager>);

/// From `boot`, for each node: who is below.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct MeetNode(pub NodeName, pub Address<NodeManager>);

impl Handler<MeetCloud> for GroupManager {
    type Result = ();
    fn handle(&mut self, MeetCloud(cloud): MeetCloud, _: &mut Self::Context) {
        self.core.warn_of_absent_nodes();
        let mut book = self.core.book.borrow_mut();
        book.cloud = Some(cloud);
        book.told = None;
    }
}

impl Handler<MeetNode> for GroupManager {
    type Result = ();
    fn handle(&mut self, MeetNode(name, node): MeetNode, _: &mut Self::Context) {
        self.core.book.borrow_mut().nodes.insert(name, node);
    }
}

macro_rules! answers {
    ($($message:ty => $reply:ty, $method:ident;)+) => {
        serves!(GroupManager: $($message),+);
        $(impl Handler<Call<$message>> for GroupManager {
            type Result = ResponseFuture<Result<$reply, GroupFault>>;
            fn handle(&mut self, mut call: Call<$message>, _: &mut Self::Context) -> Self::Result {
                let request_id = &call.context.request_id;
                let action = <$message as Ask>::NAME;
                let trace_id = call.context.trace_id.map(tracing::field::display);
                let span = debug_span!("group", %request_id, trace_id, action);
                let core = self.core.clone();
                let handling = call.begin();
                let answered = async move {
                    let _handling = handling;
                    core.$method(call.context, call.body).await
                };
                Box::pin(answered.instrument(span))
            }
        })+
    };
}

answers! {
    PlaceInstances => Outcomes, place_instances;
    StopInstances => Outcomes, stop_instances;
    RebootInstances => Outcomes, reboot_instances;
    TerminateInstances => Outcomes, terminate_instances;
    UpdateInstances => Outcomes, update_instances;
    ForgetInstances => (), forget_instances;
    SetFilters => (), set_filters;
    ReadConsole => ConsoleText, read_console;
    DescribeResources => ResourceCounts, describe_resources;
    DescribeInstances => Vec<GroupReport>, describe_instances;
    EvictNode => (), evict_node;
    ReportNode => Heard, take_report;
}

impl Core {
    /// The circumstances of the group's own doings.
    fn own_context(&self, what: &str) -> CallContext {
        CallContext {
            request_id: format!("{}-{what}", self.name),
            trace_id: None,
            time_left_ms: 30_000,
            on_behalf_of: Caller { account: self.root.clone(), role: Role::Administrator },
        }
    }

    fn node(&self, name: &NodeName) -> Option<Address<NodeManager>> {
        self.book.borrow().nodes.get(name).cloned()
    }

    fn node_of(&self, instance: &InstanceId) -> Option<NodeName> {
        self.book.borrow().placements.get(instance).map(|placement| placement.node.clone())
    }
}
