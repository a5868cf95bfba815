//! A whole simulated cloud: the real managers, each in a process of its own that can be killed and
//! begun again, over machines and links that are made up.

use super::{
    carrier::{Carrier, Place, Weather},
    chronicle::Chronicle,
    disk::Disk,
    machine::{Machine, MachineOptions},
    process::Process,
};
use crate::{
    actors::{
        address::{Address, Answer, Call, Serves},
        cloud::{CloudManager, CloudParts, Published, command::Decide},
        group::{GroupManager, GroupParts, MeetCloud, MeetNode},
        node::{MeetGroup, NodeManager},
        switchboard::Switchboard,
    },
    ambient::Ambient,
    domain::{
        account::{Caller, Role},
        blob::BlobId,
        cloud_state::CloudState,
        elastic_address::{Egress, ElasticPool},
        id::{AccountId, GroupName, ImageId, NodeName, RegionName},
        image::{DiskFormat, Image, ImageIdFamily, ImageKind},
        instance_type::InstanceTypes,
        membership::NoMembers,
        placement::PolicyName,
        port_filter::Cidr,
        resources::Resources,
        settings::{CloudSettings, GroupSettings, MetaZoneListing, Reach, Regions},
        sla::SlaPolicies,
        time::Timestamp,
    },
    messages::{Ask, CallContext, cloud::Commanded},
    store::{Batch, Store, StoreFault},
};
use actix::{Addr, Handler, dev::ToEnvelope};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    net::Ipv4Addr,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

pub const IMAGE: &str = "ami-0000000a";
pub const REGION: &str = "us-east-1";
/// Where elastic addresses are from.
const ELASTIC: &str = "203.0.113.0/28";
const ROOT: &str = "999999999999";

/// How long anybody waits for an answer.
const PATIENCE_MS: u64 = 20_000;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub groups: usize,
    pub nodes_per_group: usize,
    pub placement: PolicyName,
    /// Of a node.
    pub total: Resources,
    /// `m1.small` and `m1.large`.
    pub instance_types: [Resources; 2],
    /// Each group has so many public addresses: `32 -` the logarithm.
    pub addresses_prefix: u8,
    pub terminated_shown: Duration,
    pub weather: Weather,
    pub work_max: Duration,
    pub commit_max: Duration,
    pub shutdown: Duration,
    pub failure_rate: f64,
}

impl Plan {
    /// Small enough that everything runs short now and then.
    pub fn small(seed: u64) -> Plan {
        Plan {
            seed,
            groups: 2,
            nodes_per_group: 3,
            placement: PolicyName::FirstFit,
            total: Resources { vcpus: 4, memory_mib: 4096, disk_gib: 24 },
            instance_types: [
                Resources { vcpus: 1, memory_mib: 256, disk_gib: 2 },
                Resources { vcpus: 2, memory_mib: 1024, disk_gib: 4 },
            ],
            addresses_prefix: 28,
            terminated_shown: Duration::from_secs(20),
            weather: Weather::rough(),
            work_max: Duration::from_millis(60),
            commit_max: Duration::from_millis(4),
            shutdown: Duration::from_millis(700),
            failure_rate: 0.04,
        }
    }

    fn settings(&self) -> CloudSettings {
        let groups = (0..self.groups).map(|number| {
            let first =
                Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + ((number as u32) << 20));
            let range = format!("{first}/{}", self.addresses_prefix);
            GroupSettings {
                name: group_name(number),
                public_addresses: parsed::<Cidr>(&range),
                gateway: Ipv4Addr::from(u32::from(first) + 1),
                placement: self.placement,
            }
        });
        let [small, large] = self.instance_types;
        CloudSettings {
            regions: Regions::Any { default: parsed(REGION) },
            groups: groups.collect(),
            instance_types: InstanceTypes(
                [("m1.small".to_owned(), small), ("m1.large".to_owned(), large)].into(),
            ),
            image_id_family: ImageIdFamily::Ami,
            terminated_shown: self.terminated_shown,
            reach: Reach::Routed,
            elastic: ElasticPool {
                range: Some(parsed(ELASTIC)),
                egress: Egress::Elastic,
                per_account: ElasticPool::PER_ACCOUNT,
            },
            sla: SlaPolicies::default(),
            meta_zones: Vec::new(),
            meta_zones_listed: MetaZoneListing::default(),
        }
    }
}

#[derive(Debug)]
pub struct SimulatedCloud {
    pub carrier: Carrier,
    pub machines: BTreeMap<NodeName, Machine>,
    pub ambient: Ambient,
    pub settings: Arc<CloudSettings>,
    /// Machines that are gone for good, with their guests.
    pub lost: BTreeSet<NodeName>,
    group_disks: BTreeMap<GroupName, Arc<Disk>>,
    cloud_disk: Arc<Disk>,
    /// The managers that run.
    cloud: Option<(Rc<Process>, Addr<CloudManager>)>,
    groups: BTreeMap<GroupName, (Rc<Process>, Addr<GroupManager>)>,
    nodes: BTreeMap<NodeName, (Rc<Process>, Addr<NodeManager>)>,
    /// Of the cloud manager that runs, or ran last.
    published: Published,
    chronicle: Chronicle,
    placement: PolicyName,
}

impl SimulatedCloud {
    /// Everything runs, and nobody has said anything yet. Instances' directories are made under
    /// `directory`. To be called among tasks of one thread (a `LocalSet`).
    pub fn begin(
        plan: &Plan,
        directory: &Path,
        chronicle: Chronicle,
    ) -> io::Result<SimulatedCloud> {
        let ambient = Ambient::in_virtual_time(plan.seed, Timestamp(1_600_000_000_000));
        let settings = Arc::new(plan.settings());
        let disk = |whose: &str| Arc::new(Disk::new(plan.seed, whose, plan.commit_max));
        let mut machines = BTreeMap::new();
        let mut group_disks = BTreeMap::new();
        for group in 0..plan.groups {
            let group = group_name(group);
            group_disks.insert(group.clone(), disk(group.as_str()));
            for number in 0..plan.nodes_per_group {
                let name: NodeName = parsed(&format!("{group}-n{number}"));
                let options = MachineOptions {
                    seed: plan.seed,
                    total: plan.total,
                    work_max: plan.work_max,
                    commit_max: plan.commit_max,
                    shutdown: plan.shutdown,
                    failure_rate: plan.failure_rate,
                };
                let instances = directory.join(name.as_str());
                let machine = Machine::new(name.clone(), group.clone(), instances, options)?;
                machines.insert(name, machine);
            }
        }
        let cloud_disk = disk("cloud");
        let mut batch = Batch::default();
        batch.put_record(&image());
        cloud_disk.commit(batch).map_err(io::Error::other)?;
        let mut cloud = SimulatedCloud {
            carrier: Carrier::begin(plan.seed, plan.weather.clone(), chronicle.clone()),
            machines,
            ambient,
            settings,
            lost: BTreeSet::new(),
            group_disks,
            cloud_disk,
            cloud: None,
            groups: BTreeMap::new(),
            nodes: BTreeMap::new(),
            published: Arc::new(arc_swap::ArcSwap::from_pointee(CloudState::default())),
            chronicle,
            placement: plan.placement,
        };
        cloud.begin_all();
        Ok(cloud)
    }

    /// Whatever does not run begins.
    pub fn begin_all(&mut self) {
        let nodes: Vec<_> = self.machines.keys().map(|name| Place::Node(name.clone())).collect();
        let groups = self.group_disks.keys().map(|name| Place::Group(name.clone()));
        let places: Vec<_> = nodes.into_iter().chain(groups).chain([Place::Cloud]).collect();
        for place in places.iter().filter(|place| !self.runs(place)).collect::<Vec<_>>() {
            self.begin_manager(place);
        }
    }

    pub fn runs(&self, place: &Place) -> bool {
        match place {
            Place::Cloud => self.cloud.is_some(),
            Place::Group(name) => self.groups.contains_key(name),
            Place::Node(name) => self.nodes.contains_key(name),
        }
    }

    /// Managers whose actor has ended though nobody killed it.
    pub fn died(&self) -> Vec<Place> {
        let cloud = self.cloud.iter().filter(|(_, addr)| !addr.connected()).map(|_| Place::Cloud);
        let groups = self.groups.iter().filter(|(_, (_, addr))| !addr.connected());
        let nodes = self.nodes.iter().filter(|(_, (_, addr))| !addr.connected());
        cloud
            .chain(groups.map(|(name, _)| Place::Group(name.clone())))
            .chain(nodes.map(|(name, _)| Place::Node(name.clone())))
            .collect()
    }

    /// A manager's process begins with what is on its disk. One whose machine is lost does not, nor
    /// one that cannot write down that it did.
    pub fn begin_manager(&mut self, place: &Place) {
        let begun = match place {
            Place::Cloud => self.begin_cloud(),
            Place::Group(name) => self.begin_group(name),
            Place::Node(name) if self.lost.contains(name) => return,
            Place::Node(name) => self.begin_node(name),
        };
        match begun {
            Ok(()) => self.chronicle.note(format_args!("{place} begins")),
            Err(why) => self.chronicle.note(format_args!("{place} cannot begin: {why}")),
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self, place: &Place) {
        self.chronicle.note(format_args!("{place} is killed"));
        self.carrier.close(place);
        let process = match place {
            Place::Cloud => self.cloud.take().map(|(process, _)| process),
            Place::Group(name) => self.groups.remove(name).map(|(process, _)| process),
            Place::Node(name) => {
                self.machines[name].listen(None);
                self.nodes.remove(name).map(|(process, _)| process)
            }
        };
        if let Some(process) = process {
            process.end();
        }
    }

    /// A machine is gone for good, and its guests with it.
    pub fn lose(&mut self, name: &NodeName) {
        self.chronicle.note(format_args!("machine {name} is lost"));
        if self.runs(&Place::Node(name.clone())) {
            self.kill(&Place::Node(name.clone()));
        }
        self.lost.insert(name.clone());
    }

    pub fn disk(&self, place: &Place) -> &Disk {
        match place {
            Place::Cloud => &self.cloud_disk,
            Place::Group(name) => &self.group_disks[name],
            Place::Node(name) => &self.machines[name].disk,
        }
    }

    pub fn group_disk(&self, name: &GroupName) -> &Disk {
        &self.group_disks[name]
    }

    /// What is on all disks together.
    pub fn record_bytes(&self) -> u64 {
        let machines = self.machines.values().map(|machine| &machine.disk);
        let disks = machines.chain(self.group_disks.values()).chain([&self.cloud_disk]);
        disks.map(|disk| disk.size_bytes() as u64).sum()
    }

    pub fn mend_disks(&self) {
        self.cloud_disk.mend();
        self.group_disks.values().for_each(|disk| disk.mend());
        self.machines.values().for_each(|machine| machine.disk.mend());
    }

    pub fn group_names(&self) -> Vec<GroupName> {
        self.group_disks.keys().cloned().collect()
    }

    /// Machines that are not lost.
    pub fn living(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| !self.lost.contains(&machine.name))
    }

    /// What describing shows.
    pub fn state(&self) -> Arc<CloudState> {
        self.published.load_full()
    }

    /// A user's command, if there is a cloud manager to take it. The answer may be awaited later.
    pub fn command<C>(
        &self,
        account: &AccountId,
        command: C,
    ) -> Option<impl Future<Output = Answer<Commanded<C>>> + use<C>>
    where
        C: Decide,
        CloudManager: Serves<Commanded<C>>,
    {
        let (_, addr) = self.cloud.as_ref()?;
        let caller = Caller { account: account.clone(), role: Role::User };
        let asked = Commanded { region: parsed::<RegionName>(REGION), dry_run: false, command };
        Some(Address::Local(addr.clone()).ask(context(caller), asked))
    }

    /// Asked of a group as an administrator beside it would, past all links.
    pub async fn ask_group<M>(&self, name: &GroupName, message: M) -> Option<Answer<M>>
    where
        M: Ask,
        GroupManager: Serves<M> + Handler<Call<M>>,
        <GroupManager as actix::Actor>::Context: ToEnvelope<GroupManager, Call<M>>,
    {
        let (_, addr) = self.groups.get(name)?;
        Some(Address::Local(addr.clone()).ask(context(root()), message).await)
    }

    /// The same of a node.
    pub async fn ask_node<M>(&self, name: &NodeName, message: M) -> Option<Answer<M>>
    where
        M: Ask,
        NodeManager: Serves<M> + Handler<Call<M>>,
        <NodeManager as actix::Actor>::Context: ToEnvelope<NodeManager, Call<M>>,
    {
        let (_, addr) = self.nodes.get(name)?;
        Some(Address::Local(addr.clone()).ask(context(root()), message).await)
    }

    fn begin_cloud(&mut self) -> Result<(), String> {
        self.cloud_disk.reopen();
        let process = Rc::new(Process::begin());
        let (addr, published) = process
            .within(|| {
                let below = self.group_disks.keys().map(|group| {
                    let link = self.carrier.link(Place::Cloud, Place::Group(group.clone()));
                    (group.clone(), Address::Remote(link.recipient()))
                });
                let parts = CloudParts {
                    settings: self.settings.clone(),
                    ambient: self.ambient.clone(),
                    store: self.cloud_disk.clone(),
                    groups: below.collect(),
                    root: parsed(ROOT),
                    members: Arc::new(NoMembers::default()),
                };
                let (restored, published) = CloudManager::restore(parts)?;
                Ok::<_, StoreFault>((restored.start_here(), published))
            })
            .map_err(|fault| fault.to_string())?;
        let mut board = Switchboard::default();
        CloudManager::attach(&addr, &mut board);
        self.carrier.open(Place::Cloud, process.clone(), board);
        self.published = published;
        self.cloud = Some((process, addr));
        Ok(())
    }

    fn begin_group(&mut self, name: &GroupName) -> Result<(), String> {
        let disk = self.group_disks[name].clone();
        disk.reopen();
        let process = Rc::new(Process::begin());
        let here = Place::Group(name.clone());
        let addr = process
            .within(|| {
                let parts = GroupParts {
                    name: name.clone(),
                    store: disk,
                    root: parsed(ROOT),
                    placement: self.placement.policy(),
                };
                let addr = GroupManager::restore(parts)?.start_here();
                for machine in self.machines.values().filter(|machine| machine.group == *name) {
                    let link = self.carrier.link(here.clone(), Place::Node(machine.name.clone()));
                    addr.do_send(MeetNode(machine.name.clone(), Address::Remote(link.recipient())));
                }
                let above = self.carrier.link(here.clone(), Place::Cloud);
                addr.do_send(MeetCloud(Address::Remote(above.recipient())));
                Ok::<_, StoreFault>(addr)
            })
            .map_err(|fault| fault.to_string())?;
        let mut board = Switchboard::default();
        GroupManager::attach(&addr, &mut board);
        self.carrier.open(here, process.clone(), board);
        self.groups.insert(name.clone(), (process, addr));
        Ok(())
    }

    fn begin_node(&mut self, name: &NodeName) -> Result<(), String> {
        let machine = &self.machines[name];
        let process = Rc::new(Process::begin());
        let here = Place::Node(name.clone());
        let addr = process.within(|| {
            let addr = machine.restore(&parsed(ROOT), &self.ambient)?.start_here();
            let above = self.carrier.link(here.clone(), Place::Group(machine.group.clone()));
            addr.do_send(MeetGroup(Address::Remote(above.recipient())));
            Ok::<_, crate::actors::node::RestoreFault>(addr)
        });
        let addr = addr.map_err(|fault| fault.to_string())?;
        machine.listen(Some(addr.clone()));
        let mut board = Switchboard::default();
        NodeManager::attach(&addr, &mut board);
        self.carrier.open(here, process.clone(), board);
        self.nodes.insert(name.clone(), (process, addr));
        Ok(())
    }
}

fn context(caller: Caller) -> CallContext {
    CallContext {
        request_id: "simulated".to_owned(),
        trace_id: None,
        time_left_ms: PATIENCE_MS,
        on_behalf_of: caller,
    }
}

fn root() -> Caller {
    Caller { account: parsed(ROOT), role: Role::Administrator }
}

fn group_name(number: usize) -> GroupName {
    parsed(&format!("g{number}"))
}

pub(super) fn parsed<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the simulation's own names are well formed")
}

/// A machine image that everybody may launch.
fn image() -> Image {
    Image {
        id: parsed::<ImageId>(IMAGE),
        kind: ImageKind::Machine,
        owner: parsed(ROOT),
        name: "simulated".to_owned(),
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
