//! One connection to libvirt, kept up.
//!
//! Whoever wants to call libvirt borrows the connection for that call. When a daemon dies, its
//! connection's close callback wakes a thread that tries to reach it again, for ever and more and
//! more patiently; until then every call answers `Unreachable` at once. The embedded driver has no
//! daemon to lose.

use super::{
    events::{Subscription, Watch},
    mode::Mode,
};
use crate::hypervisor::{DomainEvent, HypervisorFault};
use std::{
    cmp::min,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    thread,
    time::Duration,
};
use virt::connect::Connect;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A daemon that answers nothing for this long, this often, counts as gone.
const KEEP_ALIVE_SECONDS: i32 = 5;
const KEEP_ALIVE_COUNT: u32 = 3;

#[derive(Debug)]
pub struct Link {
    mode: Mode,
    watch: Arc<Watch>,
    connected: Mutex<Option<Arc<Connected>>>,
}

/// An open connection and its subscription. Shared by counting here: the `virt` crate's own
/// `Connect` is not closed when it is dropped.
#[derive(Debug)]
pub struct Connected {
    connect: Connect,
    subscription: Subscription,
}

impl Deref for Connected {
    type Target = Connect;
    fn deref(&self) -> &Connect {
        &self.connect
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.subscription.undo(&self.connect);
        if let Err(error) = self.connect.close() {
            log::debug!("closing a connection to libvirt: {}", error.message());
        }
    }
}

impl Link {
    /// Connects, and keeps the connection up from then on. `closed` receives what `watch` sends.
    pub fn open(
        mode: Mode,
        watch: Arc<Watch>,
        closed: mpsc::Receiver<()>,
    ) -> Result<Arc<Link>, HypervisorFault> {
        let connected = Some(Arc::new(Connected::open(&mode, &watch)?));
        let link = Arc::new(Link { mode, watch, connected: Mutex::new(connected) });
        let weak = Arc::downgrade(&link);
        thread::Builder::new()
            .name("libvirt-link".into())
            .spawn(move || mend(&weak, &closed))
            .map_err(|error| HypervisorFault::Refused(format!("cannot start a thread: {error}")))?;
        Ok(link)
    }

    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The connection, to be used and given back.
    pub fn connect(&self) -> Result<Arc<Connected>, HypervisorFault> {
        match &*self.lock() {
            Some(connected) => Ok(Arc::clone(connected)),
            None => Err(HypervisorFault::Unreachable(format!("`{}` went away", self.mode))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connected>>> {
        // Nothing that can panic happens while the lock is held.
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    fn open(mode: &Mode, watch: &Arc<Watch>) -> Result<Connected, HypervisorFault> {
        let unreachable = |error: virt::error::Error| {
            HypervisorFault::Unreachable(format!("`{mode}`: {}", with_remedy(error.message())))
        };
        let connect = match mode {
            Mode::Embed { .. } => open_pinned(mode.to_string()),
            Mode::System | Mode::Session | Mode::Uri(_) => Connect::open(Some(&mode.to_string())),
        }
        .map_err(unreachable)?;
        if !matches!(mode, Mode::Embed { .. }) {
            // A local socket tells at once when its daemon dies; this is for one that hangs.
            if let Err(error) = connect.set_keep_alive(KEEP_ALIVE_SECONDS, KEEP_ALIVE_COUNT) {
                log::debug!("`{mode}` has no keep-alive: {}", error.message());
            }
        }
        let subscription = Subscription::new(&connect, watch).map_err(unreachable)?;
        Ok(Connected { connect, subscription })
    }
}

/// libvirt's words, and what to do about those that are known to puzzle people.
fn with_remedy(message: &str) -> String {
    // Run by root, the driver wants the user QEMU would have under a daemon, even when
    // `qemu.conf` names another. The packages embedding needs do not create it on Debian.
    if message.contains("Failed to parse user") || message.contains("Failed to parse group") {
        return format!(
            "{message}; create it with `adduser --system --group --no-create-home libvirt-qemu`"
        );
    }
    message.to_owned()
}

/// Opens from a thread that stays on one CPU.
///
/// The embedded driver reads KVM's CPUID while opening and compares it with what it noted the
/// last time; under some hypervisors it differs from CPU to CPU, and then every note about QEMU
/// is thrown away and made anew, which takes seconds.
fn open_pinned(uri: String) -> Result<Connect, virt::error::Error> {
    let open = move || {
        // SAFETY: the set is a plain bit field, zero is its empty value, and 0 names this thread.
        // A refusal (CPU 0 may be forbidden) only costs the time described above.
        unsafe {
            let mut first: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut first);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &first);
        }
        Connect::open(Some(&uri))
    };
    thread::spawn(open).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn mend(link: &Weak<Link>, closed: &mpsc::Receiver<()>) {
    while closed.recv().is_ok() {
        let Some(link) = link.upgrade() else { return };
        let Some(lost) = link.lock().take() else { continue };
        drop(lost);
        (link.watch.sink)(DomainEvent::Disconnected);
        let weak = Arc::downgrade(&link);
        drop(link);
        if !reconnect(&weak) {
            return;
        }
    }
}

/// Whether there is somebody left to be connected.
fn reconnect(link: &Weak<Link>) -> bool {
    let mut pause = FIRST_RETRY;
    loop {
        thread::sleep(pause);
        pause = min(pause * 2, LONGEST_RETRY);
        let Some(link) = link.upgrade() else { return false };
        match Connected::open(&link.mode, &link.watch) {
            Ok(connected) => {
                *link.lock() = Some(Arc::new(connected));
                log::info!("connected to `{}` again", link.mode);
                (link.watch.sink)(DomainEvent::Reconnected);
                return true;
            }
            Err(error) => log::debug!("{error}"),
        }
    }
}
