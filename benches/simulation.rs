//! Two thousand nodes and twenty thousand instances in one process and one thread, in virtual time:
//! what the managers alone cost, with links, disks and guests that take no time.
//!
//! `MALLEE_BENCH_NODES` is another number of nodes, with ten instances each. Nothing is beside it: the
//! targets are figures of the design.

use mallee::{
    domain::{id::AccountId, instance::InstanceState, placement::PolicyName, resources::Resources},
    messages::cloud::LaunchReservation,
    simulation::{
        carrier::{Place, Weather},
        chronicle::Chronicle,
        cloud::{IMAGE, Plan, SimulatedCloud},
        invariants,
    },
};
use std::{
    fs,
    time::{Duration, Instant},
};
use table::{Target, figure, title};
use tokio::{runtime, task::LocalSet};

#[allow(dead_code)]
#[path = "bed/table.rs"]
mod table;

const GROUPS: usize = 10;
const INSTANCES_PER_NODE: usize = 10;
/// Of one launch.
const COUNT: usize = 20;
/// At one time.
const LAUNCHES: usize = 16;

fn main() {
    let nodes = std::env::var("MALLEE_BENCH_NODES").ok().and_then(|count| count.parse().ok());
    let nodes: usize = nodes.unwrap_or(2000);
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing of the system");
    LocalSet::new().block_on(&runtime, run(nodes));
}

fn plan(nodes: usize) -> Plan {
    Plan {
        groups: GROUPS,
        nodes_per_group: nodes.div_ceil(GROUPS),
        placement: PolicyName::Spread,
        total: Resources { vcpus: 16, memory_mib: 64 << 10, disk_gib: 200 },
        addresses_prefix: 14,
        terminated_shown: Duration::from_secs(3600),
        weather: Weather { usual_max: Duration::ZERO, ..Weather::calm() },
        work_max: Duration::ZERO,
        commit_max: Duration::ZERO,
        failure_rate: 0.0,
        ..Plan::small(1)
    }
}

async fn run(nodes: usize) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let instances = nodes * INSTANCES_PER_NODE;
    title(&format!("{nodes} simulated nodes and {instances} instances in one thread"));

    let before = resident();
    let begun = Instant::now();
    let mut cloud = SimulatedCloud::begin(&plan(nodes), directory.path(), Chronicle::none())
        .expect("the directory can be written");
    until(&cloud, |cloud| known_nodes(cloud) >= nodes).await;
    figure("nodes, begun and known to the cloud", begun.elapsed().as_secs_f64(), "s", Target::None);
    let with_nodes = resident();
    let each = |more: u64, count: usize| more as f64 / count as f64 / 1024.0;
    figure("resident, a node", each(with_nodes - before, nodes), "KiB", Target::AtMost(4.0));

    let begun = Instant::now();
    launch(&cloud, instances).await;
    let answered = begun.elapsed();
    until(&cloud, |cloud| running(cloud) >= instances).await;
    let ran = begun.elapsed();
    let per_second = |time: Duration| instances as f64 / time.as_secs_f64();
    figure("placements, launch to answer", per_second(answered), "/s", Target::None);
    figure("placements, launch to running", per_second(ran), "/s", Target::AtLeast(50_000.0));
    let more = resident().saturating_sub(with_nodes);
    figure("resident, an instance", each(more, instances), "KiB", Target::AtMost(2.0));
    let records = each(cloud.record_bytes(), instances);
    figure("  of which records, on disks elsewhere", records, "KiB", Target::None);

    let begun = Instant::now();
    cloud.kill(&Place::Cloud);
    cloud.begin_manager(&Place::Cloud);
    figure("restart, until it answers", begun.elapsed().as_secs_f64(), "s", Target::None);
    until(&cloud, |cloud| known_nodes(cloud) >= nodes).await;
    assert_eq!(invariants::disagreements(&cloud), Vec::<String>::new());
    let heard = begun.elapsed().as_secs_f64();
    figure("restart, until every node has been heard", heard, "s", Target::AtMost(10.0));
}

/// Some launches at a time, each of an account of its own: private networks are not that large.
async fn launch(cloud: &SimulatedCloud, instances: usize) {
    let account = |number: usize| -> AccountId {
        format!("{:012}", number + 1).parse().expect("this is a well-formed account")
    };
    let mut left = instances / COUNT;
    while left > 0 {
        let now = left.min(LAUNCHES);
        let asked = (0..now).map(|number| {
            let image = IMAGE.parse().expect("this is a well-formed image");
            let count = COUNT as u32;
            let launch = LaunchReservation {
                min_count: count,
                max_count: count,
                ..LaunchReservation::of(image)
            };
            cloud.command(&account(number), launch).expect("the cloud manager runs")
        });
        for answer in futures_util::future::join_all(asked).await {
            answer.expect("there is room");
        }
        left -= now;
    }
}

/// Virtual time goes on until it is so.
async fn until(cloud: &SimulatedCloud, is: impl Fn(&SimulatedCloud) -> bool) {
    while !is(cloud) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn running(cloud: &SimulatedCloud) -> usize {
    cloud.state().instances().filter(|i| i.state == InstanceState::Running).count()
}

fn known_nodes(cloud: &SimulatedCloud) -> usize {
    let state = cloud.state();
    let groups = cloud.group_names();
    let nodes = groups.iter().flat_map(|group| state.capacity.nodes_of(group));
    nodes.filter(|(_, node)| node.quality.reported_at.is_some()).count()
}

/// Of this process, in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}
