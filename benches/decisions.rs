//! The pure functions that a request's time is made of, one at a time, without a server around
//! them: a signature checked, parameters read, a launch decided, a thousand instances written, a
//! node chosen.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mallee::{
    actors::cloud::{command::Decide, records, scope},
    ambient::Ambient,
    api::{
        actions::run_instances::RunInstances,
        parameters::Parameters,
        query, response,
        service::Service,
        shapes::{instance::InstanceElement, reservation::by_reservation},
        signature::{Credential, Credentials, Received, v4, verify},
    },
    config::Configuration,
    domain::{
        account::{Caller, Role},
        blob::BlobId,
        capacity::Capacity,
        cloud_state::{Change, CloudState, Entry},
        draft::{Decision, Draft},
        id::{GroupName, InstanceId, PrefixedId},
        image::{DiskFormat, Image, ImageKind},
        placement::PolicyName,
        resources::Resources,
        scope::Scope,
        settings::CloudSettings,
        time::Timestamp,
    },
    messages::cloud::LaunchReservation,
};
use std::{collections::BTreeSet, hint::black_box, sync::Arc};

const ACCOUNT: &str = "123456789012";
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const IMAGE: &str = "ami-0000000a";
const NOW: Timestamp = Timestamp(1_767_323_045_000);
const LAUNCH: &str = "Action=RunInstances&Version=2016-11-15&ImageId=ami-0000000a&MinCount=1\
    &MaxCount=1&InstanceType=m1.small&SecurityGroup.1=default\
    &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
    &TagSpecification.1.Tag.1.Value=front";

struct OneKey;

impl Credentials for OneKey {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == ACCESS_KEY).then(|| Credential {
            secret: SECRET_KEY.to_owned(),
            account: ACCOUNT.parse().unwrap(),
            administrator: true,
            session_token: None,
        })
    }
}

fn requests(criterion: &mut Criterion) {
    let time = "20260102T030405Z";
    let mut headers: HeaderMap = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", "127.0.0.1:8773"),
        ("x-amz-date", time),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .collect();
    let unsigned = Received {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: LAUNCH.as_bytes(),
    };
    let scope =
        v4::Scope { date: "20260102".into(), region: "us-east-1".into(), service: "ec2".into() };
    let signed_headers = "content-type;host;x-amz-date";
    let claim = v4::sign(&unsigned, ACCESS_KEY, SECRET_KEY, &scope, time, signed_headers).unwrap();
    headers.insert(HeaderName::from_static("authorization"), claim.parse().unwrap());
    let received = Received {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: LAUNCH.as_bytes(),
    };
    let parameters = Parameters::parse("", LAUNCH.as_bytes()).unwrap();
    criterion.bench_function("check a SigV4 signature", |bencher| {
        bencher.iter(|| verify(&received, &parameters, Service::Ec2, &OneKey, NOW).unwrap());
    });
    criterion.bench_function("take a launch's parameters apart", |bencher| {
        bencher.iter(|| Parameters::parse("", black_box(LAUNCH.as_bytes())).unwrap());
    });
    criterion.bench_function("read RunInstances from its parameters", |bencher| {
        bencher.iter(|| query::read::<RunInstances>(&parameters).unwrap());
    });
}

/// A cloud of one node, and what it has decided so far.
struct World {
    state: CloudState,
    settings: CloudSettings,
    ambient: Ambient,
    caller: Caller,
}

impl World {
    fn new() -> World {
        let settings = Configuration::default().cloud_settings();
        let mut state = CloudState::default();
        let total = Resources { vcpus: 1 << 20, memory_mib: 1 << 40, disk_gib: 1 << 40 };
        let node = "node-one".parse().unwrap();
        state.capacity.report(&settings.groups[0].name, &node, total, Resources::NONE, NOW);
        state.apply(&Change::Put(Entry::Image(Arc::new(image()))));
        let caller = Caller { account: ACCOUNT.parse().unwrap(), role: Role::User };
        World { state, settings, ambient: Ambient::seeded(1, NOW).0, caller }
    }

    fn scope(&self) -> Scope {
        Scope { account: self.caller.account.clone(), region: "us-east-1".parse().unwrap() }
    }

    fn decide(&self, count: u32) -> Decision {
        let mut chance = self.ambient.chance("launch");
        let mut draft =
            Draft::new(&self.state, &self.settings, &self.caller, self.scope(), NOW, &mut *chance);
        scope::open(&mut draft);
        a_launch(count).decide(&mut draft).unwrap();
        draft.decided()
    }

    fn with(count: u32) -> World {
        let mut world = World::new();
        for _ in 0..count {
            world.state = world.decide(1).state;
        }
        world
    }
}

fn a_launch(count: u32) -> LaunchReservation {
    LaunchReservation {
        min_count: count,
        max_count: count,
        instance_type: Some("m1.small".to_owned()),
        instance_tags: [("Name".to_owned(), "front".to_owned())].into(),
        ..LaunchReservation::of(IMAGE.parse().unwrap())
    }
}

fn image() -> Image {
    Image {
        id: IMAGE.parse().unwrap(),
        kind: ImageKind::Machine,
        owner: ACCOUNT.parse().unwrap(),
        name: "demo".to_owned(),
        description: None,
        architecture: "x86_64".to_owned(),
        blob: BlobId::of_digest([1; 32]),
        format: DiskFormat::Raw,
        size_gib: 1,
        kernel: None,
        ramdisk: None,
        root_device_name: "/dev/sda1".to_owned(),
        public: true,
        launch_permissions: BTreeSet::new(),
        created_at: NOW,
    }
}

fn launches(criterion: &mut Criterion) {
    for existing in [10, 3000] {
        let world = World::with(existing);
        criterion.bench_function(&format!("decide a launch beside {existing} instances"), |b| {
            b.iter_batched(|| (), |()| world.decide(1), BatchSize::SmallInput);
        });
        let decision = world.decide(1);
        let bytes = records::batch(&decision.changes).size_bytes();
        println!("a launch puts {bytes} bytes on record");
        criterion.bench_function("make a launch's records", |bencher| {
            bencher.iter(|| records::batch(black_box(&decision.changes)));
        });
    }
}

fn answers(criterion: &mut Criterion) {
    let world = World::with(1000);
    let state = Arc::new(world.state.clone());
    let elements: Vec<InstanceElement> = state
        .instances()
        .map(|instance| InstanceElement {
            instance: instance.clone(),
            state: state.clone(),
            reach: mallee::domain::settings::Reach::Routed,
        })
        .collect();
    let answer = by_reservation(elements.clone());
    let bytes = response::render("X", "2016-11-15", "r", &answer).unwrap().len();
    let mut group = criterion.benchmark_group("1000 instances");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("put under their reservations", |bencher| {
        bencher.iter_batched(|| elements.clone(), by_reservation, BatchSize::SmallInput);
    });
    group.bench_function("written as XML", |bencher| {
        bencher.iter(|| response::render("X", "2016-11-15", "r", &answer).unwrap());
    });
    // What cannot be done without: the same bytes, copied piece by piece.
    let text = response::render("X", "2016-11-15", "r", &answer).unwrap();
    let pieces: Vec<&str> = text.split_inclusive('>').collect();
    group.bench_function("the same bytes appended to a string", |bencher| {
        bencher.iter(|| {
            let mut copy = String::new();
            for piece in &pieces {
                copy.push_str(piece);
            }
            copy
        });
    });
    group.finish();
}

/// Room is taken and given back beside instances that fill most of the group: nodes alike to the
/// last, nodes that ran out of one thing or another (which is where a search goes astray if it may),
/// and no room at all.
fn placement(criterion: &mut Criterion) {
    let wanted = Resources { vcpus: 1, memory_mib: 1024, disk_gib: 2 };
    let instance = InstanceId::lowest();
    for policy in PolicyName::ALL {
        for (filled, name) in [
            (Filled::Alike, "nodes alike"),
            (Filled::Differently, "nodes full of one thing or another"),
            (Filled::Wholly, "no room"),
        ] {
            let mut group = criterion.benchmark_group(format!("place by {policy:?}, {name}"));
            group.throughput(Throughput::Elements(1));
            for count in [10, 1000, 10_000] {
                let (mut capacity, zone) = nodes(count, filled, policy);
                group.bench_function(format!("{count} nodes"), |bencher| {
                    bencher.iter(|| {
                        let node = capacity.reserve(&instance, &zone, black_box(wanted), &[]);
                        assert_eq!(node.is_some(), filled != Filled::Wholly);
                        capacity.release(&instance);
                    });
                });
            }
            group.finish();
        }
    }
    let mut group = criterion.benchmark_group("find the first of 10000 nodes with room, the last");
    let (capacity, zone) = nodes(10_000, Filled::Differently, PolicyName::FirstFit);
    group.bench_function("by looking at each", |bencher| {
        bencher.iter(|| {
            let mut nodes = capacity.nodes_of(&zone);
            nodes.find(|(_, node)| black_box(wanted).fits_in(node.free())).is_some()
        });
    });
    group.finish();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    Alike,
    Differently,
    Wholly,
}

/// Nodes with something free, of different sizes. The last has room, unless none has.
fn nodes(count: u32, filled: Filled, policy: PolicyName) -> (Capacity, GroupName) {
    let zone: GroupName = "zone-one".parse().unwrap();
    let mut capacity = Capacity::default();
    capacity.place_by(&zone, policy.policy());
    let mut chance = Ambient::seeded(1, NOW).0.chance("nodes");
    for number in 0..count {
        let mut bytes = [0; 3];
        chance.fill(&mut bytes);
        let [vcpus, memory, disk] = bytes.map(u64::from);
        let free = match (filled, number % 3) {
            (Filled::Alike, _) => Resources { vcpus: 8, memory_mib: 16_384, disk_gib: 100 },
            _ if filled == Filled::Differently && number == count - 1 => {
                Resources { vcpus: 1, memory_mib: 1024, disk_gib: 2 }
            }
            (_, 0) => Resources { vcpus: 0, memory_mib: memory * 64, disk_gib: disk },
            (_, 1) => Resources { vcpus: vcpus as u32, memory_mib: memory * 4, disk_gib: disk },
            (_, _) => Resources { vcpus: vcpus as u32, memory_mib: memory * 64, disk_gib: 1 },
        };
        let total = Resources { vcpus: 256, memory_mib: 16_384, disk_gib: 256 };
        let node = format!("n{number:05}").parse().unwrap();
        capacity.report(&zone, &node, total, total.less(free), NOW);
    }
    (capacity, zone)
}

criterion_group!(benches, requests, launches, answers, placement);
criterion_main!(benches);
