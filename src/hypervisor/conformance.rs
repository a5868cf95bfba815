//! What every hypervisor must keep, run over both drivers.
//!
//! Compiled into the library's own tests for the simulated driver, and into `tests/libvirt` for
//! the one that runs real guests. Whatever a step waits for is a condition with a time limit.

use crate::{
    domain::id::InstanceId,
    hypervisor::{
        Boot, DomainEvent, DomainSpec, DomainState, EventSink, Hypervisor, HypervisorFault,
        OffReason, Ownership,
    },
};
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// A hypervisor on the bench, and what to expect of its guests.
pub struct Bench<H> {
    pub hypervisor: H,
    pub events: mpsc::Receiver<DomainEvent>,
    pub directory: PathBuf,
    /// The disk every guest gets a copy of: two guests cannot write to one.
    pub disk: PathBuf,
    /// What a guest writes on its console once it is up.
    pub marker: &'static str,
    pub patience: Duration,
}

/// A sink and the other end of it.
pub fn listen() -> (EventSink, mpsc::Receiver<DomainEvent>) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let sink: EventSink = Arc::new(move |event| {
        // A test that has ended no longer listens.
        let _ = tell.lock().unwrap().send(event);
    });
    (sink, told)
}

pub fn instance(number: u32) -> InstanceId {
    format!("i-{number:017x}").parse().unwrap()
}

/// Runs every check, each with an instance of its own. `kill` ends a guest behind the driver's
/// back.
pub fn check<H: Hypervisor>(bench: &Bench<H>, kill: impl Fn(&Bench<H>, &InstanceId)) {
    bench.a_started_guest_is_listed_and_writes_its_console(&instance(1));
    bench.a_second_start_is_refused_and_harms_nothing(&instance(2));
    bench.taking_the_power_away_is_told_and_may_be_repeated(&instance(3));
    bench.a_guest_that_shuts_down_is_off_and_still_there(&instance(4));
    bench.a_reboot_keeps_the_guest_running(&instance(5));
    bench.removing_is_idempotent(&instance(6));
    bench.what_does_not_exist_is_refused(&instance(7));
    bench.what_is_off_is_refused(&instance(8));
    bench.a_guest_killed_from_outside_is_told(&instance(9), kill);
    bench.a_start_that_fails_leaves_nothing(&instance(10));
    bench.many_threads_may_start_guests_at_once();
}

impl<H: Hypervisor> Bench<H> {
    pub fn spec(&self, instance: &InstanceId) -> DomainSpec {
        let root_disk = self.directory.join(format!("{instance}.qcow2"));
        if !root_disk.exists() {
            fs::copy(&self.disk, &root_disk).unwrap();
        }
        DomainSpec {
            instance: instance.clone(),
            vcpus: 1,
            memory_mib: 64,
            boot: Boot::Disk,
            root_disk,
            nics: vec![],
            console_log: self.directory.join(format!("{instance}.log")),
            console_socket: self.directory.join(format!("{instance}.sock")),
        }
    }

    pub fn state(&self, instance: &InstanceId) -> Option<DomainState> {
        let ours = Ownership::Ours(instance.clone());
        let found = self.hypervisor.domains().unwrap();
        found.into_iter().find(|domain| domain.ownership == ours).map(|domain| domain.state)
    }

    /// Starts a guest and waits until it is known to execute.
    pub fn start(&self, instance: &InstanceId) {
        self.hypervisor.start(&self.spec(instance)).unwrap();
        self.await_event(&DomainEvent::Started(instance.clone()));
        self.await_boots(instance, 1);
    }

    pub fn remove(&self, instance: &InstanceId) {
        self.hypervisor.remove(instance).unwrap();
        assert_eq!(self.state(instance), None);
    }

    /// Waits for one event; others before it are the business of checks that have ended.
    pub fn await_event(&self, expected: &DomainEvent) {
        self.await_event_where(&format!("{expected:?}"), |event| event == expected);
    }

    pub fn await_event_where(&self, what: &str, mut expected: impl FnMut(&DomainEvent) -> bool) {
        let deadline = Instant::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if expected(&event) => return,
                Ok(_) => {}
                Err(_) => panic!("no event {what}"),
            }
        }
    }

    /// Waits until the guest has come up `times` times.
    pub fn await_boots(&self, instance: &InstanceId, times: usize) {
        let boots = || self.console(instance).matches(self.marker).count() >= times;
        self.await_that(&format!("boot {times} of {instance}"), boots);
    }

    pub fn console(&self, instance: &InstanceId) -> String {
        let log = self.spec(instance).console_log;
        let tail = self.hypervisor.console(instance, &log, 1 << 20).unwrap();
        String::from_utf8_lossy(&tail.bytes).into_owned()
    }

    pub fn await_that(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn a_started_guest_is_listed_and_writes_its_console(&self, id: &InstanceId) {
        self.start(id);
        let ours = Ownership::Ours(id.clone());
        let found = self.hypervisor.domains().unwrap();
        let domain = found.iter().find(|domain| domain.ownership == ours).expect("it is listed");
        assert_eq!(domain.state, DomainState::Running);
        assert_eq!((domain.vcpus, domain.memory_mib), (1, 64));
        self.remove(id);
    }

    fn a_second_start_is_refused_and_harms_nothing(&self, id: &InstanceId) {
        self.start(id);
        let again = self.hypervisor.start(&self.spec(id));
        assert_eq!(again, Err(HypervisorFault::AlreadyExists(id.clone())));
        assert_eq!(self.state(id), Some(DomainState::Running));
        self.remove(id);
    }

    fn taking_the_power_away_is_told_and_may_be_repeated(&self, id: &InstanceId) {
        self.start(id);
        self.hypervisor.power_off(id).unwrap();
        self.await_event(&DomainEvent::Off(id.clone(), OffReason::Destroyed));
        assert_eq!(self.state(id), Some(DomainState::Off));
        self.hypervisor.power_off(id).unwrap();
        self.remove(id);
    }

    fn a_guest_that_shuts_down_is_off_and_still_there(&self, id: &InstanceId) {
        self.start(id);
        self.hypervisor.shut_down(id).unwrap();
        self.await_event(&DomainEvent::Off(id.clone(), OffReason::Shutdown));
        assert_eq!(self.state(id), Some(DomainState::Off));
        self.remove(id);
    }

    fn a_reboot_keeps_the_guest_running(&self, id: &InstanceId) {
        self.start(id);
        self.hypervisor.reboot(id).unwrap();
        self.await_boots(id, 2);
        assert_eq!(self.state(id), Some(DomainState::Running));
        self.remove(id);
        // Nothing said it was off before it was removed.
        self.await_event_where("the first that says off", |event| match event {
            DomainEvent::Off(off, reason) if off == id => {
                assert_eq!(*reason, OffReason::Destroyed);
                true
            }
            _ => false,
        });
    }

    fn removing_is_idempotent(&self, id: &InstanceId) {
        self.hypervisor.remove(id).unwrap();
        self.start(id);
        self.remove(id);
        self.remove(id);
    }

    fn what_does_not_exist_is_refused(&self, id: &InstanceId) {
        let missing = Err(HypervisorFault::NoSuchDomain(id.clone()));
        assert_eq!(self.hypervisor.shut_down(id), missing);
        assert_eq!(self.hypervisor.power_off(id), missing);
        assert_eq!(self.hypervisor.reboot(id), missing);
    }

    fn what_is_off_is_refused(&self, id: &InstanceId) {
        self.start(id);
        self.hypervisor.power_off(id).unwrap();
        let off = Err(HypervisorFault::NotRunning(id.clone()));
        assert_eq!(self.hypervisor.shut_down(id), off);
        assert_eq!(self.hypervisor.reboot(id), off);
        let again = self.hypervisor.start(&self.spec(id));
        assert_eq!(again, Err(HypervisorFault::AlreadyExists(id.clone())));
        self.remove(id);
    }

    fn a_guest_killed_from_outside_is_told(
        &self,
        id: &InstanceId,
        kill: impl Fn(&Bench<H>, &InstanceId),
    ) {
        self.start(id);
        kill(self, id);
        self.await_event_where("that it is off", |event| {
            matches!(event, DomainEvent::Off(off, reason)
                if off == id && *reason != OffReason::Shutdown)
        });
        assert_eq!(self.state(id), Some(DomainState::Off));
        self.remove(id);
    }

    fn a_start_that_fails_leaves_nothing(&self, id: &InstanceId) {
        let mut spec = self.spec(id);
        spec.console_log = self.directory.join("no such directory").join("console.log");
        match self.hypervisor.start(&spec) {
            Err(HypervisorFault::Refused(reason)) => {
                assert!(reason.contains("no such directory"), "{reason}");
            }
            other => panic!("started without a console log: {other:?}"),
        }
        assert_eq!(self.state(id), None);
        self.start(id);
        self.remove(id);
    }

    fn many_threads_may_start_guests_at_once(&self) {
        let guests: Vec<InstanceId> = (100..104).map(instance).collect();
        let hypervisor = &self.hypervisor;
        thread::scope(|scope| {
            for spec in guests.iter().map(|id| self.spec(id)) {
                scope.spawn(move || hypervisor.start(&spec).unwrap());
            }
        });
        for id in &guests {
            self.await_boots(id, 1);
            assert_eq!(self.state(id), Some(DomainState::Running));
            self.remove(id);
        }
    }
}
