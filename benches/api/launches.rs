//! RunInstances with simulated guests: durable before the answer, beside one durable write, and
//! beside moto.
//!
//! Launches go on to boot, report and be recorded while the next are asked for, all on the same
//! processors; that is part of what is measured.

use super::{
    bed::{
        program::directory,
        request::Request,
        table::{self, Target},
    },
    cloud::Cloud,
    commit,
    load::{self, Load, Measured},
    moto,
    reads::tail_of,
};
use std::time::Duration;

const ROUNDS: usize = 3;

pub fn launches() {
    table::title("RunInstances of one instance, simulated: the cloud | floor or peer");
    let cloud = Cloud::start();
    // A subnet has 4,091 addresses, so the launches are spread over regions.
    let regions: Vec<String> = (1..=40).map(|n| format!("us-east-{n}")).collect();
    let requests: Vec<Request> = regions.iter().map(|region| cloud.a_launch(region, 1)).collect();
    for request in &requests {
        request.ask(cloud.address());
    }
    let second = |connections| Load { duration: Duration::from_secs(1), ..Load::full(connections) };
    let (mut alone, mut commits, mut together) = (Vec::new(), Vec::new(), Vec::new());
    let place = directory();
    let peer = moto::start(place.path()).map(|moto| (moto::a_launch(&moto), moto));
    let mut peers = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        commits.push(commit::median(500));
        alone.push(load::run(cloud.address(), &requests, second(1)));
        together.push(load::run(cloud.address(), &requests, second(16)));
        settle(&cloud, &regions);
        if let Some((request, moto)) = &peer {
            peers.0.push(load::run(moto.address, std::slice::from_ref(request), Load::full(1)));
            peers.1.push(load::run(moto.address, std::slice::from_ref(request), Load::full(16)));
        }
    }
    commits.sort();
    let (alone, together) = (Measured::median(alone), Measured::median(together));
    let commit = commits[ROUNDS / 2];
    println!("{:<44} {}", "RunInstances, c=1", alone.shown());
    println!("{:<44} {}", "RunInstances, c=16", together.shown());
    table::figures(
        &format!("p50, c=1 | write + fsync of {} bytes", commit::LAUNCH_BYTES),
        &table::milliseconds(alone.p50),
        &table::milliseconds(commit),
        alone.p50.as_secs_f64() / commit.as_secs_f64(),
        Target::AtMost(4.0),
    );
    if peer.is_some() {
        let (one, many) = (Measured::median(peers.0), Measured::median(peers.1));
        load::compare("RunInstances, c=1", alone, "moto", one, Target::None);
        load::compare("RunInstances, c=16", together, "moto", many, Target::AtLeast(30.0));
    }
    tail_of("RunInstances", &cloud, &requests);
    settle(&cloud, &regions);
}

fn settle(cloud: &Cloud, regions: &[String]) {
    for region in regions {
        cloud.settle(region);
    }
}
