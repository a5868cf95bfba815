//! Managers for tests: real actors over simulated hosts, with stores, links and drivers that fail
//! when told.
//!
//! A node lives on a thread of its own, so that it can be killed as a process is: between any two
//! of its steps, with nobody told. What it leaves in its directories and its store is there for the
//! next `begin`. Waiting is for conditions, with a limit no working test comes near.

use super::{
    address::{Address, Answer, Call, Serves},
    cloud::{CloudManager, CloudParts, Published, command::Decide, instance_spec, scope},
    group::{GroupManager, GroupParts, MeetCloud, MeetNode},
    node::{
        Happened, MeetGroup, NodeManager, NodeParts, host::Host, members::MembersRecord,
        record::InstanceRecord, threads::Threads,
    },
    switchboard::Switchboard,
};
use crate::{
    ambient::{Ambient, ManualClock},
    blobs::disks::SimulatedDisks,
    domain::{
        account::{Caller, Role},
        blob::BlobId,
        boot_phase::BootPhase,
        cloud_state::{Change, CloudState, Entry},
        draft::Draft,
        elastic_address::ElasticAssignment,
        id::{AccountId, InstanceId, InterfaceId, NodeName, SecurityGroupId},
        image::{DiskFormat, Image, ImageKind},
        instance::Instance,
        interface::InterfaceSpec,
        membership::NoMembers,
        metadata::InstanceMetadata,
        placement::PolicyName,
        port_filter::{GroupMembers, PortFilter},
        resources::Resources,
        scope::Scope,
        settings::CloudSettings,
        time::Timestamp,
    },
    hypervisor::{
        Domain, DomainEvent, DomainSpec, EventSink, HostFacts, Hypervisor, HypervisorFault,
        console_tail::ConsoleTail,
        simulated::{SimulatedHypervisor, SimulatedOptions},
    },
    ledger::Ledger,
    messages::{
        Ask, CallContext,
        cloud::{Command, Commanded, LaunchReservation},
        envelope::{Envelope, LinkFault},
        group::DescribeResources,
        node::{BootInstance, DescribeNode, InstanceSpec},
        report::InstanceReport,
    },
    metadata::{MetadataSource, registry::MetadataRegistry},
    network::{Datapath, NetworkFault, Port, simulated::SimulatedDatapath},
    store::{
        Batch, Entry as Stored, Store, StoreFault, Table, journal::Journal, memory::MemoryStore,
        record::load_all,
    },
    transport::loopback::Loopback,
};
use actix::{Actor, Addr, Arbiter, ArbiterHandle, Handler, dev::ToEnvelope};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    io,
    net::Ipv4Addr,
    path::Path,
    rc::Rc,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

pub const IMAGE: &str = "ami-0000000a";
pub const GROUP: &str = "zone-one";
const PATIENCE: Duration = Duration::from_secs(30);

pub fn vcpus(vcpus: u32) -> Resources {
    Resources { vcpus, memory_mib: 256, disk_gib: 2 }
}

pub fn account(digit: char) -> AccountId {
    digit.to_string().repeat(12).parse().unwrap()
}

pub fn user() -> Caller {
    Caller { account: account('1'), role: Role::User }
}

pub fn on_behalf_of(caller: Caller) -> CallContext {
    CallContext {
        request_id: "test".to_owned(),
        trace_id: None,
        time_left_ms: 20_000,
        on_behalf_of: caller,
    }
}

/// Looks until there is something.
pub async fn wait<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        actix_rt::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Calls that fail, or stand still, when told.
#[derive(Debug, Default)]
pub struct Hindrance {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    failing: Vec<&'static str>,
    held: BTreeSet<&'static str>,
    /// How often each call was begun.
    begun: BTreeMap<&'static str, usize>,
    /// Calls that stand still never get further: their process is gone.
    killed: bool,
}

impl Hindrance {
    pub fn fail_next(&self, call: &'static str) {
        self.told.lock().unwrap().failing.push(call);
    }

    pub fn hold(&self, call: &'static str) {
        self.told.lock().unwrap().held.insert(call);
    }

    pub fn release(&self, call: &'static str) {
        self.told.lock().unwrap().held.remove(call);
        self.changed.notify_all();
    }

    pub fn begun(&self, call: &'static str) -> usize {
        self.told.lock().unwrap().begun.get(call).copied().unwrap_or_default()
    }

    /// Ends what stands still; afterwards nothing is hindered.
    fn kill(&self) {
        self.told.lock().unwrap().killed = true;
        self.changed.notify_all();
    }

    fn pass(&self, call: &'static str) -> Result<(), String> {
        let mut told = self.told.lock().unwrap();
        *told.begun.entry(call).or_default() += 1;
        while told.held.contains(call) {
            if told.killed {
                return Err("killed".to_owned());
            }
            told = self.changed.wait(told).unwrap();
        }
        match told.failing.iter().position(|failing| *failing == call) {
            Some(at) => Err(format!("told to fail: {}", told.failing.remove(at))),
            None => Ok(()),
        }
    }
}

/// A simulated host whose calls may be hindered.
#[derive(Debug)]
struct Hindered<T> {
    driver: Arc<T>,
    hindrance: Arc<Hindrance>,
}

impl<T> Hindered<T> {
    fn guest(&self, call: &'static str) -> Result<&T, HypervisorFault> {
        self.hindrance.pass(call).map_err(HypervisorFault::Refused)?;
        Ok(&self.driver)
    }

    fn wire(&self, call: &'static str) -> Result<&T, NetworkFault> {
        self.hindrance.pass(call).map_err(NetworkFault::Kernel)?;
        Ok(&self.driver)
    }
}

impl Hypervisor for Hindered<SimulatedHypervisor> {
    fn host(&self) -> Result<HostFacts, HypervisorFault> {
        self.driver.host()
    }
    fn start(&self, domain: &DomainSpec) -> Result<(), HypervisorFault> {
        self.guest("start")?.start(domain)?;
        // The guest runs, and the caller does not know yet.
        self.hindrance.pass("started").map_err(HypervisorFault::Refused)
    }
    fn shut_down(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        self.guest("shut_down")?.shut_down(instance)
    }
    fn power_off(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        self.guest("power_off")?.power_off(instance)
    }
    fn reboot(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        self.guest("reboot")?.reboot(instance)
    }
    fn remove(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        self.guest("remove")?.remove(instance)
    }
    fn domains(&self) -> Result<Vec<Domain>, HypervisorFault> {
        let domains = self.guest("domains")?.domains()?;
        // What was found is what was there, and the caller does not know yet.
        self.hindrance.pass("listed").map_err(HypervisorFault::Refused)?;
        Ok(domains)
    }
    fn console(&self, of: &InstanceId, log: &Path, limit: usize) -> io::Result<ConsoleTail> {
        self.driver.console(of, log, limit)
    }
}

impl Datapath for Hindered<SimulatedDatapath> {
    fn attach(&self, of: &InstanceId, interface: &InterfaceSpec) -> Result<Port, NetworkFault> {
        self.wire("attach")?.attach(of, interface)
    }
    fn set_filter(&self, of: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        self.wire("set_filter")?.set_filter(of, filter)
    }
    fn set_elastic(
        &self,
        of: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault> {
        self.wire("set_elastic")?.set_elastic(of, assignment)
    }
    fn set_members(&self, members: &GroupMembers) -> Result<(), NetworkFault> {
        self.wire("set_members")?.set_members(members)
    }
    fn detach(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        self.wire("detach")?.detach(interface)
    }
    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        self.driver.ports()
    }
    fn sweep(&self) -> Result<(), NetworkFault> {
        self.driver.sweep()
    }
    fn purge(&self) -> Result<(), NetworkFault> {
        self.driver.purge()
    }
}

/// A node manager and its host, which outlives it.
pub struct Node {
    pub name: NodeName,
    pub store: Arc<MemoryStore>,
    pub hindrance: Arc<Hindrance>,
    /// How long a guest takes to power off when asked.
    pub shutdown: Duration,
    /// What the hypervisor told.
    pub heard: Arc<Mutex<Vec<DomainEvent>>>,
    directory: tempfile::TempDir,
    total: Resources,
    process: Option<Process>,
}

struct Process {
    node: Addr<NodeManager>,
    arbiter: Arbiter,
    hypervisor: Arc<SimulatedHypervisor>,
    datapath: Arc<SimulatedDatapath>,
    metadata: Arc<MetadataRegistry>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Node {
    pub fn start(name: &str, vcpus: u32) -> Node {
        let mut node = Node {
            name: name.parse().unwrap(),
            store: Arc::default(),
            hindrance: Arc::default(),
            shutdown: Duration::from_millis(1),
            heard: Arc::default(),
            directory: tempfile::tempdir().unwrap(),
            total: Resources { vcpus, memory_mib: 1 << 20, disk_gib: 1 << 20 },
            process: None,
        };
        node.begin();
        node
    }

    /// The process begins; nobody has met it yet.
    pub fn begin(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let listener: Arc<Mutex<Option<Addr<NodeManager>>>> = Arc::default();
        let told = listener.clone();
        let heard = self.heard.clone();
        let sink: EventSink = Arc::new(move |event| {
            heard.lock().unwrap().push(event.clone());
            if let Some(node) = &*told.lock().unwrap() {
                node.do_send(Happened(event));
            }
        });
        let options = SimulatedOptions {
            domains: Some(self.directory.path().join("domains")),
            shutdown: self.shutdown,
            ..SimulatedOptions::default()
        };
        let hypervisor = Arc::new(SimulatedHypervisor::open(options, sink).unwrap());
        let ports = self.directory.path().join("ports");
        let datapath = Arc::new(SimulatedDatapath::kept_in(&ports).unwrap());
        let instances = self.directory.path().join("instances");
        std::fs::create_dir_all(&instances).unwrap();
        let metadata = Arc::<MetadataRegistry>::default();
        let (hindrance, store) = (&self.hindrance, self.store.clone() as Arc<dyn Store>);
        let host = Host {
            hypervisor: Arc::new(Hindered {
                driver: hypervisor.clone(),
                hindrance: hindrance.clone(),
            }),
            datapath: Arc::new(Hindered { driver: datapath.clone(), hindrance: hindrance.clone() }),
            disks: Arc::new(SimulatedDisks),
            metadata: metadata.clone(),
            journal: Journal::start(store.clone()).unwrap(),
            threads: Threads::OfTokio,
            ambient: Ambient::seeded(1, Timestamp(0)).0,
            instances,
        };
        let parts = NodeParts {
            name: self.name.clone(),
            root: account('9'),
            host: Arc::new(host),
            total: self.total,
            store,
            hypervisor: "simulated".to_owned(),
        };
        let arbiter = Arbiter::new();
        let node = NodeManager::restore(parts).unwrap().start(&arbiter.handle());
        *listener.lock().unwrap() = Some(node.clone());
        self.process = Some(Process { node, arbiter, hypervisor, datapath, metadata });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        process.arbiter.stop();
        self.hindrance.kill();
        process.arbiter.join().unwrap();
        self.store.reopen();
        *self.hindrance.told.lock().unwrap() = Told::default();
    }

    pub fn restart(&mut self) {
        self.kill();
        self.begin();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// An event of the hypervisor's, at a time of the test's choice.
    pub fn happen(&self, event: DomainEvent) {
        self.process().node.do_send(Happened(event));
    }

    pub fn hypervisor(&self) -> &SimulatedHypervisor {
        &self.process().hypervisor
    }

    pub fn datapath(&self) -> &SimulatedDatapath {
        &self.process().datapath
    }

    /// What a guest with this address hears at 169.254.169.254.
    pub fn metadata(&self, address: Ipv4Addr) -> Option<Arc<InstanceMetadata>> {
        self.process().metadata.by_address(address)
    }

    pub async fn ask<M>(&self, message: M) -> Answer<M>
    where
        M: Ask,
        NodeManager: Serves<M> + Handler<Call<M>>,
        <NodeManager as Actor>::Context: ToEnvelope<NodeManager, Call<M>>,
    {
        self.ask_as(user(), message).await
    }

    pub async fn ask_as<M>(&self, caller: Caller, message: M) -> Answer<M>
    where
        M: Ask,
        NodeManager: Serves<M> + Handler<Call<M>>,
        <NodeManager as Actor>::Context: ToEnvelope<NodeManager, Call<M>>,
    {
        Address::Local(self.process().node.clone()).ask(on_behalf_of(caller), message).await
    }

    pub async fn boot(&self, spec: &InstanceSpec, revision: u64) -> Answer<BootInstance> {
        self.ask(BootInstance { spec: Box::new(spec.clone()), revision }).await
    }

    pub async fn instance(&self, id: &InstanceId) -> Option<InstanceReport> {
        let report = self.ask(DescribeNode).await.unwrap();
        report.instances.into_iter().find(|stated| stated.instance == *id)
    }

    pub async fn until(&self, id: &InstanceId, phase: BootPhase) -> InstanceReport {
        let what = format!("`{id}` {phase:?} on `{}`", self.name);
        wait(&what, || async { self.instance(id).await.filter(|stated| stated.phase == phase) })
            .await
    }

    /// What the node's records say is wanted of the instance.
    pub fn recorded(&self, id: &InstanceId) -> Option<InstanceSpec> {
        let records = load_all::<InstanceRecord>(&*self.store).unwrap();
        records.into_iter().map(|record| record.spec).find(|spec| spec.instance == *id)
    }

    /// The groups whose members the node has on record.
    pub fn knows_members_of(&self) -> Vec<SecurityGroupId> {
        let records = load_all::<MembersRecord>(&*self.store).unwrap();
        records.into_iter().map(|record| record.members.group).collect()
    }

    pub fn runs(&self, id: &InstanceId) -> bool {
        use crate::hypervisor::{DomainState, Ownership};
        let domains = self.hypervisor().domains().unwrap();
        domains.iter().any(|domain| {
            domain.ownership == Ownership::Ours(id.clone()) && domain.state == DomainState::Running
        })
    }

    /// Names of what there is of instances: directories, domains, ports.
    pub fn leftovers(&self) -> Vec<String> {
        let directory = self.directory.path();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory.join("instances")).unwrap() {
            found.push(format!("instances/{}", entry.unwrap().file_name().display()));
        }
        for kind in ["domains", "ports"] {
            let kept = Ledger::<String, serde_json::Value>::read(&directory.join(kind)).unwrap();
            found.extend(kept.into_keys().map(|name| format!("{kind}/{name}")));
        }
        found
    }
}

/// What a link does with one question.
#[derive(Debug, Clone)]
pub enum Fate {
    Deliver,
    /// Only when this is notified.
    Late(Arc<Notify>),
    /// Never, which is said when this is notified.
    Never(Arc<Notify>),
    LoseQuestion,
    /// There is no way to it now, which the asker learns.
    NoWay,
    LoseAnswer,
    Twice,
}

/// Decides over each question on a link.
pub type Weather = Arc<dyn Fn(&Envelope) -> Fate + Send + Sync>;

pub fn fair() -> Weather {
    Arc::new(|_| Fate::Deliver)
}

/// Loses the next questions (or their answers) of this name.
pub fn losing(name: &'static str, fate: Fate, times: usize) -> Weather {
    let left = Mutex::new(times);
    Arc::new(move |envelope| {
        let mut left = left.lock().unwrap();
        if envelope.name == name && *left > 0 {
            *left -= 1;
            return fate.clone();
        }
        Fate::Deliver
    })
}

/// An address through bytes and weather.
fn linked<A: Actor>(
    addr: &Addr<A>,
    attach: fn(&Addr<A>, &mut Switchboard),
    on: &ArbiterHandle,
    weather: Weather,
) -> Address<A> {
    let addr = addr.clone();
    let link = Loopback::start_in_arbiter(on, move |_| {
        let mut board = Switchboard::default();
        attach(&addr, &mut board);
        let board = Rc::new(board);
        Loopback::new(Box::new(move |envelope| {
            let (board, fate) = (board.clone(), weather(&envelope));
            Box::pin(async move {
                match fate {
                    Fate::Deliver => board.put_through(envelope).await,
                    Fate::Late(when) => {
                        when.notified().await;
                        board.put_through(envelope).await
                    }
                    Fate::Never(when) => {
                        when.notified().await;
                        Err(LinkFault::NotDelivered("the link was cut".to_owned()))
                    }
                    Fate::LoseQuestion => Err(LinkFault::Unanswered),
                    Fate::NoWay => Err(LinkFault::NotDelivered("it is cut off".into())),
                    Fate::LoseAnswer => {
                        let _ = board.put_through(envelope).await;
                        Err(LinkFault::Unanswered)
                    }
                    Fate::Twice => {
                        let _ = board.put_through(envelope.clone()).await;
                        board.put_through(envelope).await
                    }
                }
            })
        }))
    });
    Address::Remote(link.recipient())
}

/// A group of nodes, on the test's own thread.
#[derive(Debug)]
pub struct Group {
    pub store: Arc<MemoryStore>,
    pub addr: Addr<GroupManager>,
    pub nodes: Vec<Node>,
    placement: PolicyName,
}

impl Group {
    pub async fn start(nodes: Vec<Node>) -> Group {
        Group::placing(PolicyName::FirstFit, nodes).await
    }

    pub async fn placing(placement: PolicyName, nodes: Vec<Node>) -> Group {
        let store = Arc::<MemoryStore>::default();
        let addr = Group::manager(&store, placement);
        let group = Group { store, addr, nodes, placement };
        group.introduce(&fair()).await;
        group
    }

    fn manager(store: &Arc<MemoryStore>, placement: PolicyName) -> Addr<GroupManager> {
        let parts = GroupParts {
            name: GROUP.parse().unwrap(),
            store: store.clone(),
            root: account('9'),
            placement: placement.policy(),
        };
        GroupManager::restore(parts).unwrap().start(&Arbiter::current())
    }

    /// The process ends at any time, and begins again with what is on its disk.
    pub async fn restart(&mut self) {
        self.store.reopen();
        self.addr = Group::manager(&self.store, self.placement);
        self.introduce(&fair()).await;
    }

    /// Group and nodes meet; what the group asks of nodes goes through this weather from now on.
    pub async fn introduce(&self, weather: &Weather) {
        for node in &self.nodes {
            self.meet(node, weather).await;
        }
    }

    pub async fn meet(&self, node: &Node, weather: &Weather) {
        let process = node.process();
        let on = process.arbiter.handle();
        let known = linked(&process.node, NodeManager::attach, &on, weather.clone());
        self.addr.send(MeetNode(node.name.clone(), known)).await.unwrap();
        let parent = Address::Parent(self.addr.downgrade());
        process.node.send(MeetGroup(parent)).await.unwrap();
    }

    pub async fn free_vcpus(&self) -> u64 {
        let each = Resources { vcpus: 1, ..Resources::NONE };
        self.ask(DescribeResources { types: vec![each] }).await.unwrap().counts[0].0
    }

    pub async fn ask<M>(&self, message: M) -> Answer<M>
    where
        M: Ask,
        GroupManager: Serves<M> + Handler<Call<M>>,
        <GroupManager as Actor>::Context: ToEnvelope<GroupManager, Call<M>>,
    {
        Address::Local(self.addr.clone()).ask(on_behalf_of(user()), message).await
    }
}

/// A disk as one process has it: when that has ended it writes nothing any more, and so an actor of
/// it that is still about acknowledges and asks nothing.
#[derive(Debug)]
pub struct OfProcess {
    disk: Arc<MemoryStore>,
    ended: Mutex<bool>,
}

impl OfProcess {
    fn begin(disk: &Arc<MemoryStore>) -> Arc<OfProcess> {
        disk.reopen();
        Arc::new(OfProcess { disk: disk.clone(), ended: Mutex::new(false) })
    }

    fn end(&self) {
        *self.ended.lock().unwrap() = true;
    }
}

impl Store for OfProcess {
    fn scan(&self, table: Table) -> Result<Vec<Stored>, StoreFault> {
        self.disk.scan(table)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        let ended = self.ended.lock().unwrap();
        match *ended {
            true => Err(StoreFault::Io("the process has ended".to_owned())),
            false => self.disk.commit(batch),
        }
    }
}

/// A cloud of one group.
#[derive(Debug)]
pub struct Cloud {
    pub store: Arc<MemoryStore>,
    process: Arc<OfProcess>,
    pub addr: Addr<CloudManager>,
    pub published: Published,
    pub clock: ManualClock,
    pub group: Group,
    ambient: Ambient,
    settings: Arc<CloudSettings>,
}

impl Cloud {
    pub async fn start(nodes: Vec<Node>) -> Cloud {
        Cloud::start_in(fair(), nodes).await
    }

    /// What the cloud asks of its group goes through this weather.
    pub async fn start_in(weather: Weather, nodes: Vec<Node>) -> Cloud {
        Cloud::over(Group::start(nodes).await, weather).await
    }

    pub async fn over(group: Group, weather: Weather) -> Cloud {
        Cloud::start_with(CloudSettings::for_tests(), group, weather).await
    }

    pub async fn start_with(settings: CloudSettings, group: Group, weather: Weather) -> Cloud {
        let settings = Arc::new(settings);
        let store = Arc::<MemoryStore>::default();
        let mut batch = Batch::default();
        batch.put_record(&image());
        store.commit(batch).unwrap();
        let (ambient, clock) = Ambient::seeded(1, Timestamp(0));
        let process = OfProcess::begin(&store);
        let (addr, published) = Cloud::manager(&process, &ambient, &settings, &group, weather);
        let cloud = Cloud { store, process, addr, published, clock, group, ambient, settings };
        cloud.meet_group().await;
        cloud
    }

    fn manager(
        store: &Arc<OfProcess>,
        ambient: &Ambient,
        settings: &Arc<CloudSettings>,
        group: &Group,
        weather: Weather,
    ) -> (Addr<CloudManager>, Published) {
        let on = Arbiter::current();
        let below = linked(&group.addr, GroupManager::attach, &on, weather);
        let mut settings = CloudSettings::clone(settings);
        settings.groups[0].placement = group.placement;
        let parts = CloudParts {
            members: Arc::new(NoMembers::default()),
            settings: Arc::new(settings),
            ambient: ambient.clone(),
            store: store.clone(),
            groups: [(GROUP.parse().unwrap(), below)].into(),
            root: account('9'),
        };
        let (restored, published) = CloudManager::restore(parts).unwrap();
        (restored.start(&on), published)
    }

    async fn meet_group(&self) {
        let parent = Address::Parent(self.addr.downgrade());
        self.group.addr.send(MeetCloud(parent)).await.unwrap();
        self.group.introduce(&fair()).await;
    }

    /// Everything is started anew with a configuration that has not this node.
    pub async fn restart_without(&mut self, node: usize) -> Node {
        let mut taken = self.group.nodes.remove(node);
        taken.kill();
        self.group.restart().await;
        self.restart().await;
        taken
    }

    /// The cloud's process ends at any time, and begins again with what is on its disk.
    pub async fn restart(&mut self) {
        self.restart_in(fair()).await;
    }

    pub async fn restart_in(&mut self, weather: Weather) {
        self.restart_alone_in(weather);
        self.meet_group().await;
    }

    /// The same, and its group does not find it.
    pub fn restart_alone(&mut self) {
        self.restart_alone_in(fair());
    }

    fn restart_alone_in(&mut self, weather: Weather) {
        self.process.end();
        self.process = OfProcess::begin(&self.store);
        (self.addr, self.published) =
            Cloud::manager(&self.process, &self.ambient, &self.settings, &self.group, weather);
    }

    pub async fn command<C: Decide>(&self, command: C) -> Answer<Commanded<C>>
    where
        CloudManager: Serves<Commanded<C>>,
        C: Command,
    {
        let region = "us-east-1".parse().unwrap();
        let asked = Commanded { region, dry_run: false, command };
        Address::Local(self.addr.clone()).ask(on_behalf_of(user()), asked).await
    }

    pub async fn launch(&self, count: u32) -> Vec<InstanceId> {
        let launch = LaunchReservation { min_count: count, max_count: count, ..a_launch() };
        self.command(launch).await.unwrap().instances
    }

    pub fn instance(&self, id: &InstanceId) -> Arc<Instance> {
        self.published.load().instance(id).unwrap().clone()
    }

    /// Waits for an instance to be so; time goes on, so that what is overdue is asked again.
    pub async fn until(&self, id: &InstanceId, is: impl Fn(&Instance) -> bool) -> Arc<Instance> {
        wait(&format!("{id}"), || async {
            self.clock.advance(Duration::from_millis(20));
            Some(self.instance(id)).filter(|instance| is(instance))
        })
        .await
    }
}

pub fn a_launch() -> LaunchReservation {
    LaunchReservation::of(IMAGE.parse().unwrap())
}

/// A machine image that everybody may launch.
pub fn image() -> Image {
    Image {
        id: IMAGE.parse().unwrap(),
        kind: ImageKind::Machine,
        owner: account('9'),
        name: "demo".to_owned(),
        description: None,
        architecture: "x86_64".to_owned(),
        blob: BlobId::of_digest([7; 32]),
        format: DiskFormat::Raw,
        size_gib: 1,
        kernel: None,
        ramdisk: None,
        root_device_name: "/dev/sda1".to_owned(),
        public: true,
        launch_permissions: BTreeSet::new(),
        created_at: Timestamp(0),
    }
}

/// The same instance as the cloud wants it when it asks anew.
pub fn asked_anew(spec: &InstanceSpec) -> InstanceSpec {
    InstanceSpec { filters_generation: spec.filters_generation + 1, ..spec.clone() }
}

/// The spec of an instance that a cloud would launch; another for each number.
pub fn spec(number: u64, resources: Resources) -> InstanceSpec {
    let settings = CloudSettings::for_tests();
    let mut state = CloudState::default();
    state.apply(&Change::Put(Entry::Image(Arc::new(image()))));
    let everything = Resources { vcpus: 99, memory_mib: 1 << 20, disk_gib: 1 << 20 };
    let (group, node) = (GROUP.parse().unwrap(), "somewhere".parse().unwrap());
    state.capacity.report(&group, &node, everything, Resources::NONE, Timestamp(0));
    let caller = user();
    let scope = Scope { account: caller.account.clone(), region: "us-east-1".parse().unwrap() };
    let mut chance = Ambient::seeded(number, Timestamp(0)).0.chance("spec");
    let mut draft = Draft::new(&state, &settings, &caller, scope, Timestamp(0), &mut *chance);
    scope::open(&mut draft);
    let launched = a_launch().decide(&mut draft).unwrap();
    let state = draft.decided().state;
    let instance = state.instance(&launched.instances[0]).unwrap();
    InstanceSpec { resources, ..instance_spec::of(instance, &state, &settings, 0).unwrap() }
}
