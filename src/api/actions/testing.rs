//! A whole cloud to try actions on: a real cloud manager over a store in memory, no guests.
//!
//! Two zones have a node each, and `settle` plays both nodes' part: everything asked for has
//! happened. Time stands still until told otherwise and chance is seeded, so answers repeat
//! exactly. Ids are shown and may be written by their order of appearance (`sg-1`, `i-2`), so that
//! what an action answers can be compared whole.

use super::ActionCall;
use crate::{
    actors::{
        address::Address,
        cloud::{CloudManager, CloudParts, records},
    },
    ambient::{Ambient, ManualClock},
    api::{
        action::{Cloud, Exchange},
        cloud_certificate::tests::some_certificate,
        edition::{Edition, fits},
        error::ApiError,
        parameters::Parameters,
        response::{IAM_VERSION, STS_VERSION},
        service::Service,
    },
    blobs::{BlobCheck, BlobFault},
    domain::{
        account::{AccessKey, Account, Caller, Role, SecretKey},
        allocation::AllocationName,
        blob::BlobId,
        boot_phase::BootPhase,
        cloud_state::{Change, CloudState, Entry},
        credential::CredentialStatus,
        id::{InstanceId, RegionName},
        image::{DiskFormat, Image},
        instance::InstanceState,
        instance_type::InstanceTypes,
        membership::NoMembers,
        placement::PolicyName,
        resources::Resources,
        scope::Scope,
        settings::{CloudSettings, GroupSettings, MetaZone, MetaZoneListing},
        time::Timestamp,
        trace::Cause,
    },
    messages::{
        cloud::{LaunchReservation, ReportGroup, ReportPlacements},
        report::{GroupReport, InstanceReport, NodeReport},
    },
    store::{Store, memory::MemoryStore},
};
use actix::Arbiter;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// Whose requests are administrator's.
pub const ROOT: &str = "123456789012";
/// Who asks if nothing else is said.
pub const ALICE: &str = "111111111111";
pub const BOB: &str = "222222222222";

pub const REGION: &str = "us-east-1";
/// Root's, and public: 1 GiB, qcow2.
pub const IMAGE: &str = "ami-0000000a";

/// The one blob there is: the bytes of `IMAGE`.
pub const BLOB: BlobId = BlobId::of_digest([7; 32]);
pub const BLOB_BYTES: u64 = 3 << 30;

/// 2026-01-02T03:04:05.000Z
const BEGIN: Timestamp = Timestamp(1_767_323_045_000);

const OF_IAM: [&str; 10] = [
    "CreateAccessKey",
    "CreateSigningCertificate",
    "DeleteAccessKey",
    "DeleteSigningCertificate",
    "GetUser",
    "ListAccessKeys",
    "ListSigningCertificates",
    "UpdateAccessKey",
    "UpdateSigningCertificate",
    "UploadSigningCertificate",
];

/// A cloud, seen by one caller in one region.
#[derive(Clone)]
pub struct TestCloud {
    pub cloud: Cloud,
    pub store: Arc<MemoryStore>,
    clock: ManualClock,
    caller: Caller,
    region: RegionName,
    aliases: Rc<RefCell<Aliases>>,
    generation: Rc<Cell<u64>>,
    impairment: Rc<RefCell<Option<String>>>,
}

impl TestCloud {
    /// Alice's view of a new cloud in `REGION`.
    pub async fn start() -> TestCloud {
        let store = Arc::new(MemoryStore::default());
        let changes: Vec<_> = seeds().into_iter().map(Change::Put).collect();
        store.commit(records::batch(&changes)).unwrap();
        let (ambient, clock) = Ambient::seeded(1, BEGIN);
        let settings = Arc::new(settings());
        let (manager, published) = CloudManager::restore(CloudParts {
            members: Arc::new(NoMembers::default()),
            settings: settings.clone(),
            ambient: ambient.clone(),
            store: store.clone(),
            groups: BTreeMap::new(),
            root: ROOT.parse().unwrap(),
        })
        .unwrap();
        let manager = Address::Local(manager.start(&Arbiter::current()));
        let cloud = TestCloud {
            cloud: Cloud {
                settings,
                ambient,
                blobs: Arc::new(OneBlob),
                members: Arc::new(NoMembers::default()),
                certificate: some_certificate(),
                published,
                manager,
            },
            store,
            clock,
            caller: Caller { account: ALICE.parse().unwrap(), role: Role::User },
            region: REGION.parse().unwrap(),
            aliases: Rc::default(),
            generation: Rc::default(),
            impairment: Rc::default(),
        };
        cloud.settle().await;
        cloud
    }

    /// The same cloud as another user sees it.
    pub fn of(&self, account: &str) -> TestCloud {
        let caller = Caller { account: account.parse().unwrap(), role: Role::User };
        TestCloud { caller, ..self.clone() }
    }

    pub fn administrator(&self) -> TestCloud {
        let caller = Caller { account: ROOT.parse().unwrap(), role: Role::Administrator };
        TestCloud { caller, ..self.clone() }
    }

    pub fn in_region(&self, region: &str) -> TestCloud {
        TestCloud { region: region.parse().unwrap(), ..self.clone() }
    }

    /// The same cloud, set to list meta-zones always.
    pub fn listing_meta_zones(&self) -> TestCloud {
        let mut changed = self.clone();
        let mut settings = CloudSettings::clone(&self.cloud.settings);
        settings.meta_zones_listed = MetaZoneListing::Always;
        changed.cloud.settings = Arc::new(settings);
        changed
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub fn state(&self) -> Arc<CloudState> {
        self.cloud.published.load_full()
    }

    pub fn scope(&self) -> Scope {
        Scope { account: self.caller.account.clone(), region: self.region.clone() }
    }

    /// An exchange such as an action is given.
    pub async fn exchange(&self) -> Exchange {
        self.begin(false).await.unwrap()
    }

    /// What the action answers: the elements beside `requestId`. The query is as in a URL; ids in
    /// it may be aliases.
    pub async fn call(&self, action: &str, query: &str) -> Result<String, ApiError> {
        let parameters = Parameters::parse(&self.aliases.borrow().resolved(query), b"")?;
        let dry_run = parameters.get("DryRun") == Some("true");
        let exchange = self.begin(dry_run).await?;
        let version = match action {
            "GetCallerIdentity" => STS_VERSION,
            action if OF_IAM.contains(&action) => IAM_VERSION,
            _ => "2016-11-15",
        };
        let service = Service::of_version(Some(version));
        let call = ActionCall { service, name: action, version, parameters: &parameters };
        match super::perform(&call, &exchange).await {
            Ok(document) => {
                if service == Service::Ec2 {
                    fits::check(Edition::Today, action, &document);
                }
                Ok(self.aliases.borrow_mut().aliased(&inner(&document)))
            }
            Err(error) => {
                let message = self.aliases.borrow_mut().aliased(&error.message);
                Err(ApiError { message, ..error })
            }
        }
    }

    /// The action answers exactly this.
    pub async fn check(&self, action: &str, query: &str, answer: &str) {
        match self.call(action, query).await {
            Ok(given) => assert_eq!(given, answer, "{action} {query}"),
            Err(error) => panic!("{action} {query}: {error}"),
        }
    }

    /// The action is refused with this code and a text that has `part` in it.
    pub async fn check_refused(&self, action: &str, query: &str, code: &str, part: &str) {
        match self.call(action, query).await {
            Ok(given) => panic!("{action} {query} is not refused: {given}"),
            Err(error) => {
                assert_eq!(error.code.as_str(), code, "{action} {query}: {}", error.message);
                assert!(error.message.contains(part), "{action} {query}: {}", error.message);
            }
        }
    }

    /// The text of the first element of that name in an action's answer.
    pub async fn value(&self, action: &str, query: &str, element: &str) -> String {
        let answer = self.call(action, query).await.unwrap();
        value_in(&answer, element).unwrap_or_else(|| panic!("no {element} in {answer}")).to_owned()
    }

    /// The texts of all elements of that name in an action's answer.
    pub async fn values(&self, action: &str, query: &str, element: &str) -> Vec<String> {
        let mut answer = &*self.call(action, query).await.unwrap();
        let mut values = Vec::new();
        let end = format!("</{element}>");
        while let Some(value) = value_in(answer, element) {
            values.push(value.to_owned());
            answer = answer.split_once(&end).expect("a value has an end").1;
        }
        values
    }

    /// Launches with nothing but a number given; the instances are `pending`.
    pub async fn launch(&self, count: u32) -> Vec<InstanceId> {
        self.launch_as(LaunchReservation { max_count: count, min_count: count, ..a_launch() }).await
    }

    pub async fn launch_as(&self, launch: LaunchReservation) -> Vec<InstanceId> {
        self.exchange().await.command(launch).await.unwrap().instances
    }

    /// The groups say that these nodes were taken away from them.
    pub async fn say_absent(&self, nodes: &[&str]) {
        let exchange = self.begin(false).await.unwrap();
        for group in ["zone-one", "zone-two"] {
            let absent = nodes.iter().map(|node| node.parse().unwrap()).collect();
            let group = group.parse().unwrap();
            let report = ReportPlacements { group, unstated: Vec::new(), absent };
            exchange.ask(report).await.unwrap();
        }
    }

    /// What nodes say is wrong with every instance, from their next report on.
    pub fn impair(&self, why: Option<&str>) {
        *self.impairment.borrow_mut() = why.map(str::to_owned);
    }

    /// The nodes report that everything wanted of them has happened.
    pub async fn settle(&self) {
        let exchange = self.begin(false).await.unwrap();
        let state = self.state();
        for (group, node) in [("zone-one", "node-one"), ("zone-two", "node-two")] {
            let instances = state
                .instances()
                .filter(|i| i.group.as_str() == group)
                .filter_map(|i| {
                    Some(InstanceReport {
                        instance: i.id.clone(),
                        owner: i.scope.account.clone(),
                        revision: i.revision,
                        phase: settled(i.state)?,
                        reason: None,
                        impairment: self.impairment.borrow().clone(),
                        held: i.resources,
                    })
                })
                .collect();
            self.generation.set(self.generation.get() + 1);
            let report = NodeReport {
                node: node.parse().unwrap(),
                generation: self.generation.get(),
                made_at: self.clock.now(),
                total: Resources { vcpus: 64, memory_mib: 65_536, disk_gib: 1000 },
                since: None,
                instances,
                gone: Vec::new(),
                foreign: Vec::new(),
                hypervisor: "none".to_owned(),
            };
            let report = GroupReport { group: group.parse().unwrap(), report };
            exchange.ask(ReportGroup { report }).await.unwrap();
        }
    }

    async fn begin(&self, dry_run: bool) -> Result<Exchange, ApiError> {
        let caller = self.caller.clone();
        Exchange::begin(&self.cloud, caller, self.scope(), Cause::occasion("request"), dry_run)
            .await
    }
}

/// One instance of `IMAGE`, everything else left to the cloud.
pub fn a_launch() -> LaunchReservation {
    LaunchReservation::of(IMAGE.parse().unwrap())
}

fn settled(state: InstanceState) -> Option<BootPhase> {
    match state {
        InstanceState::Pending | InstanceState::Running => Some(BootPhase::Running),
        InstanceState::Stopping | InstanceState::Stopped => Some(BootPhase::Stopped),
        InstanceState::ShuttingDown => Some(BootPhase::Ended),
        InstanceState::Terminated => None,
    }
}

fn settings() -> CloudSettings {
    let group = |name: &str, range: &str, gateway: &str| GroupSettings {
        name: name.parse().unwrap(),
        public_addresses: range.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
        placement: PolicyName::FirstFit,
    };
    let resources = |vcpus, memory_mib| Resources { vcpus, memory_mib, disk_gib: 2 };
    let types = [
        ("m1.small", resources(1, 256)),
        ("t3.micro", resources(2, 1024)),
        ("m5.large", resources(2, 8192)),
    ];
    let meta_zone = |name: &str, policy| MetaZone {
        name: name.parse().unwrap(),
        policy,
        groups: ["zone-one", "zone-two"].map(|group| group.parse().unwrap()).into(),
    };
    CloudSettings {
        meta_zones: vec![
            meta_zone("any", AllocationName::EmptiestFirst),
            meta_zone("whole", AllocationName::OneZone),
        ],
        groups: vec![
            group("zone-one", "198.51.100.0/24", "198.51.100.1"),
            group("zone-two", "203.0.113.0/24", "203.0.113.1"),
        ],
        instance_types: InstanceTypes(types.map(|(name, of)| (name.to_owned(), of)).into()),
        ..CloudSettings::for_tests()
    }
}

#[derive(Debug)]
struct OneBlob;

impl BlobCheck for OneBlob {
    fn length(&self, blob: &BlobId) -> Result<Option<u64>, BlobFault> {
        Ok((*blob == BLOB).then_some(BLOB_BYTES))
    }
}

/// What is in the records before the cloud starts.
fn seeds() -> Vec<Entry> {
    let mut seeds = vec![Entry::Image(Arc::new(image()))];
    for (id, name, role) in [
        (ROOT, "root", Role::Administrator),
        (ALICE, "alice", Role::User),
        (BOB, "bob", Role::User),
    ] {
        let account = Account { id: id.parse().unwrap(), name: name.to_owned(), created_at: BEGIN };
        let key = AccessKey {
            id: format!("AKIA{}", name.to_uppercase()),
            secret: SecretKey(format!("{name}'s secret")),
            account: account.id.clone(),
            role,
            created_at: BEGIN,
            status: CredentialStatus::Active,
            issued: false,
        };
        seeds.push(Entry::Account(Arc::new(account)));
        seeds.push(Entry::AccessKey(Arc::new(key)));
    }
    seeds
}

fn image() -> Image {
    Image {
        owner: ROOT.parse().unwrap(),
        description: Some("A small Linux".to_owned()),
        blob: BLOB,
        format: DiskFormat::Qcow2,
        created_at: BEGIN,
        ..crate::actors::testing::image()
    }
}

/// The answer without its envelope.
fn inner(document: &str) -> String {
    let body = match document.split_once("</requestId>") {
        Some((_, body)) => body,
        None => document,
    };
    match body.rsplit_once("</") {
        Some((inner, _)) => inner.to_owned(),
        None => body.to_owned(),
    }
}

fn value_in<'a>(answer: &'a str, element: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(&format!("<{element}>"))?;
    rest.split_once(&format!("</{element}>")).map(|(value, _)| value)
}

/// Random ids by their order of appearance.
#[derive(Default)]
struct Aliases {
    alias_of: BTreeMap<String, String>,
    id_of: BTreeMap<String, String>,
    seen: BTreeMap<String, u32>,
}

impl Aliases {
    fn aliased(&mut self, text: &str) -> String {
        each_word(text, |word| {
            let prefix = random_id_prefix(word)?;
            if !self.alias_of.contains_key(word) {
                let seen = self.seen.entry(prefix.to_owned()).or_default();
                *seen += 1;
                let alias = format!("{prefix}{seen}");
                self.alias_of.insert(word.to_owned(), alias.clone());
                self.id_of.insert(alias, word.to_owned());
            }
            self.alias_of.get(word).cloned()
        })
    }

    fn resolved(&self, text: &str) -> String {
        each_word(text, |word| self.id_of.get(word).cloned())
    }
}

/// `i-` of `i-0123456789abcdef0`.
fn random_id_prefix(word: &str) -> Option<&str> {
    let (kind, digits) = word.rsplit_once('-')?;
    let random = digits.len() == 17 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    random.then(|| &word[..=kind.len()])
}

/// The text with some of its words (letters, digits, hyphens) replaced.
fn each_word(text: &str, mut replaced: impl FnMut(&str) -> Option<String>) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut result = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = &rest[..rest.find(|c| !in_word(c)).unwrap_or(rest.len())];
        result.push_str(replaced(word).as_deref().unwrap_or(word));
        rest = &rest[word.len()..];
        let gap = &rest[..rest.find(in_word).unwrap_or(rest.len())];
        result.push_str(gap);
        rest = &rest[gap.len()..];
    }
    result
}

#[actix_web::test]
async fn a_cloud_settles_what_was_launched_and_shows_each_caller_its_own() {
    let cloud = TestCloud::start().await;
    let ids = cloud.launch(2).await;
    assert_eq!(cloud.state().instance(&ids[0]).unwrap().state, InstanceState::Pending);
    cloud.settle().await;
    for id in &ids {
        assert_eq!(cloud.state().instance(id).unwrap().state, InstanceState::Running);
    }
    assert!(cloud.of(BOB).exchange().await.own().instances.is_empty());
    assert!(cloud.in_region("eu-west-1").exchange().await.own().instances.is_empty());
}

#[actix_web::test]
async fn an_answer_is_compared_whole_and_a_refusal_by_its_code() {
    let cloud = TestCloud::start().await;
    cloud
        .check(
            "DescribeRegions",
            "",
            "<regionInfo><item><regionName>us-east-1</regionName>\
             <regionEndpoint>ec2.us-east-1.mallee.internal</regionEndpoint>\
             <optInStatus>opt-in-not-required</optInStatus></item></regionInfo>",
        )
        .await;
    cloud.check_refused("DescribeRegions", "DryRun=true", "DryRunOperation", "").await;
    cloud.check_refused("Nonsense", "", "InvalidAction", "not valid for this web service").await;
}

#[test]
fn ids_are_told_and_taken_by_their_order_of_appearance() {
    let mut aliases = Aliases::default();
    let text = "<a>sg-0123456789abcdef0</a><b>i-1</b>x/eni-attach-0123456789abcdef1 \
                sg-0123456789abcdef2";
    let told = aliases.aliased(text);
    assert_eq!(told, "<a>sg-1</a><b>i-1</b>x/eni-attach-1 sg-2");
    assert_eq!(aliases.resolved("G=sg-2&H=sg-10"), "G=sg-0123456789abcdef2&H=sg-10");
}
