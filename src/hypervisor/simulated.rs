//! A small machine that keeps the same books as a hypervisor and runs nothing.
//!
//! For tests, for trying the cloud out without QEMU, and for clouds of ten thousand nodes in one
//! process. It keeps every promise of the trait that does not need a guest: states, refusals,
//! events from a thread of its own, ownership. Its console logs say that they are simulated.
//!
//! With a file, simulated guests outlive the process that started them as real ones do. Foreign
//! domains are a test's invention and live in memory only. What a guest has printed goes with its
//! domain.
//! Deliberately absent: time inside the guest, the console socket, and refusing what the host has
//! no room for, which QEMU does not do either.

use super::{
    ConsoleTail, Domain, DomainEvent, DomainSpec, DomainState, EventSink, HostFacts, Hypervisor,
    HypervisorFault, OffReason, Ownership,
};
use crate::{
    domain::{id::InstanceId, resources::Resources},
    ledger::Ledger,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, time::Instant};

/// How the machine behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedOptions {
    /// The same seed, the same delays and failures for the same sequence of calls.
    pub seed: u64,
    /// A start takes a time between these two.
    pub shortest_start: Duration,
    pub longest_start: Duration,
    /// How long a guest takes to answer its power button.
    pub shutdown: Duration,
    /// The share of starts that fail, from 0 to 1.
    pub failure_rate: f64,
    pub resources: Resources,
    /// Where domains are kept (a `Ledger`); only in memory if absent.
    pub domains: Option<PathBuf>,
}

impl Default for SimulatedOptions {
    fn default() -> SimulatedOptions {
        SimulatedOptions {
            seed: 0,
            shortest_start: Duration::ZERO,
            longest_start: Duration::ZERO,
            shutdown: Duration::from_millis(20),
            failure_rate: 0.0,
            resources: Resources { vcpus: 8, memory_mib: 16 * 1024, disk_gib: 100 },
            domains: None,
        }
    }
}

pub struct SimulatedHypervisor {
    options: SimulatedOptions,
    shared: Arc<Shared>,
}

/// What the driver's callers and its thread both know.
#[derive(Default)]
struct Shared {
    machine: Mutex<Machine>,
    changed: Condvar,
    /// The same as `changed`, for a machine in virtual time.
    woken: Notify,
}

#[derive(Default)]
struct Machine {
    guests: Ledger<InstanceId, Guest>,
    starting: BTreeSet<InstanceId>,
    foreign: Vec<Domain>,
    chance: Option<ChaCha8Rng>,
    /// What the thread is to do, by when it is due and the order in which it was asked.
    due: BTreeMap<(Instant, u64), Due>,
    asked: u64,
    stopping: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Guest {
    vcpus: u32,
    memory_mib: u64,
    running: bool,
    /// How often it has come up, and when it did last.
    boots: usize,
    booted_at: SystemTime,
}

enum Due {
    Tell(DomainEvent),
    /// The guest has finished its own shutdown, unless it was taken its power before.
    ShutDown(InstanceId),
}

impl fmt::Debug for SimulatedHypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedHypervisor").field("options", &self.options).finish()
    }
}

impl SimulatedHypervisor {
    /// Takes up the domains in the file, as a real hypervisor would find them.
    pub fn open(options: SimulatedOptions, sink: EventSink) -> io::Result<SimulatedHypervisor> {
        let machine = SimulatedHypervisor::machine(options)?;
        let its_share = Arc::clone(&machine.shared);
        thread::Builder::new().name("simulated".into()).spawn(move || its_share.run(&sink))?;
        Ok(machine)
    }

    /// The same without a thread: what is due is done by a task of the caller's, in tokio's time.
    /// Nothing blocks, so a start takes no time.
    pub fn open_in_virtual_time(
        options: SimulatedOptions,
        sink: EventSink,
    ) -> io::Result<SimulatedHypervisor> {
        let options = SimulatedOptions {
            shortest_start: Duration::ZERO,
            longest_start: Duration::ZERO,
            ..options
        };
        let machine = SimulatedHypervisor::machine(options)?;
        let its_share = Arc::clone(&machine.shared);
        tokio::task::spawn_local(async move { its_share.run_in_virtual_time(&sink).await });
        Ok(machine)
    }

    fn machine(options: SimulatedOptions) -> io::Result<SimulatedHypervisor> {
        let guests = match &options.domains {
            Some(path) => Ledger::open(path)?,
            None => Ledger::default(),
        };
        let shared = Arc::new(Shared::default());
        {
            let mut machine = shared.lock();
            machine.guests = guests;
            machine.chance = Some(ChaCha8Rng::seed_from_u64(options.seed));
        }
        Ok(SimulatedHypervisor { options, shared })
    }

    /// For tests: what `kill -9` of QEMU does. False if no such guest was running.
    pub fn kill_from_outside(&self, instance: &InstanceId) -> bool {
        let mut machine = self.shared.lock();
        let was_running = machine.switch_off(instance, OffReason::Failed);
        self.shared.wake();
        was_running
    }

    /// For tests: a domain this cloud knows nothing about.
    pub fn add_foreign(&self, name: &str, vcpus: u32, memory_mib: u64) {
        let ownership = Ownership::Foreign { name: name.to_owned() };
        let domain = Domain { ownership, state: DomainState::Running, vcpus, memory_mib };
        self.shared.lock().foreign.push(domain);
    }

    /// How long this start takes, or why it fails.
    fn fate(&self, machine: &mut Machine) -> Result<Duration, HypervisorFault> {
        let span = self.options.longest_start.saturating_sub(self.options.shortest_start);
        let delay = self.options.shortest_start + span.mul_f64(machine.next_share());
        if machine.next_share() < self.options.failure_rate {
            return Err(HypervisorFault::Refused("a simulated failure, as configured".to_owned()));
        }
        Ok(delay)
    }

    fn boot(&self, spec: &DomainSpec) -> Result<(), HypervisorFault> {
        // Nothing is written there, but where QEMU could not write it would not start.
        if let Some(directory) = spec.console_log.parent()
            && let Err(error) = fs::metadata(directory)
        {
            let path = spec.console_log.display();
            let reason = format!("cannot write the console log `{path}`: {error}");
            return Err(HypervisorFault::Refused(reason));
        }
        let guest = Guest {
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            running: true,
            boots: 1,
            booted_at: SystemTime::now(),
        };
        let mut machine = self.shared.lock();
        let kept = machine.guests.insert(spec.instance.clone(), guest);
        kept.map_err(|error| HypervisorFault::Refused(format!("it cannot be kept: {error}")))?;
        machine.tell(DomainEvent::Started(spec.instance.clone()));
        self.shared.wake();
        Ok(())
    }
}

impl Drop for SimulatedHypervisor {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.wake();
    }
}

impl Hypervisor for SimulatedHypervisor {
    fn host(&self) -> Result<HostFacts, HypervisorFault> {
        Ok(HostFacts {
            resources: Resources { disk_gib: 0, ..self.options.resources },
            description: "simulated: no guest executes".to_owned(),
        })
    }

    fn start(&self, spec: &DomainSpec) -> Result<(), HypervisorFault> {
        let delay = {
            let mut machine = self.shared.lock();
            let exists = machine.guests.get(&spec.instance).is_some();
            if exists || machine.starting.contains(&spec.instance) {
                return Err(HypervisorFault::AlreadyExists(spec.instance.clone()));
            }
            let delay = self.fate(&mut machine)?;
            machine.starting.insert(spec.instance.clone());
            delay
        };
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        let result = self.boot(spec);
        self.shared.lock().starting.remove(&spec.instance);
        result
    }

    fn shut_down(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let mut machine = self.shared.lock();
        machine.running(instance)?;
        machine.schedule(self.options.shutdown, Due::ShutDown(instance.clone()));
        self.shared.wake();
        Ok(())
    }

    fn power_off(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let mut machine = self.shared.lock();
        if machine.guests.get(instance).is_none() {
            return Err(HypervisorFault::NoSuchDomain(instance.clone()));
        }
        machine.switch_off(instance, OffReason::Destroyed);
        self.shared.wake();
        Ok(())
    }

    fn reboot(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let mut machine = self.shared.lock();
        let guest = machine.running(instance)?;
        let rebooted =
            Guest { boots: guest.boots + 1, booted_at: SystemTime::now(), ..guest.clone() };
        machine.keep(instance, Some(rebooted));
        Ok(())
    }

    fn remove(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let mut machine = self.shared.lock();
        machine.switch_off(instance, OffReason::Destroyed);
        machine.keep(instance, None);
        self.shared.wake();
        Ok(())
    }

    fn console(&self, instance: &InstanceId, _: &Path, limit: usize) -> io::Result<ConsoleTail> {
        let machine = self.shared.lock();
        let Some(guest) = machine.guests.get(instance) else { return Ok(ConsoleTail::default()) };
        let mut bytes = guest.printed().into_bytes();
        bytes.drain(..bytes.len().saturating_sub(limit));
        Ok(ConsoleTail { bytes, written_at: Some(guest.booted_at) })
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorFault> {
        let machine = self.shared.lock();
        let ours = machine.guests.iter().map(|(instance, guest)| Domain {
            ownership: Ownership::Ours(instance.clone()),
            state: if guest.running { DomainState::Running } else { DomainState::Off },
            vcpus: guest.vcpus,
            memory_mib: guest.memory_mib,
        });
        Ok(ours.chain(machine.foreign.iter().cloned()).collect())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is due, or all is over.
    fn wake(&self) {
        self.changed.notify_all();
        self.woken.notify_one();
    }

    /// The thread.
    fn run(&self, sink: &EventSink) {
        let mut machine = self.lock();
        while !machine.stopping {
            let wait = machine.idle_for();
            if !wait.is_zero() {
                let woken = self.changed.wait_timeout(machine, wait);
                machine = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let event = machine.do_next();
            drop(machine);
            if let Some(event) = event {
                sink(event);
            }
            machine = self.lock();
        }
    }

    /// The task that stands for the thread.
    async fn run_in_virtual_time(&self, sink: &EventSink) {
        loop {
            let wait = {
                let machine = self.lock();
                if machine.stopping {
                    return;
                }
                machine.idle_for()
            };
            if !wait.is_zero() {
                // Whichever comes first: it is looked at anew in any case.
                let _ = tokio::time::timeout(wait, self.woken.notified()).await;
                continue;
            }
            let event = self.lock().do_next();
            if let Some(event) = event {
                sink(event);
            }
        }
    }
}

impl Machine {
    fn running(&self, instance: &InstanceId) -> Result<&Guest, HypervisorFault> {
        match self.guests.get(instance) {
            None => Err(HypervisorFault::NoSuchDomain(instance.clone())),
            Some(guest) if !guest.running => Err(HypervisorFault::NotRunning(instance.clone())),
            Some(guest) => Ok(guest),
        }
    }

    /// Whether it was on.
    fn switch_off(&mut self, instance: &InstanceId, reason: OffReason) -> bool {
        let Some(guest) = self.guests.get(instance).filter(|guest| guest.running) else {
            return false;
        };
        let off = Guest { running: false, ..guest.clone() };
        self.keep(instance, Some(off));
        self.tell(DomainEvent::Off(instance.clone(), reason));
        true
    }

    /// How long there is nothing to do.
    fn idle_for(&self) -> Duration {
        match self.due.first_key_value() {
            Some(((when, _), _)) => when.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(3600),
        }
    }

    /// Does what is due next. An event is for the sink, which is told without holding the lock: it
    /// may well ask this hypervisor something.
    fn do_next(&mut self) -> Option<DomainEvent> {
        match self.due.pop_first().map(|(_, due)| due)? {
            Due::ShutDown(instance) => {
                self.switch_off(&instance, OffReason::Shutdown);
                None
            }
            Due::Tell(event) => Some(event),
        }
    }

    fn tell(&mut self, event: DomainEvent) {
        self.schedule(Duration::ZERO, Due::Tell(event));
    }

    fn schedule(&mut self, after: Duration, due: Due) {
        self.asked += 1;
        self.due.insert((Instant::now() + after, self.asked), due);
    }

    /// A number from 0 to 1.
    fn next_share(&mut self) -> f64 {
        let bits = self.chance.as_mut().map_or(0, ChaCha8Rng::next_u32);
        f64::from(bits) / f64::from(u32::MAX)
    }

    /// A file that cannot be written any more is this machine's disk failing; there is nobody to
    /// refuse, as the deed is done.
    fn keep(&mut self, instance: &InstanceId, guest: Option<Guest>) {
        let kept = match guest {
            Some(guest) => self.guests.insert(instance.clone(), guest),
            None => self.guests.remove(instance).map(drop),
        };
        if let Err(error) = kept {
            log::error!("the simulated domain of `{instance}` was not kept: {error}");
        }
    }
}

impl Guest {
    fn printed(&self) -> String {
        let (vcpus, memory) = (self.vcpus, self.memory_mib);
        let of_one_boot = format!(
            "[simulated] no guest executes; this text was made up\n\
             [simulated] {vcpus} CPUs, {memory} MiB of memory\n\
             [simulated] boot finished\n"
        );
        of_one_boot.repeat(self.boots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::conformance::{self, Bench};
    use std::sync::mpsc;

    fn bench(directory: &Path) -> Bench<SimulatedHypervisor> {
        let options = SimulatedOptions {
            domains: Some(directory.join("domains")),
            longest_start: Duration::from_millis(5),
            ..SimulatedOptions::default()
        };
        let (sink, events) = conformance::listen();
        fs::write(directory.join("never read"), "").unwrap();
        Bench {
            hypervisor: SimulatedHypervisor::open(options, sink).unwrap(),
            events,
            directory: directory.to_owned(),
            disk: directory.join("never read"),
            marker: "[simulated] boot finished",
            patience: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_simulated_hypervisor_keeps_the_promises_of_the_trait() {
        let directory = tempfile::tempdir().unwrap();
        conformance::check(&bench(directory.path()), |bench, instance| {
            assert!(bench.hypervisor.kill_from_outside(instance));
        });
    }

    #[test]
    fn foreign_domains_are_listed_as_foreign() {
        let directory = tempfile::tempdir().unwrap();
        let bench = bench(directory.path());
        bench.hypervisor.add_foreign("web", 2, 512);
        let foreign = Ownership::Foreign { name: "web".to_owned() };
        let found = bench.hypervisor.domains().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].ownership.clone(), found[0].vcpus), (foreign, 2));
    }

    #[test]
    fn guests_outlive_the_hypervisor_that_started_them() {
        let directory = tempfile::tempdir().unwrap();
        let (on, off) = (conformance::instance(1), conformance::instance(2));
        {
            let before = bench(directory.path());
            before.hypervisor.start(&before.spec(&on)).unwrap();
            before.hypervisor.start(&before.spec(&off)).unwrap();
            before.hypervisor.power_off(&off).unwrap();
        }
        let after = bench(directory.path());
        assert_eq!(after.state(&on), Some(DomainState::Running));
        assert_eq!(after.state(&off), Some(DomainState::Off));
        after.hypervisor.remove(&on).unwrap();
        after.hypervisor.remove(&off).unwrap();
        assert!(bench(directory.path()).hypervisor.domains().unwrap().is_empty());
    }

    #[test]
    fn failures_come_at_the_rate_asked_for_and_repeat_with_the_seed() {
        let directory = tempfile::tempdir().unwrap();
        let failures = |seed| {
            let options = SimulatedOptions { seed, failure_rate: 0.5, ..Default::default() };
            let hypervisor = SimulatedHypervisor::open(options, Arc::new(|_| {})).unwrap();
            let spec = bench(directory.path()).spec(&conformance::instance(1));
            let outcomes: Vec<bool> = (0..100)
                .map(|_| {
                    let outcome = hypervisor.start(&spec).is_err();
                    hypervisor.remove(&spec.instance).unwrap();
                    outcome
                })
                .collect();
            outcomes
        };
        let first = failures(7);
        assert_eq!(first, failures(7));
        assert_ne!(first, failures(8));
        let count = first.iter().filter(|failed| **failed).count();
        assert!((30..70).contains(&count), "{count}");
    }

    #[test]
    fn a_sink_may_ask_the_hypervisor_something() {
        let (tell, told) = mpsc::channel();
        let slot: Arc<Mutex<Option<Arc<SimulatedHypervisor>>>> = Arc::default();
        let its_slot = Arc::clone(&slot);
        let sink: EventSink = Arc::new(move |_| {
            let hypervisor = its_slot.lock().unwrap().clone().expect("set before the first start");
            tell.send(hypervisor.domains().unwrap().len()).unwrap();
        });
        let hypervisor = SimulatedHypervisor::open(SimulatedOptions::default(), sink).unwrap();
        let hypervisor = Arc::new(hypervisor);
        *slot.lock().unwrap() = Some(Arc::clone(&hypervisor));
        let directory = tempfile::tempdir().unwrap();
        let spec = bench(directory.path()).spec(&conformance::instance(1));
        hypervisor.start(&spec).unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(1));
        slot.lock().unwrap().take();
    }
}
