//! Load, made by wrk: a generator that is nobody's here, and cheap enough beside what it measures.
//!
//! Requests are signed once before each run. There is no replay cache, so the same signed launch
//! sent again is another launch, as it is for a client that repeats itself within a second.

use super::bed::{
    request::{Request, Signed},
    table::{Target, milliseconds},
};
use std::{fmt::Write, fs, net::SocketAddr, process::Command, time::Duration};

/// How the load is given.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: u32,
    pub duration: Duration,
    /// The mean pause of a connection between two requests; none is all that it can do.
    pub pause: Option<Duration>,
}

impl Load {
    pub fn full(connections: u32) -> Load {
        Load { connections, duration: seconds(), pause: None }
    }
}

/// How long each run is: `MALLEE_BENCH_SECONDS`, or 2.
pub fn seconds() -> Duration {
    let given = std::env::var("MALLEE_BENCH_SECONDS").ok();
    Duration::from_secs(given.map_or(2, |text| text.parse().expect("whole seconds")))
}

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Measured {
    /// The middle of several runs, each figure by itself.
    pub fn median(mut runs: Vec<Measured>) -> Measured {
        let middle = runs.len() / 2;
        runs.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        let per_second = runs[middle].per_second;
        runs.sort_by_key(|run| run.p50);
        let p50 = runs[middle].p50;
        runs.sort_by_key(|run| run.p99);
        Measured { per_second, p50, p99: runs[middle].p99 }
    }

    pub fn shown(self) -> String {
        let (p50, p99) = (milliseconds(self.p50), milliseconds(self.p99));
        format!("{:>7.0}/s p50 {p50} p99 {p99}", self.per_second)
    }
}

/// Prints requests a second of ours beside another's.
pub fn compare(what: &str, ours: Measured, name: &str, other: Measured, target: Target) {
    let ratio = ours.per_second / other.per_second;
    let (ours, other, words) = (ours.shown(), other.shown(), target.words(ratio));
    println!("{what:<44} {ours} | {name} {other} | ratio {ratio:.2} {words}");
}

/// Sends the requests in turns. A refusal or a broken connection is a failure of the bench.
pub fn run(server: SocketAddr, requests: &[Request], load: Load) -> Measured {
    let script = tempfile::NamedTempFile::with_suffix(".lua").unwrap();
    fs::write(script.path(), script_text(server, requests, load.pause)).unwrap();
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "30s"])
        .args(["--connections", &load.connections.to_string()])
        .args(["--duration", &format!("{}s", load.duration.as_secs())])
        .arg("--script")
        .arg(script.path())
        .arg(format!("http://{server}/"))
        .output()
        .expect("wrk is installed (Debian package `wrk`)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("measured "));
    let line = line.unwrap_or_else(|| panic!("wrk says {text} {output:?}"));
    let figures: Vec<f64> = line.split(' ').map(|figure| figure.parse().unwrap()).collect();
    let [requests, duration_us, p50_us, p99_us, refused, broken] = figures[..] else {
        panic!("wrk says {line}");
    };
    assert!(refused == 0.0 && broken == 0.0, "{refused} refused, {broken} broken: {text}");
    Measured {
        per_second: requests * 1e6 / duration_us,
        p50: Duration::from_nanos((p50_us * 1e3) as u64),
        p99: Duration::from_nanos((p99_us * 1e3) as u64),
    }
}

fn script_text(server: SocketAddr, requests: &[Request], pause: Option<Duration>) -> String {
    let mut script = "local requests = {}\nfunction init(args)\n".to_owned();
    for (index, request) in requests.iter().enumerate() {
        let Signed { headers, form } = request.signed(server);
        writeln!(script, "requests[{}] = wrk.format(\"POST\", \"/\", {{", index + 1).unwrap();
        for (name, value) in headers {
            // Spelled so, or wrk adds its own.
            let name = if name == "host" { "Host" } else { name };
            writeln!(script, "[\"{name}\"] = \"{value}\",").unwrap();
        }
        writeln!(script, "}}, \"{form}\")").unwrap();
    }
    script.push_str(
        "end
local sent = 0
function request()
    sent = sent + 1
    return requests[sent % #requests + 1]
end
function done(summary, latency, requests)
    local errors = summary.errors
    print(string.format(\"measured %d %d %.1f %.1f %d %d\", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
",
    );
    if let Some(pause) = pause {
        // Whole milliseconds are all that wrk knows; the mean of two neighbours is any mean.
        let pause = pause.as_secs_f64() * 1e3;
        let (low, share) = (pause.floor(), pause.fract());
        let delay = format!("return {low} + (math.random() < {share:.3} and 1 or 0)");
        writeln!(script, "function delay() {delay} end").unwrap();
    }
    script
}
