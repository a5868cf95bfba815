//! Our side: the release binary with simulated guests, and instances in it to tell of.

use super::bed::{
    program::{Program, directory, free_address, mallee},
    request::{ACCESS_KEY, ACCOUNT, Request, SECRET_KEY, all, first},
};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// One zone of one node, as on a laptop, but with room for a hundred thousand.
const CONFIGURATION: &str = "
[[group]]
name = \"laptop\"
public_addresses = \"10.0.0.0/8\"
gateway = \"10.0.0.1\"

[[node]]
name = \"laptop\"
group = \"laptop\"
hypervisor = \"simulated\"
vcpus = 1000000
memory_mib = 1000000000
disk_gib = 100000000
";

#[derive(Debug)]
pub struct Cloud {
    pub program: Program,
    directory: tempfile::TempDir,
}

impl Cloud {
    pub fn start() -> Cloud {
        let directory = directory();
        fs::write(directory.path().join("cloud.toml"), CONFIGURATION).unwrap();
        let mut program = spawn(directory.path());
        program.wait(&regions(), Duration::from_secs(60));
        Cloud { program, directory }
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address
    }

    /// Ends it and starts it again; how long until the first signed answer, from the exec on.
    pub fn restart(self) -> (Cloud, Duration) {
        let Cloud { program, directory } = self;
        drop(program);
        let mut program = spawn(directory.path());
        let took = program.wait(&regions(), Duration::from_secs(60));
        (Cloud { program, directory }, took)
    }

    pub fn image(&self) -> String {
        first(&Request::new("us-east-1", "DescribeImages", "").ask(self.address()), "imageId")
    }

    pub fn a_launch(&self, region: &str, count: usize) -> Request {
        let image = self.image();
        let parameters = format!(
            "ImageId={image}&MinCount={count}&MaxCount={count}&InstanceType=m1.small\
             &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
             &TagSpecification.1.Tag.1.Value=front"
        );
        Request::new(region, "RunInstances", &parameters)
    }

    /// Launches that many instances in the region, and waits until all run. Returns one's id.
    pub fn fill(&self, region: &str, count: usize) -> String {
        let mut left = count;
        let mut id = String::new();
        while left > 0 {
            let some = left.min(500);
            id = first(&self.a_launch(region, some).ask(self.address()), "instanceId");
            left -= some;
        }
        self.settle(region);
        id
    }

    /// Waits until no instance of the region is pending.
    pub fn settle(&self, region: &str) {
        let filter = "Filter.1.Name=instance-state-name&Filter.1.Value.1=pending&MaxResults=5";
        let pending = Request::new(region, "DescribeInstances", filter);
        let deadline = Instant::now() + Duration::from_secs(300);
        while all(&pending.ask(self.address()), "instanceId").next().is_some() {
            assert!(Instant::now() < deadline, "instances of {region} stay pending");
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

pub fn regions() -> Request {
    Request::new("us-east-1", "DescribeRegions", "")
}

fn spawn(directory: &Path) -> Program {
    let address = free_address();
    let mut command = Command::new(mallee());
    command
        .args(["--state".as_ref(), directory.join("state").as_os_str()])
        .args(["up", "--config"])
        .arg(directory.join("cloud.toml"))
        .args(["--listen", &address.to_string()])
        .env("MALLEE_ROOT_ACCESS_KEY_ID", ACCESS_KEY)
        .env("MALLEE_ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("MALLEE_ROOT_ACCOUNT", ACCOUNT);
    Program::start(&mut command, address, &directory.join("log"))
}
