//! The node manager (the paper's Instance Manager): one host's guests.
//!
//! One actor an instance (`instance`), which owns its record and drives it through its boot
//! phases; the manager itself checks who asks and whether there is room, finds the instance's
//! actor, and reports upwards. Nothing is accepted before it is recorded. At start every record is
//! held against what the hypervisor really has (`adoption`).

pub mod adoption;
pub mod events;
pub mod host;
pub mod instance;
pub mod inventory;
pub mod members;
pub mod record;
pub mod refused;
pub mod report;
pub mod requests;
#[cfg(test)]
mod tests;
pub mod threads;

use super::{
    address::{Address, Call},
    forgotten::Forgotten,
    group::GroupManager,
    switchboard::serves,
};
use crate::{
    domain::{
        account::{Caller, Role},
        id::{AccountId, NodeName},
        resources::Resources,
        trace::Cause,
    },
    events::Teller,
    hypervisor::{Domain, DomainEvent, HypervisorFault},
    messages::{
        Ask, CallContext,
        node::{
            Accepted, BootInstance, ConsoleText, DescribeNode, ForgetInstances, NodeFault,
            ReadConsole, RebootInstance, SetFilters, StopInstance, TerminateInstance,
            UpdateInstance,
        },
        report::{ForeignGuest, InstanceReport, NodeReport},
    },
    store::{
        Store, StoreFault, Table,
        record::load_all,
        starts::{Starter, generation_of_start},
    },
};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, ResponseFuture};
use host::Host;
use inventory::Inventory;
use members::{KnownMembers, MembersRecord};
use record::InstanceRecord;
use refused::Refused;
use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{Instrument, debug_span};

/// How often a node reports though nothing changed: its foreign guests may have, and whoever has
/// begun anew above is to know within five seconds what there is.
const REPORT_EVERY: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub struct NodeManager {
    core: Rc<Core>,
    /// What is to be adopted at the start.
    found: Option<Found>,
}

/// What handlers share; never borrowed across an `await`.
#[derive(Debug)]
struct Core {
    name: NodeName,
    root: AccountId,
    host: Arc<Host>,
    total: Resources,
    /// What runs the guests.
    hypervisor: String,
    book: RefCell<Book>,
    /// Never borrowed together with the book.
    forgotten: RefCell<Forgotten>,
    refused: RefCell<Refused>,
    members: tokio::sync::Mutex<KnownMembers>,
    teller: Teller,
}

#[derive(Debug)]
struct Book {
    group: Option<Address<GroupManager>>,
    instances: Inventory,
    foreign: Vec<ForeignGuest>,
    /// What is said upwards of what runs the guests: what it is, and whether it is lost.
    hypervisor: String,
    /// Whether a report is on its way to being sent.
    report_due: bool,
    /// A report did not arrive, and others are sent until one does.
    following_up: bool,
    /// How long it took until the last one was answered.
    report_took: Duration,
    /// When everything was told last, and how long it took until that was answered.
    told_all: Option<(Instant, Option<Duration>)>,
    /// The network was not swept at the start, since a guest's ports were not attached.
    network_unswept: bool,
}

/// What a start is about: the records, and what the hypervisor has.
#[derive(Debug)]
struct Found {
    records: Vec<InstanceRecord>,
    members: Vec<MembersRecord>,
    domains: Vec<Domain>,
}

/// What a node manager is started with.
#[derive(Debug)]
pub struct NodeParts {
    pub name: NodeName,
    pub root: AccountId,
    pub host: Arc<Host>,
    /// What this node offers to the cloud in all.
    pub total: Resources,
    pub store: Arc<dyn Store>,
    pub hypervisor: String,
}

/// A node manager that may still be sent to the thread it is to run on.
#[derive(Debug)]
pub struct RestoredNode {
    core: Core,
    found: Found,
}

impl RestoredNode {
    /// Tells from now on what happens.
    pub fn telling(mut self, teller: Teller) -> RestoredNode {
        self.core.teller = teller;
        self
    }

    /// Adopts its guests before it answers anybody.
    pub fn start(self, arbiter: &ArbiterHandle) -> Addr<NodeManager> {
        NodeManager::start_in_arbiter(arbiter, |_| self.manager())
    }

    /// The same among the tasks of whoever calls.
    pub fn start_here(self) -> Addr<NodeManager> {
        self.manager().start()
    }

    fn manager(self) -> NodeManager {
        NodeManager { core: Rc::new(self.core), found: Some(self.found) }
    }
}

/// Why a node cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFault {
    #[error("the node's records")]
    Store(#[from] StoreFault),
    #[error("the node's guests")]
    Hypervisor(#[from] HypervisorFault),
}

impl NodeManager {
    /// Reads the records and what the hypervisor has. Blocks.
    pub fn restore(parts: NodeParts) -> Result<RestoredNode, RestoreFault> {
        let records = load_all::<InstanceRecord>(&*parts.store)?;
        let members = load_all::<MembersRecord>(&*parts.store)?;
        let domains = parts.host.hypervisor.domains()?;
        let generation = generation_of_start::<NodeManager>(&*parts.store)?;
        let book = Book {
            group: None,
            instances: Inventory::new(generation),
            foreign: Vec::new(),
            hypervisor: parts.hypervisor.clone(),
            report_due: false,
            following_up: false,
            report_took: Duration::ZERO,
            told_all: None,
            network_unswept: false,
        };
        let core = Core {
            name: parts.name,
            root: parts.root,
            host: parts.host,
            total: parts.total,
            hypervisor: parts.hypervisor,
            book: RefCell::new(book),
            forgotten: RefCell::new(Forgotten::load(&*parts.store)?),
            refused: RefCell::default(),
            members: Default::default(),
            teller: Teller::default(),
        };
        Ok(RestoredNode { core, found: Found { records, members, domains } })
    }
}

impl Starter for NodeManager {
    const STARTS: Table = "node-starts";
}

impl Actor for NodeManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(Found { records, members, domains }) = self.found.take() {
            self.core.restore_members(members);
            self.core.adopt(records, &domains, &context.address());
        }
        context.run_interval(REPORT_EVERY, |node, context| {
            let core = node.core.clone();
            let myself = context.address();
            actix_rt::spawn(async move {
                core.look_around().await;
                core.touch(&myself);
            });
        });
    }
}

/// From `boot`, once: who is above. Answered when those above know what this node has.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct MeetGroup(pub Address<GroupManager>);

impl Handler<MeetGroup> for NodeManager {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, MeetGroup(group): MeetGroup, _: &mut Self::Context) -> Self::Result {
        self.core.book.borrow_mut().group = Some(group);
        let core = self.core.clone();
        Box::pin(async move {
            core.look_around().await;
            core.send_report().await;
        })
    }
}

/// From `boot`: the certificate of this node was revoked, so the cloud has dealt with its instances
/// otherwise. Guests that ran on here would be twice.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Fenced;

impl Handler<Fenced> for NodeManager {
    type Result = ();

    fn handle(&mut self, _: Fenced, _: &mut Self::Context) {
        log::error!(
            "node `{}` was evicted from its cloud: its guests are ended, and it has to join anew",
            self.core.name
        );
        self.core.tell_fenced();
        let core = self.core.clone();
        actix_rt::spawn(async move { core.end_all().await });
    }
}

/// From an instance's actor: how it is now, and for whose request.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Changed(InstanceReport, Cause);

impl Handler<Changed> for NodeManager {
    type Result = ();
    fn handle(&mut self, changed: Changed, context: &mut Self::Context) {
        let Changed(report, cause) = changed;
        let instance = report.instance.clone();
        self.core.tell_change(&report, &cause);
        self.core.book.borrow_mut().instances.change(&instance, |known| known.report = report);
        if self.core.book.borrow().network_unswept && self.core.may_sweep_network() {
            self.core.book.borrow_mut().network_unswept = false;
            let host = self.core.host.clone();
            self.core.host.threads.run(move || host.sweep_network());
        }
        self.core.touch(&context.address());
    }
}

/// From the hypervisor's thread.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Happened(pub DomainEvent);

impl Handler<Happened> for NodeManager {
    type Result = ();
    fn handle(&mut self, Happened(event): Happened, context: &mut Self::Context) {
        match event {
            DomainEvent::Started(_) => {}
            DomainEvent::Off(instance, reason) => {
                let book = self.core.book.borrow();
                let actor = book.instances.get(&instance).and_then(|known| known.actor.clone());
                if let Some(actor) = actor {
                    actor.do_send(instance::WentOff(reason));
                }
            }
            DomainEvent::Disconnected => {
                log::warn!("the hypervisor cannot be reached");
                let lost = format!(
                    "the hypervisor cannot be reached: guests that run go on, none can be started \
                     or ended ({})",
                    self.core.hypervisor
                );
                self.core.book.borrow_mut().hypervisor = lost;
                self.core.touch(&context.address());
            }
            DomainEvent::Reconnected => {
                log::info!("the hypervisor is back");
                self.core.book.borrow_mut().hypervisor = self.core.hypervisor.clone();
                self.core.touch(&context.address());
                let core = self.core.clone();
                actix_rt::spawn(async move { core.look_around().await });
            }
        }
    }
}

macro_rules! answers {
    ($($message:ty => $reply:ty, $method:ident;)+) => {
        serves!(NodeManager: $($message),+);
        $(impl Handler<Call<$message>> for NodeManager {
            type Result = ResponseFuture<Result<$reply, NodeFault>>;
            fn handle(&mut self, mut call: Call<$message>, context: &mut Self::Context) -> Self::Result {
                let request_id = &call.context.request_id;
                let action = <$message as Ask>::NAME;
                let instance = call.body.about().map(tracing::field::display);
                let trace_id = call.context.trace_id.map(tracing::field::display);
                let span = debug_span!("node", %request_id, trace_id, action, instance);
                let core = self.core.clone();
                let myself = context.address();
                let handling = call.begin();
                let answered = async move {
                    let _handling = handling;
                    core.$method(call.context, call.body, myself).await
                };
                Box::pin(answered.instrument(span))
            }
        })+
    };
}

answers! {
    BootInstance => Accepted, boot_instance;
    StopInstance => Accepted, stop_instance;
    RebootInstance => Accepted, reboot_instance;
    TerminateInstance => Accepted, terminate_instance;
    UpdateInstance => Accepted, update_instance;
    SetFilters => Accepted, set_filters;
    ForgetInstances => Accepted, forget_instances;
    ReadConsole => ConsoleText, read_console;
    DescribeNode => NodeReport, describe_node;
}

impl Core {
    fn own_context(&self, what: &str) -> CallContext {
        CallContext {
            request_id: format!("{}-{what}", self.name),
            trace_id: None,
            time_left_ms: 30_000,
            on_behalf_of: Caller { account: self.root.clone(), role: Role::Administrator },
        }
    }

    /// What is left for others.
    fn free(&self) -> Resources {
        let book = self.book.borrow();
        let foreign = book.foreign.iter().filter(|f| f.running).map(|f| f.resources).sum();
        self.total.less(book.instances.held()).less(foreign)
    }
}
