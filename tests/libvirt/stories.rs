//! What the libvirt driver promises beyond the trait.

use crate::{
    conformance::{self, Bench, instance, listen},
    guest,
    hypervisor::{
        DomainEvent, DomainState, Hypervisor, HypervisorFault, OffReason, Ownership,
        accelerator::{Accelerator, Choice},
        domain_xml,
        libvirt::{LibvirtHypervisor, LibvirtOptions, mode::Mode},
    },
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use virt::{connect::Connect, domain::Domain as VirtDomain};

pub type Stage = Bench<LibvirtHypervisor>;

pub type Story = (&'static str, fn(&Stage));

pub const ALL: &[Story] = &[
    ("foreign_domains_are_listed_and_never_touched", foreign_domains),
    ("the_console_is_logged_whether_or_not_somebody_is_connected", console),
    ("a_guest_that_reboots_itself_stays_on", guest_reboots_itself),
    ("a_guest_that_answers_its_power_button_is_not_reset_as_well", guest_answers_its_button),
    ("a_guest_that_ignores_its_power_button_is_reset", guest_ignores_its_button),
    ("a_refusal_says_what_qemu_said", refusal),
    ("the_libvirt_hypervisor_keeps_the_promises_of_the_trait", promises),
    ("figures", figures),
];

const PATIENCE: Duration = Duration::from_secs(60);
const REBOOT_PATIENCE: Duration = Duration::from_secs(3);

pub fn open(directory: &Path) -> Stage {
    let disk = directory.join("guest.qcow2");
    if !disk.exists() {
        guest::write_disk(&disk);
    }
    let modes = [Mode::Embed { root: directory.join("libvirt") }];
    let options = LibvirtOptions {
        reboot_patience: REBOOT_PATIENCE,
        ..LibvirtOptions::new(Choice::configured(Accelerator::Tcg))
    };
    let (sink, events) = listen();
    let begun = Instant::now();
    let hypervisor = LibvirtHypervisor::open(&modes, options, sink).unwrap();
    let description = hypervisor.host().unwrap().description;
    println!("  opened {description} in {:.0?}", begun.elapsed());
    Bench {
        hypervisor,
        events,
        directory: directory.to_owned(),
        disk,
        marker: guest::MARKER,
        patience: PATIENCE,
    }
}

fn promises(stage: &Stage) {
    conformance::check(stage, |stage, id| kill(emulator(&stage.directory, id)));
}

fn foreign_domains(stage: &Stage) {
    let uri = format!("qemu:///embed?root={}", stage.directory.join("libvirt").display());
    let mut connect = Connect::open(Some(&uri)).unwrap();
    let id = instance(1003);
    // One with a name of its own, and one that bears the name of a guest of ours.
    let taken = domain_xml::domain_name("mallee", &id);
    for name in ["web", &taken] {
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>48</memory>\
             <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
        );
        let domain = VirtDomain::define_xml(&connect, &xml).unwrap();
        domain.create().unwrap();
    }
    let foreign = || {
        let found = stage.hypervisor.domains().unwrap();
        let names = |domain: &crate::hypervisor::Domain| match &domain.ownership {
            Ownership::Foreign { name } => Some((name.clone(), domain.state, domain.memory_mib)),
            Ownership::Ours(_) => None,
        };
        let mut foreign: Vec<_> = found.iter().filter_map(names).collect();
        foreign.sort_by(|a, b| a.0.cmp(&b.0));
        foreign
    };
    let running = |name: &str| (name.to_owned(), DomainState::Running, 48);
    assert_eq!(foreign(), [running(&taken), running("web")]);
    for result in [
        stage.hypervisor.start(&stage.spec(&id)),
        stage.hypervisor.power_off(&id),
        stage.hypervisor.remove(&id),
    ] {
        assert!(matches!(result, Err(HypervisorFault::Refused(_))), "{result:?}");
    }
    assert_eq!(foreign(), [running(&taken), running("web")]);
    for name in ["web", &taken] {
        let domain = VirtDomain::lookup_by_name(&connect, name).unwrap();
        domain.destroy().unwrap();
        domain.undefine().unwrap();
    }
    connect.close().unwrap();
}

fn console(stage: &Stage) {
    stage.start(&instance(1004)); // Nobody was connected when it wrote its first line.
    for text in ["first visit", "second vst"] {
        // The guest reacts to `p`, `r` and `i`; keep to what it echoes.
        let text: String = text.chars().filter(|c| !"pri".contains(*c)).collect();
        let mut visitor = type_into(stage, 1004);
        visitor.write_all(text.as_bytes()).unwrap();
        let mut echo = vec![0; text.len()];
        visitor.read_exact(&mut echo).unwrap();
        assert_eq!(String::from_utf8(echo).unwrap(), text);
        drop(visitor);
        stage.await_that("the log to have it too", || {
            stage.console(&instance(1004)).contains(&text)
        });
    }
    stage.remove(&instance(1004));
}

fn guest_reboots_itself(stage: &Stage) {
    stage.start(&instance(1005));
    type_into(stage, 1005).write_all(b"r").unwrap();
    stage.await_boots(&instance(1005), 2);
    assert_eq!(stage.state(&instance(1005)), Some(DomainState::Running));
    stage.remove(&instance(1005));
    assert_eq!(first_off(stage, 1005), OffReason::Destroyed, "not off before it was removed");
}

fn guest_answers_its_button(stage: &Stage) {
    stage.start(&instance(1008));
    let begun = Instant::now();
    stage.hypervisor.reboot(&instance(1008)).unwrap();
    stage.await_boots(&instance(1008), 2);
    assert!(begun.elapsed() < REBOOT_PATIENCE, "{:?}", begun.elapsed());
    // It stays up beyond the time at which it would have been reset.
    let mut console = type_into(stage, 1008);
    stage.await_that("patience to end", || begun.elapsed() > REBOOT_PATIENCE + REBOOT_PATIENCE / 4);
    console.write_all(b"x").unwrap();
    console.read_exact(&mut [0]).unwrap();
    assert_eq!(stage.console(&instance(1008)).matches(guest::MARKER).count(), 2);
    stage.remove(&instance(1008));
}

fn guest_ignores_its_button(stage: &Stage) {
    stage.start(&instance(1006));
    let mut console = type_into(stage, 1006);
    console.write_all(b"i").unwrap();
    console.read_exact(&mut [0]).unwrap(); // It has taken note.
    drop(console);
    let begun = Instant::now();
    stage.hypervisor.reboot(&instance(1006)).unwrap();
    stage.await_boots(&instance(1006), 2);
    assert!(begun.elapsed() >= REBOOT_PATIENCE);
    // The button works again, and means off: nothing remembers that a reboot was wanted.
    stage.hypervisor.shut_down(&instance(1006)).unwrap();
    assert_eq!(first_off(stage, 1006), OffReason::Shutdown);
    stage.remove(&instance(1006));
}

fn refusal(stage: &Stage) {
    let mut spec = stage.spec(&instance(1007));
    fs::write(&spec.root_disk, "this is no qcow2").unwrap();
    match stage.hypervisor.start(&spec) {
        Err(HypervisorFault::Refused(reason)) => {
            println!("  {reason}");
            assert!(reason.contains("qcow2"), "{reason}");
        }
        other => panic!("started from a broken disk: {other:?}"),
    }
    assert_eq!(stage.state(&spec.instance), None);
    spec.nics.push(crate::hypervisor::Nic {
        mac: "d0:0d:00:00:00:01".parse().unwrap(),
        backend: crate::domain::interface::NicBackend::Tap("no-such-tap".to_owned()),
    });
    let result = stage.hypervisor.start(&spec);
    assert!(matches!(result, Err(HypervisorFault::Refused(_))), "{result:?}");
    println!("  {}", result.unwrap_err());
    assert_eq!(stage.state(&spec.instance), None);
}

/// Not a check but a record: how long the steps take on this machine.
fn figures(stage: &Stage) {
    for number in 1010..1013 {
        let id = instance(number);
        let spec = stage.spec(&id);
        let step = |what: &str, run: &dyn Fn()| {
            let begun = Instant::now();
            run();
            println!("  {what}: {:.0?}", begun.elapsed());
        };
        step("define and create", &|| stage.hypervisor.start(&spec).unwrap());
        step("to the guest's first line", &|| stage.await_boots(&id, 1));
        step("list", &|| drop(stage.hypervisor.domains().unwrap()));
        step("destroy", &|| stage.hypervisor.power_off(&id).unwrap());
        step("undefine", &|| stage.hypervisor.remove(&id).unwrap());
    }
    let ids: Vec<_> = (1020..1024).map(instance).collect();
    let begun = Instant::now();
    let hypervisor = &stage.hypervisor;
    thread::scope(|scope| {
        for spec in ids.iter().map(|id| stage.spec(id)) {
            scope.spawn(move || hypervisor.start(&spec).unwrap());
        }
    });
    println!("  four at once: {:.0?}", begun.elapsed());
    ids.iter().for_each(|id| stage.remove(id));
}

pub fn type_into(stage: &Stage, number: u32) -> UnixStream {
    let path = stage.spec(&instance(number)).console_socket;
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn first_off(stage: &Stage, number: u32) -> OffReason {
    let mut found = None;
    stage.await_event_where("off", |event| match event {
        DomainEvent::Off(id, reason) if *id == instance(number) => {
            found = Some(*reason);
            true
        }
        _ => false,
    });
    found.expect("just found")
}

/// The emulator of a guest, from the file libvirt notes it in.
pub fn emulator(directory: &Path, id: &crate::domain::id::InstanceId) -> i32 {
    let name = domain_xml::domain_name("mallee", id);
    let file = directory.join(format!("libvirt/run/qemu/{name}.pid"));
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

pub fn kill(pid: i32) {
    // SAFETY: a plain system call; the process is one this test started.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
}
