//! Launches of real guests beside QEMU alone: the same kernel, ramdisk, root disk, memory and
//! processor model, started by hand.
//!
//! Needs root: guests get taps and a bridge of this bench's own. What is timed is what a user waits
//! for: from asking until the guest's userspace speaks on its console, until it says that it is
//! ready, until ssh answers; and from terminating until nothing is left.
//!
//! The raw guest has the same two NICs, on QEMU's user network, where a metadata service of four
//! answers (`metadata`) keeps it from waiting for one.

#[path = "../bed/mod.rs"]
mod bed;
mod cloud;
mod metadata;
mod raw;
mod watch;

use bed::table::{self, Target};
use cloud::Cloud;
use std::{env, time::Duration};

const ROUNDS: usize = 3;

/// As soon as userspace runs, the root file system is grown to its disk, and said to be.
const USERSPACE: &str = "mallee-demo: the root file system grew";
const READY: &str = "mallee-demo: ready";

fn main() {
    if env::args().nth(1).is_some_and(|word| word == metadata::WORD) {
        return metadata::answer();
    }
    table::title("launches of real guests: the cloud | the same guest under QEMU alone");
    let cloud = Cloud::start();
    // The first fills the node's cache, and shows what a guest is made of.
    let first = cloud.launch(1);
    first.wait_for(READY);
    let machine = raw::Machine::of(&first.instances[0]);
    first.terminate();
    // The cloud unpacks a kernel once for all its guests, which is to pay for libvirt.
    let packed = machine.with_kernel(&cloud.packed_kernel());
    let targets = [Target::AtMost(1.10), Target::AtMost(1.15)];
    compare("image's kernel", &cloud, &packed, 1, targets);
    compare("same kernel", &cloud, &machine, 1, [Target::None; 2]);
    compare("image's kernel", &cloud, &packed, 8, targets);
    own_part(&cloud);
    end(&cloud);
}

/// In turns. The targets are those of userspace and of ssh.
fn compare(how: &str, cloud: &Cloud, machine: &raw::Machine, count: usize, targets: [Target; 2]) {
    let rounds = if count == 1 { ROUNDS } else { 1 };
    let (mut ours, mut raws) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let guests = machine.start(count);
        raws.push([guests.wait_for(USERSPACE), guests.wait_for(READY), guests.wait_for_ssh()]);
        drop(guests);
        let launch = cloud.launch(count);
        ours.push([launch.wait_for(USERSPACE), launch.wait_for(READY), launch.wait_for_ssh()]);
        launch.terminate();
    }
    let [userspace, ssh] = targets;
    let targets = [userspace, Target::None, ssh];
    for (stage, what) in ["userspace", "ready", "ssh answers"].iter().enumerate() {
        let [ours, raw] =
            [&ours, &raws].map(|rounds| median(rounds.iter().map(|round| round[stage]).collect()));
        table::figures(
            &format!("{count} at once, until {what} ({how})"),
            &format!("{:.2} s", ours.as_secs_f64()),
            &format!("{:.2} s", raw.as_secs_f64()),
            ours.as_secs_f64() / raw.as_secs_f64(),
            targets[stage],
        );
    }
}

/// Until the emulator runs: all that is ours, and the half of libvirt's that comes before.
fn own_part(cloud: &Cloud) {
    let times = (0..ROUNDS).map(|_| {
        let launch = cloud.launch(1);
        let took = launch.wait_for_process();
        launch.terminate();
        took
    });
    let took = median(times.collect()).as_secs_f64() * 1e3;
    table::figure("RunInstances sent until QEMU's exec", took, "ms", Target::AtMost(60.0));
}

fn end(cloud: &Cloud) {
    let times = (0..ROUNDS).map(|_| {
        let launch = cloud.launch(1);
        launch.wait_for(READY);
        launch.terminate()
    });
    let took = median(times.collect()).as_secs_f64();
    table::figure("terminate until all is gone", took, "s", Target::AtMost(0.5));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
