//! Processes that start guests and are killed, and what the next one finds.

use crate::{
    DIRECTORY, LIFE,
    conformance::instance,
    hypervisor::{DomainEvent, DomainState, Hypervisor, OffReason},
    stories::{Stage, emulator, kill, open, type_into},
};
use std::{
    env, fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The story that every run begins with, since it opens the stage for all others: this process
/// cannot embed libvirt in a second directory.
pub const STORY: &str =
    "guests_survive_the_death_of_the_process_and_one_that_was_being_started_is_ended";

const PATIENCE: Duration = Duration::from_secs(60);
/// What an end of a guest takes at most when nothing is waited for.
const AT_ONCE: Duration = Duration::from_secs(10);

const STEADY: u32 = 1001;
const OFF: u32 = 1002;
const HALF: u32 = 1009;
/// The first of those that are killed at whatever moment.
const ANY_MOMENT: u32 = 1100;
/// From before libvirt has done anything to after the guest runs, as far as one can say.
const MOMENTS_MS: [u64; 12] = [0, 20, 40, 60, 80, 100, 130, 160, 200, 250, 320, 400];

pub fn live(life: &str, directory: &Path) -> ! {
    // A libvirt that waits for ever shall not keep the test waiting too.
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        println!("stuck for {PATIENCE:?}");
        std::process::exit(1)
    });
    let bench = open(directory);
    match life {
        "steady" => {
            bench.start(&instance(STEADY));
            bench.start(&instance(OFF));
            bench.hypervisor.power_off(&instance(OFF)).unwrap();
            println!("pid {}", std::process::id());
            let _ = std::io::stdin().read(&mut [0]);
        }
        "starting" => {
            println!("pid {}", std::process::id());
            let started = bench.hypervisor.start(&bench.spec(&instance(HALF)));
            println!("the start has ended: {started:?}");
        }
        // What the lives before it left is removed first, and then one more is begun.
        number => {
            let number: u32 = number.parse().expect("the others are numbers");
            (ANY_MOMENT..number).for_each(|earlier| bench.remove(&instance(earlier)));
            println!("pid {}", std::process::id());
            bench.hypervisor.start(&bench.spec(&instance(number))).unwrap();
            let _ = std::io::stdin().read(&mut [0]);
        }
    }
    unreachable!("it is killed before")
}

pub fn guests_survive_and_half_started_ones_are_ended(directory: &Path) -> Stage {
    let (child, pid) = begin("steady", directory);
    end(child, pid);

    for (number, moment) in (ANY_MOMENT..).zip(MOMENTS_MS) {
        let (child, pid) = begin(&number.to_string(), directory);
        // Not to wait for anything: to kill in the middle of everything.
        thread::sleep(Duration::from_millis(moment));
        end(child, pid);
    }

    // Its emulator is a real one, which opens its disk before it is told to run, and waits there.
    let absent = Absent::disk_of(HALF, directory);
    let (child, pid) = begin("starting", directory);
    let visitor = absent.wait_for_the_emulator();
    end(child, pid);

    let emulator = emulator(directory, &instance(HALF));
    assert!(runs(emulator), "the emulator outlives who started it");
    let begun = Instant::now();
    let stage = open(directory);
    assert!(!runs(emulator), "a start that nobody goes on with is ended");
    drop(visitor);
    assert_eq!(stage.state(&instance(HALF)), Some(DomainState::Off));
    // libvirt does not take the start to be going on still: it would let nobody do anything.
    stage.hypervisor.power_off(&instance(HALF)).unwrap();
    stage.remove(&instance(HALF));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    fs::remove_file(absent.disk).unwrap();
    stage.start(&instance(HALF));
    stage.remove(&instance(HALF));

    let last = ANY_MOMENT + MOMENTS_MS.len() as u32;
    (ANY_MOMENT..last).for_each(|number| stage.remove(&instance(number)));

    stage.await_that("the guest to be found running", || {
        stage.state(&instance(STEADY)) == Some(DomainState::Running)
    });
    assert_eq!(stage.state(&instance(OFF)), Some(DomainState::Off));
    // It still answers, and its end is told to the process that did not start it.
    type_into(&stage, STEADY).write_all(b"p").unwrap();
    stage.await_event(&DomainEvent::Off(instance(STEADY), OffReason::Shutdown));
    stage.remove(&instance(STEADY));
    stage.remove(&instance(OFF));
    // Nor is there an emulator that libvirt never came to know of.
    stage.await_that("every emulator to be gone", || emulators(directory).is_empty());
    stage
}

/// Those that have to do with files in this directory.
fn emulators(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().expect("the test chose its name");
    let processes = fs::read_dir("/proc").unwrap();
    let command_lines = processes.filter_map(|process| {
        let words = fs::read(process.unwrap().path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).into_owned())
    });
    command_lines.filter(|words| words.contains("guest=") && words.contains(directory)).collect()
}

/// Starts this program again to lead that life, and waits for the number of the process that does.
fn begin(life: &str, directory: &Path) -> (Child, i32) {
    let mut child = Command::new(env::current_exe().unwrap())
        .env(LIFE, life)
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .inspect(|line| println!("  {life} life: {line}"))
        .find_map(|line| line.strip_prefix("pid ").and_then(|pid| pid.parse().ok()))
        .expect("the life gets as far as that");
    (child, pid)
}

fn end(mut child: Child, pid: i32) {
    kill(pid);
    // The supervising parent ends as its child did.
    assert_eq!(child.wait().unwrap().code(), Some(128 + libc::SIGKILL));
}

/// A disk whose image is on a server that never says a word.
struct Absent {
    server: UnixListener,
    disk: PathBuf,
}

impl Absent {
    fn disk_of(number: u32, directory: &Path) -> Absent {
        let socket = directory.join("absent.sock");
        let server = UnixListener::bind(&socket).unwrap();
        server.set_nonblocking(true).unwrap();
        let disk = directory.join(format!("{}.qcow2", instance(number)));
        let image = format!("nbd+unix:///?socket={}", socket.display());
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", &image])
            .args([disk.as_os_str(), "1M".as_ref()])
            .status();
        assert!(made.expect("qemu-img is installed").success());
        Absent { server, disk }
    }

    /// Its connection; as long as that is kept, it waits for the server's first word.
    fn wait_for_the_emulator(&self) -> UnixStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.server.accept() {
                Ok((visitor, _)) => return visitor,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            assert!(Instant::now() < deadline, "no emulator came for its disk");
            // The interval of looking, not a guess at how long something takes.
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether it executes; one that has ended and is not yet reaped has no command line.
fn runs(process: i32) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| !words.is_empty())
}
