//! What libvirt tells unasked: lifecycle events, reboots, a lost connection, errors.
//!
//! libvirt has one event loop and one error handler for the whole process, whatever the number of
//! connections; those two, and the library itself, are the only process-wide state of this driver.
//! The `virt` crate wraps neither domain events nor close callbacks, so this file registers them
//! by hand.
//!
//! Callbacks run on the event loop's thread. They do not ask libvirt anything that could need an
//! answer from that same thread.

use super::loader;
use crate::{
    domain::id::InstanceId,
    hypervisor::{DomainEvent, EventSink, OffReason, domain_xml},
};
use std::{
    collections::BTreeMap,
    ffi::{CStr, c_int, c_void},
    fmt, ptr,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
};
use virt::{connect::Connect, event, sys};

/// Loads libvirt and starts its event loop, once per process.
pub fn start() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED.get_or_init(start_once).clone()
}

fn start_once() -> Result<(), String> {
    loader::load()?;
    // SAFETY: the handler is a plain function that uses no user data.
    unsafe { sys::virSetErrorFunc(ptr::null_mut(), Some(log_error)) };
    event::event_register_default_impl().map_err(|error| error.message().to_owned())?;
    let event_loop = || {
        loop {
            if let Err(error) = event::event_run_default_impl() {
                log::error!("libvirt's event loop: {}", error.message());
            }
        }
    };
    let spawned = thread::Builder::new().name("libvirt-events".into()).spawn(event_loop);
    spawned.map(drop).map_err(|error| format!("cannot start the event loop: {error}"))
}

/// Without a handler libvirt prints errors on stderr. Every error is also returned to the caller,
/// who knows whether it matters, so here it is a detail.
unsafe extern "C" fn log_error(_: *mut c_void, error: sys::virErrorPtr) {
    // SAFETY: libvirt passes an error of its own that lives during the call; a message, if there
    // is one, is a C string.
    unsafe {
        if !error.is_null() && !(*error).message.is_null() {
            log::debug!("libvirt: {}", CStr::from_ptr((*error).message).to_string_lossy());
        }
    }
}

/// Where the events of one hypervisor go.
pub struct Watch {
    pub name_prefix: String,
    pub sink: EventSink,
    /// Dropping a sender tells the thread behind it that the guest has restarted or is off.
    pub reboots: Mutex<BTreeMap<InstanceId, mpsc::Sender<()>>>,
    /// Told when the connection ends.
    pub closed: mpsc::Sender<()>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("name_prefix", &self.name_prefix).finish_non_exhaustive()
    }
}

impl Watch {
    /// Nothing is to be waited for any more: the guest restarted, went off, or refused.
    pub fn forget_reboot(&self, instance: &InstanceId) {
        self.reboots.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
    }

    /// The instance of a domain, if it is ours: both its name and its UUID, which is derived from
    /// the name, must say so. Both are known locally.
    ///
    /// # Safety
    /// `domain` must be a domain object that lives during the call.
    unsafe fn instance(&self, domain: sys::virDomainPtr) -> Option<InstanceId> {
        let mut uuid = [0; sys::VIR_UUID_STRING_BUFLEN as usize];
        // SAFETY: by the function's contract, and the buffer is as long as libvirt asks.
        let (name, found) = unsafe {
            let name = sys::virDomainGetName(domain);
            if name.is_null() || sys::virDomainGetUUIDString(domain, uuid.as_mut_ptr()) != 0 {
                return None;
            }
            (CStr::from_ptr(name).to_str().ok()?, CStr::from_ptr(uuid.as_ptr()).to_str().ok()?)
        };
        let instance = domain_xml::instance_of(&self.name_prefix, name)?;
        (domain_xml::domain_uuid(&self.name_prefix, &instance) == found).then_some(instance)
    }
}

/// Registrations on one connection, to be undone before it is closed.
#[derive(Debug)]
pub struct Subscription {
    callbacks: Vec<c_int>,
}

impl Subscription {
    pub fn new(connect: &Connect, watch: &Arc<Watch>) -> Result<Subscription, virt::error::Error> {
        let mut subscription = Subscription { callbacks: Vec::new() };
        // SAFETY: libvirt calls a callback with the signature its event id stands for; the generic
        // type is how its API spells "any of them". `lifecycle` and `rebooted` have those
        // signatures.
        let lifecycle: sys::virConnectDomainEventGenericCallback = Some(unsafe {
            std::mem::transmute::<
                unsafe extern "C" fn(
                    sys::virConnectPtr,
                    sys::virDomainPtr,
                    c_int,
                    c_int,
                    *mut c_void,
                ) -> c_int,
                unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
            >(lifecycle)
        });
        for (event, callback) in [
            (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
            (sys::VIR_DOMAIN_EVENT_ID_REBOOT, Some(rebooted as _)),
        ] {
            let context = context_of(watch);
            // SAFETY: `context` is owned by the registration and freed by `release`.
            let id = unsafe {
                sys::virConnectDomainEventRegisterAny(
                    connect.as_ptr(),
                    ptr::null_mut(),
                    event as c_int,
                    callback,
                    context,
                    Some(release),
                )
            };
            if id < 0 {
                let error = virt::error::Error::last_error();
                subscription.undo(connect);
                // SAFETY: a refused registration does not take the context over.
                unsafe { release(context) };
                return Err(error);
            }
            subscription.callbacks.push(id);
        }
        let context = context_of(watch);
        // SAFETY: as above.
        let registered = unsafe {
            sys::virConnectRegisterCloseCallback(
                connect.as_ptr(),
                Some(closed),
                context,
                Some(release),
            )
        };
        if registered < 0 {
            let error = virt::error::Error::last_error();
            subscription.undo(connect);
            // SAFETY: as above.
            unsafe { release(context) };
            return Err(error);
        }
        Ok(subscription)
    }

    /// Ends the subscription; events that are on their way are lost.
    pub fn undo(&self, connect: &Connect) {
        for id in &self.callbacks {
            // SAFETY: the ids were given by this connection.
            unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), *id) };
        }
        // SAFETY: a callback that is not registered is refused, no more.
        unsafe { sys::virConnectUnregisterCloseCallback(connect.as_ptr(), Some(closed)) };
    }
}

fn context_of(watch: &Arc<Watch>) -> *mut c_void {
    Box::into_raw(Box::new(Arc::clone(watch))).cast()
}

unsafe extern "C" fn release(context: *mut c_void) {
    // SAFETY: made by `context_of`, and libvirt releases each context once.
    drop(unsafe { Box::from_raw(context.cast::<Arc<Watch>>()) });
}

unsafe extern "C" fn lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    context: *mut c_void,
) -> c_int {
    // SAFETY: `context` was made by `context_of` and is released only after the last call; the
    // domain lives during the call.
    let (watch, instance) = unsafe {
        let watch = &*context.cast::<Arc<Watch>>();
        (watch, watch.instance(domain))
    };
    let Some(instance) = instance else { return 0 };
    match event as sys::virDomainEventType {
        sys::VIR_DOMAIN_EVENT_STARTED => (watch.sink)(DomainEvent::Started(instance)),
        sys::VIR_DOMAIN_EVENT_STOPPED => {
            watch.forget_reboot(&instance);
            (watch.sink)(DomainEvent::Off(instance, off_reason(detail)));
        }
        // Defined, undefined, suspended, resumed, shutting down, panicked: either we did it, or
        // one of the two above follows.
        _ => {}
    }
    0
}

unsafe extern "C" fn rebooted(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    context: *mut c_void,
) {
    // SAFETY: as in `lifecycle`.
    let (watch, instance) = unsafe {
        let watch = &*context.cast::<Arc<Watch>>();
        (watch, watch.instance(domain))
    };
    if let Some(instance) = instance {
        watch.forget_reboot(&instance);
    }
}

unsafe extern "C" fn closed(_: sys::virConnectPtr, reason: c_int, context: *mut c_void) {
    // SAFETY: as in `lifecycle`.
    let watch = unsafe { &*context.cast::<Arc<Watch>>() };
    log::warn!("the connection to libvirt ended (reason {reason})");
    // The receiver is gone only when the hypervisor is being dropped.
    let _ = watch.closed.send(());
}

fn off_reason(detail: c_int) -> OffReason {
    match detail as sys::virDomainEventStoppedDetailType {
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => OffReason::Shutdown,
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => OffReason::Crashed,
        sys::VIR_DOMAIN_EVENT_STOPPED_FAILED => OffReason::Failed,
        // Destroyed, or migrated, saved or reverted by an administrator: taken from the guest.
        _ => OffReason::Destroyed,
    }
}
