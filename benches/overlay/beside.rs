//! Our switch with others on it: a crowd that is quiet, and one guest that is not.

use crate::{
    ROUNDS, compare,
    ours::Beside,
    paths::lay_beside,
    table::{Target, title},
    traffic::Measured,
};

pub fn crowd() {
    let alone = || Beside::Nothing;
    let crowd = || Beside::Crowd { ports: 98, stations: 10 };
    let [alone, crowded] = both(alone, crowd);
    title("two taps on a switch of 100 ports with 1,000 stations | alone");
    compare("TCP Gbit/s", crowded.gbits, alone.gbits, Target::AtLeast(0.9));
    compare("packets/s", crowded.pps, alone.pps, Target::AtLeast(0.9));
    compare("RTT p50 µs", crowded.p50, alone.p50, Target::None);
}

/// The comparison is with a neighbour that burns as much of the processor without sending.
pub fn flood() {
    let [busy, flooded] = both(|| Beside::Busy, || Beside::Flood);
    title("two taps beside another owner's guest that floods | beside one that is only busy");
    compare("TCP Gbit/s", flooded.gbits, busy.gbits, Target::None);
    compare("packets/s", flooded.pps, busy.pps, Target::None);
    compare("RTT p50 µs", flooded.p50, busy.p50, Target::None);
    compare("RTT p99 µs", flooded.p99, busy.p99, Target::None);
}

fn both(one: impl Fn() -> Beside, other: impl Fn() -> Beside) -> [Measured; 2] {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (rounds, beside) in rounds.iter_mut().zip([one(), other()]) {
            rounds.push(Measured::of(&lay_beside(beside)));
        }
    }
    rounds.map(|rounds| Measured::median(&rounds))
}
