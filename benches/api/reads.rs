//! Describe calls beside the floor, and whether what exists makes asking for one thing dearer.

use super::{
    bed::{
        program::directory,
        request::Request,
        table::{self, Target},
    },
    cloud::{Cloud, regions},
    floor,
    load::{self, Load, Measured},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const ROUNDS: usize = 3;

/// Regions are namespaces, so each holds as many instances as its row tells of.
const FILLED: [(&str, usize, f64); 3] =
    [("eu-west-1", 1, 0.4), ("eu-west-2", 100, 0.3), ("eu-west-3", 1000, 0.3)];

pub fn reads() {
    table::title("reads: the cloud | floor (checks the signature, sends the same bytes)");
    let cloud = Cloud::start();
    compare("DescribeRegions", &cloud, &regions(), 0.6);
    for (region, count, target) in FILLED {
        cloud.fill(region, count);
        let describe = Request::new(region, "DescribeInstances", "");
        compare(&format!("DescribeInstances of {count}"), &cloud, &describe, target);
    }
    while_launching(&cloud, || {
        for (region, count, target) in FILLED {
            let describe = Request::new(region, "DescribeInstances", "");
            let what = format!("DescribeInstances of {count}, launching");
            compare(&what, &cloud, &describe, target);
        }
    });
    tail(&cloud);
}

/// In turns, so that both meet the same machine.
fn compare(what: &str, cloud: &Cloud, request: &Request, target: f64) {
    let place = directory();
    let floor = floor::start(place.path(), &request.ask(cloud.address()));
    for connections in [1, 16] {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let once =
                |server| load::run(server, std::slice::from_ref(request), Load::full(connections));
            floors.push(once(floor.address));
            ours.push(once(cloud.address()));
        }
        let (ours, floors) = (Measured::median(ours), Measured::median(floors));
        let what = format!("{what}, c={connections}");
        load::compare(&what, ours, "floor", floors, Target::AtLeast(target));
    }
}

/// Twenty launches a second go on beside `measure`, in regions of their own.
fn while_launching(cloud: &Cloud, measure: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let launches: Vec<Request> =
                (1..=9).map(|n| cloud.a_launch(&format!("ap-south-{n}"), 1)).collect();
            for launch in launches.iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                launch.ask(cloud.address());
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        measure();
        done.store(true, Ordering::Relaxed);
    });
}

/// Under half of the load it can bear: at full load every request waits for all the others.
fn tail(cloud: &Cloud) {
    for (what, request) in [
        ("DescribeRegions", regions()),
        ("DescribeInstances of 100", Request::new("eu-west-2", "DescribeInstances", "")),
    ] {
        tail_of(what, cloud, &[request]);
    }
}

/// p99 beside p50 of sixteen connections that together ask for half of what is possible.
pub fn tail_of(what: &str, cloud: &Cloud, requests: &[Request]) {
    let full = load::run(cloud.address(), requests, Load::full(16));
    let pause = Duration::from_secs_f64(2.0 * 16.0 / full.per_second);
    let half = Load { pause: Some(pause), ..Load::full(16) };
    let half = load::run(cloud.address(), requests, half);
    let ratio = half.p99.as_secs_f64() / half.p50.as_secs_f64();
    let (p99, p50) = (table::milliseconds(half.p99), table::milliseconds(half.p50));
    let what = format!("{what}, c=16 at {:.0}/s: p99 | p50", half.per_second);
    table::figures(&what, &p99, &p50, ratio, Target::AtMost(10.0));
}

/// What one instance costs to describe must not depend on how many others there are.
pub fn flatness() {
    table::title("DescribeInstances by id, as others come to exist in the region: many | ten");
    let cloud = Cloud::start();
    let mut few: Option<[Measured; 2]> = None;
    for (region, count) in [("eu-west-1", 10), ("eu-west-2", 1_000), ("eu-west-3", 4_000)] {
        let id = cloud.fill(region, count);
        let by_id = Request::new(region, "DescribeInstances", &format!("InstanceId.1={id}"));
        let filter = format!("Filter.1.Name=instance-id&Filter.1.Value.1={id}");
        let by_filter = Request::new(region, "DescribeInstances", &filter);
        let measured = [by_id, by_filter].map(|request| {
            let once =
                |_| load::run(cloud.address(), std::slice::from_ref(&request), Load::full(16));
            Measured::median((0..ROUNDS).map(once).collect())
        });
        let few = *few.get_or_insert(measured);
        for (how, many, few) in
            [("by InstanceId", measured[0], few[0]), ("by filter", measured[1], few[1])]
        {
            let what = format!("{how}, {count} there, c=16");
            load::compare(&what, many, "10 there", few, Target::AtLeast(0.8));
        }
    }
}
