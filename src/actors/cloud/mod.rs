//! The cloud manager: users' resources, the PRS, and the wishes it has of its groups.
//!
//! A command is decided on a draft of the state, recorded durably, published, answered; then what
//! it wants of the groups is asked (`driver`), and asked again until a node has answered for it.
//! Readers take the published snapshot and never queue behind a command.
//!
//! State in memory runs ahead of the disk by the commits in flight. If one of them fails, everything
//! since the last durable state is undone at once and its askers are told (`keep`).

pub mod account;
pub mod addresses;
pub mod burial;
pub mod command;
pub mod console;
pub mod credential;
pub mod driver;
pub mod elastic_address;
pub mod events;
pub mod eviction;
pub mod filters;
pub mod image;
pub mod instance;
pub mod instance_spec;
pub mod interface;
pub mod key_pair;
pub mod launch;
pub mod outcome;
pub mod records;
pub mod refresh;
pub mod report;
pub mod scope;
pub mod security_group;
pub mod silence;
pub mod sla;
pub mod subnet;
pub mod tag;
#[cfg(test)]
mod tests;
pub mod vpc;

use super::{
    address::{Address, Call},
    group::GroupManager,
    switchboard::serves,
};
use crate::{
    ambient::Ambient,
    domain::{
        account::{Caller, Role},
        cloud_state::CloudState,
        draft::{Decision, Draft},
        fault::CloudFault,
        id::{AccountId, GroupName, NodeName},
        membership::Membership,
        scope::Scope,
        settings::CloudSettings,
    },
    events::Teller,
    messages::{
        Ask, CallContext,
        cloud::{
            self as ask, Commanded, ReadConsole, ReportGroup, ReportPlacements,
            credential as credentials, elastic_address as address,
        },
        report::Heard,
    },
    store::{
        Store, StoreFault, Table,
        journal::{Epoch, Journal},
        starts::{Starter, generation_of_start},
    },
};
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, ResponseFuture};
use arc_swap::ArcSwap;
use driver::Driver;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tracing::{Instrument, Span, debug_span};

/// The last durable state, for anybody to read.
pub type Published = Arc<ArcSwap<CloudState>>;

/// How often wishes that nobody has taken up are looked at again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What the cloud manager is started with.
#[derive(Debug)]
pub struct CloudParts {
    pub settings: Arc<CloudSettings>,
    pub ambient: Ambient,
    pub store: Arc<dyn Store>,
    pub groups: BTreeMap<GroupName, Address<GroupManager>>,
    pub members: Arc<dyn Membership>,
    /// Whose account the cloud's own doings are put down to.
    pub root: AccountId,
}

#[derive(Debug)]
pub struct CloudManager {
    core: Rc<Core>,
}

/// What handlers share; never borrowed across an `await`.
#[derive(Debug)]
struct Core {
    settings: Arc<CloudSettings>,
    ambient: Ambient,
    journal: Journal,
    published: Published,
    groups: BTreeMap<GroupName, Address<GroupManager>>,
    members: Arc<dyn Membership>,
    root: AccountId,
    told: events::Told,
    book: RefCell<Book>,
}

#[derive(Debug)]
struct Book {
    /// With the commits in flight.
    state: CloudState,
    /// Without them.
    durable: CloudState,
    in_flight: usize,
    /// Of the newest decision made and the newest made durable.
    made: u64,
    kept: u64,
    epoch: Epoch,
    driver: Driver,
    /// Nodes that are known to be silent.
    silent: BTreeSet<(GroupName, NodeName)>,
}

impl CloudManager {
    /// Rebuilds the state from the records; nothing runs before it is started.
    pub fn restore(parts: CloudParts) -> Result<(RestoredCloud, Published), StoreFault> {
        let mut state = records::load(&*parts.store)?;
        state.capacity.listen_from(parts.ambient.now());
        // The group decides in the end; choosing as it does, the cloud seldom has to be corrected.
        for group in &parts.settings.groups {
            state.capacity.place_by(&group.name, group.placement.policy());
        }
        let published = Arc::new(ArcSwap::from_pointee(state.clone()));
        let generation = generation_of_start::<CloudManager>(&*parts.store)?;
        let journal = Journal::start(parts.store).map_err(|e| StoreFault::Io(e.to_string()))?;
        let zones: Vec<_> = parts.settings.groups.iter().map(|group| group.name.clone()).collect();
        let book = Book {
            driver: Driver::restored(&state, &zones, generation),
            durable: state.clone(),
            state,
            in_flight: 0,
            made: 0,
            kept: 0,
            epoch: journal.epoch(),
            silent: BTreeSet::new(),
        };
        let core = Core {
            settings: parts.settings,
            ambient: parts.ambient,
            journal,
            published: published.clone(),
            groups: parts.groups,
            members: parts.members,
            root: parts.root,
            told: events::Told::default(),
            book: RefCell::new(book),
        };
        Ok((RestoredCloud(core), published))
    }
}

/// A cloud manager that may still be sent to the thread it is to run on.
#[derive(Debug)]
pub struct RestoredCloud(Core);

impl RestoredCloud {
    /// Tells from now on what happens.
    pub fn telling(mut self, teller: Teller) -> RestoredCloud {
        self.0.told = events::Told::by(teller);
        self
    }

    pub fn start(self, arbiter: &ArbiterHandle) -> Addr<CloudManager> {
        CloudManager::start_in_arbiter(arbiter, |_| self.manager())
    }

    /// Among the tasks of whoever calls.
    pub fn start_here(self) -> Addr<CloudManager> {
        self.manager().start()
    }

    fn manager(self) -> CloudManager {
        CloudManager { core: Rc::new(self.0) }
    }
}

impl Starter for CloudManager {
    const STARTS: Table = "cloud-starts";
}

impl Actor for CloudManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.core.warn_of_absent_groups();
        context.run_interval(RETRY_EVERY, |cloud, _| {
            let core = cloud.core.clone();
            actix_rt::spawn(async move { core.tick().await });
        });
    }
}

serves!(CloudManager:
    Commanded<ask::OpenScope>,
    Commanded<ask::LaunchReservation>,
    Commanded<ask::TerminateInstances>,
    Commanded<ask::StopInstances>,
    Commanded<ask::StartInstances>,
    Commanded<ask::RebootInstances>,
    Commanded<ask::ModifyInstance>,
    Commanded<ask::RecordKeyPair>,
    Commanded<ask::DeleteKeyPair>,
    Commanded<ask::CreateSecurityGroup>,
    Commanded<ask::DeleteSecurityGroup>,
    Commanded<ask::AuthorizeSecurityGroup>,
    Commanded<ask::RevokeSecurityGroup>,
    Commanded<ask::ModifySecurityGroupRules>,
    Commanded<ask::UpdateRuleDescriptions>,
    Commanded<ask::network::CreateVpc>,
    Commanded<ask::network::DeleteVpc>,
    Commanded<ask::network::ModifyVpc>,
    Commanded<ask::network::CreateSubnet>,
    Commanded<ask::network::DeleteSubnet>,
    Commanded<ask::network::ModifySubnet>,
    Commanded<ask::interface::CreateInterface>,
    Commanded<ask::interface::DeleteInterface>,
    Commanded<ask::interface::AttachInterface>,
    Commanded<ask::interface::DetachInterface>,
    Commanded<ask::interface::ModifyInterface>,
    Commanded<ask::interface::AssignAddresses>,
    Commanded<ask::interface::UnassignAddresses>,
    Commanded<ask::RegisterImage>,
    Commanded<ask::DeregisterImage>,
    Commanded<ask::ModifyImage>,
    Commanded<ask::CreateTags>,
    Commanded<ask::DeleteTags>,
    Commanded<address::AllocateAddress>,
    Commanded<address::AssociateAddress>,
    Commanded<address::DisassociateAddress>,
    Commanded<address::ReleaseAddress>,
    Commanded<ask::CreateAccount>,
    Commanded<credentials::CreateAccessKey>,
    Commanded<credentials::UpdateAccessKey>,
    Commanded<credentials::DeleteAccessKey>,
    Commanded<credentials::RecordSigningCertificate>,
    Commanded<credentials::UpdateSigningCertificate>,
    Commanded<credentials::DeleteSigningCertificate>,
    Commanded<ask::EvictNode>,
    ReadConsole,
    ReportGroup,
    ReportPlacements,
);

/// What is done about a question at this tier.
fn span<M: Ask>(call: &Call<M>) -> Span {
    let trace_id = call.context.trace_id.map(tracing::field::display);
    debug_span!("cloud", request_id = %call.context.request_id, trace_id, action = M::NAME)
}

impl Handler<Call<ReportPlacements>> for CloudManager {
    type Result = ResponseFuture<Result<(), CloudFault>>;

    fn handle(&mut self, mut call: Call<ReportPlacements>, _: &mut Self::Context) -> Self::Result {
        let (span, core, handling) = (span(&call), self.core.clone(), call.begin());
        let taken = async move {
            let _handling = handling;
            core.take_placements(call.body).await;
            Ok(())
        };
        Box::pin(taken.instrument(span))
    }
}

impl Handler<Call<ReportGroup>> for CloudManager {
    type Result = ResponseFuture<Result<Heard, CloudFault>>;

    fn handle(&mut self, mut call: Call<ReportGroup>, _: &mut Self::Context) -> Self::Result {
        let (span, core, handling) = (span(&call), self.core.clone(), call.begin());
        let taken = async move {
            let _handling = handling;
            core.take_report(call.body.report).await
        };
        Box::pin(taken.instrument(span))
    }
}

impl Handler<Call<ReadConsole>> for CloudManager {
    type Result = ResponseFuture<Result<crate::messages::node::ConsoleText, CloudFault>>;

    fn handle(&mut self, mut call: Call<ReadConsole>, _: &mut Self::Context) -> Self::Result {
        let (span, core, handling) = (span(&call), self.core.clone(), call.begin());
        let read = async move {
            let _handling = handling;
            core.read_console(call.context, call.body).await
        };
        Box::pin(read.instrument(span))
    }
}

impl Core {
    /// Takes up a decision: the state moves at once, the answer comes when it is durable, and only
    /// then is it published and acted upon.
    async fn keep(
        self: &Rc<Self>,
        decision: Decision,
        context: CallContext,
    ) -> Result<(), CloudFault> {
        // A decision that changes nothing may rest on one that is not durable yet: it is answered
        // when that is.
        if decision.changes.is_empty() && self.book.borrow().in_flight == 0 {
            self.enact(decision.effects, context);
            return Ok(());
        }
        let batch = records::batch(&decision.changes);
        let (sequence, epoch, commit, telling) = {
            let mut book = self.book.borrow_mut();
            let telling = self.told.of(&book.state, &decision, &context.cause());
            book.state = decision.state.clone();
            book.in_flight += 1;
            book.made += 1;
            (book.made, book.epoch, self.journal.commit_in(book.epoch, batch), telling)
        };
        let outcome = commit.await;
        self.settle(outcome, sequence, epoch, decision.state)?;
        self.told.tell(telling);
        self.enact(decision.effects, context);
        Ok(())
    }

    fn settle(
        &self,
        outcome: Result<(), StoreFault>,
        sequence: u64,
        epoch: Epoch,
        state: CloudState,
    ) -> Result<(), CloudFault> {
        let mut book = self.book.borrow_mut();
        book.in_flight -= 1;
        match outcome {
            Ok(()) => {
                // Answers of one group commit may be polled in any order; the newest state has the
                // others in it.
                if sequence > book.kept {
                    book.kept = sequence;
                    book.durable = state;
                }
                self.publish(&mut book);
                Ok(())
            }
            Err(fault) => {
                if epoch == book.epoch {
                    log::error!("the state is set back to the last one recorded: {fault}");
                    book.state = book.durable.clone();
                    book.epoch = self.journal.resume();
                }
                Err(match fault {
                    StoreFault::Full(why) => {
                        log::error!("the disk of the cloud's records is full: {why}");
                        CloudFault::StorageFull
                    }
                    StoreFault::Unknown(why) => CloudFault::InDoubt(why),
                    fault => CloudFault::NotRecorded(fault.to_string()),
                })
            }
        }
    }

    /// With nothing in flight the working state is the durable one, figures that are not recorded
    /// (capacity) included.
    fn publish(&self, book: &mut Book) {
        if book.in_flight == 0 {
            book.durable = book.state.clone();
        }
        self.published.store(Arc::new(book.durable.clone()));
    }

    /// A decision of the cloud itself, on behalf of nobody.
    pub(super) fn decide(&self, decide: impl FnOnce(&mut Draft<'_>)) -> Decision {
        let book = self.book.borrow();
        // Another stream than users' commands have: what they draw must not depend on the clock.
        let mut chance = self.ambient.chance("cloud's own");
        let caller = self.own_context("decision").on_behalf_of;
        let scope = Scope {
            account: self.root.clone(),
            region: self.settings.regions.default_region().clone(),
        };
        let now = self.ambient.now();
        let mut draft = Draft::new(&book.state, &self.settings, &caller, scope, now, &mut *chance);
        decide(&mut draft);
        draft.decided()
    }

    pub(super) async fn keep_own(self: &Rc<Self>, decision: Decision, what: &str) {
        // What cannot be recorded now is stated again by the next report, or wished for again.
        if let Err(fault) = self.keep(decision, self.own_context(what)).await {
            log::error!("{what}: {fault}");
        }
    }

    /// The circumstances of the cloud's own doings.
    fn own_context(&self, what: &str) -> CallContext {
        CallContext {
            request_id: format!("cloud-{what}"),
            trace_id: None,
            time_left_ms: 30_000,
            on_behalf_of: Caller { account: self.root.clone(), role: Role::Administrator },
        }
    }
}
