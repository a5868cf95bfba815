//! Our side: the release binary with guests under TCG, and launches in it.

use super::{
    bed::{
        program::{Program, free_address, mallee},
        request::{ACCESS_KEY, ACCOUNT, Request, SECRET_KEY, all, first},
    },
    watch,
};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const REGION: &str = "us-east-1";
const PREFIX: &str = "mbench";
const NETWORK: &str = "10.215.77";

/// Removed from the host when it is dropped.
#[derive(Debug)]
pub struct Cloud {
    program: Option<Program>,
    /// Short: the path of a guest's monitor socket begins with it.
    directory: tempfile::TempDir,
    address: SocketAddr,
    group: String,
}

/// Instances that were asked for at one time.
#[derive(Debug)]
pub struct Launch<'a> {
    cloud: &'a Cloud,
    begun: Instant,
    pub instances: Vec<Instance>,
}

#[derive(Debug)]
pub struct Instance {
    pub id: String,
    pub directory: PathBuf,
}

impl Cloud {
    pub fn start() -> Cloud {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let [address, metadata] = [free_address(), free_address()];
        let configuration = format!(
            "[[group]]\nname = \"bench\"\npublic_addresses = \"{NETWORK}.0/24\"\n\
             gateway = \"{NETWORK}.1\"\n[[node]]\nname = \"bench\"\ngroup = \"bench\"\n\
             hypervisor = \"tcg\"\nvcpus = 16\n[network]\nprefix = \"{PREFIX}\"\n\
             metadata_port = {}\n",
            metadata.port()
        );
        fs::write(directory.path().join("cloud.toml"), configuration).unwrap();
        let state = directory.path().join("s");
        fs::create_dir(&state).unwrap();
        // Built images outlive this cloud.
        let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("launch-images");
        fs::create_dir_all(&images).unwrap();
        symlink(images, state.join("images")).unwrap();
        let mut cloud = Cloud { program: None, directory, address, group: String::new() };
        let mut up = cloud.mallee(&["up", "--listen", &address.to_string()]);
        up.arg("--config").arg(cloud.directory.path().join("cloud.toml"));
        let mut program = Program::start(&mut up, address, &cloud.directory.path().join("log"));
        program.wait(&Request::new(REGION, "DescribeRegions", ""), Duration::from_secs(60));
        cloud.program = Some(program);
        assert!(cloud.mallee(&["image", "build"]).status().unwrap().success());
        cloud.let_ssh_in();
        cloud
    }

    fn mallee(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(mallee());
        command
            .args(arguments)
            .env("MALLEE_ROOT_ACCESS_KEY_ID", ACCESS_KEY)
            .env("MALLEE_ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("MALLEE_ROOT_ACCOUNT", ACCOUNT)
            .arg("--state")
            .arg(self.directory.path().join("s"));
        command
    }

    fn let_ssh_in(&mut self) {
        let create = "GroupName=ssh&GroupDescription=ssh";
        let created = self.ask("CreateSecurityGroup", create);
        self.group = first(&created, "groupId");
        let rule = format!(
            "GroupId={}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22\
             &IpPermissions.1.ToPort=22&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
            self.group
        );
        self.ask("AuthorizeSecurityGroupIngress", &rule);
        self.ask("CreateKeyPair", "KeyName=bench");
    }

    fn ask(&self, action: &str, parameters: &str) -> String {
        Request::new(REGION, action, parameters).ask(self.address)
    }

    /// The demo image's kernel as it was packaged.
    pub fn packed_kernel(&self) -> PathBuf {
        self.directory.path().join("s/images/demo/vmlinuz")
    }

    pub fn launch(&self, count: usize) -> Launch<'_> {
        let image = first(
            &self.ask("DescribeImages", "Filter.1.Name=image-type&Filter.1.Value.1=machine"),
            "imageId",
        );
        let parameters = format!(
            "ImageId={image}&MinCount={count}&MaxCount={count}&InstanceType=m1.small\
             &KeyName=bench&SecurityGroupId.1={}",
            self.group
        );
        let begun = Instant::now();
        let answer = self.ask("RunInstances", &parameters);
        let instances = all(&answer, "instanceId")
            .map(|id| Instance {
                id: id.to_owned(),
                directory: self.directory.path().join("s/node/bench/instances").join(id),
            })
            .collect();
        Launch { cloud: self, begun, instances }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.program.take();
        _ = fs::remove_file(self.directory.path().join("s/images"));
        let purged = self.mallee(&["down", "--purge"]).status();
        if !purged.is_ok_and(|status| status.success()) {
            eprintln!("`mallee down --purge` failed: {}", self.directory.path().display());
        }
    }
}

impl Launch<'_> {
    /// Until all have said so on their consoles.
    pub fn wait_for(&self, marker: &str) -> Duration {
        for instance in &self.instances {
            let console = instance.directory.join("console.log");
            watch::until(marker, || watch::says(&console, marker));
        }
        self.begun.elapsed()
    }

    pub fn wait_for_ssh(&self) -> Duration {
        let described = self.cloud.ask("DescribeInstances", &self.named());
        for address in all(&described, "ipAddress") {
            let address = SocketAddr::new(address.parse().unwrap(), 22);
            watch::until("ssh answers", || watch::ssh_answers(address));
        }
        self.begun.elapsed()
    }

    pub fn wait_for_process(&self) -> Duration {
        for instance in &self.instances {
            watch::until("QEMU runs", || watch::emulator_with(&instance.id).is_some());
        }
        self.begun.elapsed()
    }

    /// Ends them; how long until no emulator, disk or tap of theirs is left.
    pub fn terminate(self) -> Duration {
        let begun = Instant::now();
        self.cloud.ask("TerminateInstances", &self.named());
        for instance in &self.instances {
            watch::until("the emulator is gone", || watch::emulator_with(&instance.id).is_none());
            watch::until("the disk is gone", || !instance.directory.exists());
        }
        watch::until("the taps are gone", || taps() == 0);
        begun.elapsed()
    }

    fn named(&self) -> String {
        let named = self.instances.iter().zip(1..);
        let named: Vec<_> = named.map(|(i, n)| format!("InstanceId.{n}={}", i.id)).collect();
        named.join("&")
    }
}

/// Of this bench's clouds: interfaces with the prefix that have a `tun_flags` file.
fn taps() -> usize {
    let links = fs::read_dir("/sys/class/net").unwrap().flatten();
    links
        .filter(|link| link.file_name().to_string_lossy().starts_with(PREFIX))
        .filter(|link| link.path().join("tun_flags").exists())
        .count()
}
