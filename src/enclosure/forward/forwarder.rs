//! The thread that offers guests' ports to the host.

use super::{
    elsewhere, gate,
    gate::CONNECTIONS_MAX,
    selection::{PORTS_MAX, Protocol, select},
    udp,
};
use crate::{
    domain::{port_filter::PortFilter, settings::Reach},
    enclosure::broker::Broker,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, mpsc as answer},
    thread,
};
use tokio::{
    runtime,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

/// A handle on the thread, which ends with it.
#[derive(Debug)]
pub struct Forwarder {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Offer { guest: Ipv4Addr, filter: PortFilter, gateway: Ipv4Addr, done: answer::Sender<()> },
    Withdraw { guest: Ipv4Addr, done: answer::Sender<()> },
}

/// The thread that carries is gone, so nothing can be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the forwarder has ended")]
pub struct Ended;

impl Forwarder {
    pub(in crate::enclosure) fn start(broker: Arc<Broker>) -> io::Result<Forwarder> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, mut received) = mpsc::unbounded_channel();
        let thread = thread::Builder::new().name("forward".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let gates_max = files_max() / 2;
                let mut offers = Offers { broker, guests: HashMap::new(), gates_max };
                while let Some(order) = received.recv().await {
                    offers.obey(order).await;
                }
            });
        })?;
        Ok(Forwarder { orders: Some(orders), thread: Some(thread) })
    }

    /// Offers the guest's ports that a filter admits from the gateway, and no others. In force when
    /// this returns; connections to ports that stay are not disturbed.
    pub fn offer(
        &self,
        guest: Ipv4Addr,
        filter: &PortFilter,
        gateway: Ipv4Addr,
    ) -> Result<(), Ended> {
        let filter = filter.clone();
        self.order(|done| Order::Offer { guest, filter, gateway, done })
    }

    /// Offers nothing of the guest's any more, and cuts its connections.
    pub fn withdraw(&self, guest: Ipv4Addr) -> Result<(), Ended> {
        self.order(|done| Order::Withdraw { guest, done })
    }

    fn order(&self, order: impl FnOnce(answer::Sender<()>) -> Order) -> Result<(), Ended> {
        let (done, waiting) = answer::channel();
        let orders = self.orders.as_ref().ok_or(Ended)?;
        orders.send(order(done)).map_err(|_| Ended)?;
        waiting.recv().map_err(|_| Ended)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// What is offered now.
#[derive(Debug)]
struct Offers {
    broker: Arc<Broker>,
    guests: HashMap<Ipv4Addr, Offered>,
    /// Half of the files this process may have open; connections and guests need some too.
    gates_max: usize,
}

#[derive(Debug)]
struct Offered {
    gates: HashMap<(Protocol, u16), Gate>,
    room: Arc<Semaphore>,
}

/// A port's task, which stops when this is dropped.
#[derive(Debug)]
struct Gate {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Gate {
    fn of<F: Future<Output = ()> + 'static + Send>(
        task: impl FnOnce(oneshot::Receiver<()>) -> F,
    ) -> Gate {
        let (stop, stopped) = oneshot::channel();
        Gate { stop, task: tokio::spawn(task(stopped)) }
    }

    /// Returns when its socket, and everything it carried, is closed.
    async fn close(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            log::error!("a port's task failed: {error}");
        }
    }
}

impl Offers {
    async fn obey(&mut self, order: Order) {
        let done = match order {
            Order::Offer { guest, filter, gateway, done } => {
                self.offer(guest, &filter, gateway).await;
                done
            }
            Order::Withdraw { guest, done } => {
                if let Some(offered) = self.guests.remove(&guest) {
                    join_all(offered.gates.into_values().map(Gate::close)).await;
                }
                done
            }
        };
        // Who no longer waits need not know.
        let _ = done.send(());
    }

    async fn offer(&mut self, guest: Ipv4Addr, filter: &PortFilter, gateway: Ipv4Addr) {
        let of_others = self.guests.iter().filter(|(other, _)| **other != guest);
        let others: usize = of_others.map(|(_, offered)| offered.gates.len()).sum();
        let offered = self.guests.entry(guest).or_insert_with(|| Offered {
            gates: HashMap::new(),
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        });
        let mut wanted = BTreeSet::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let selection = select(filter, protocol, gateway);
            if selection.left_out > 0 {
                log::warn!(
                    "`{}` offers {PORTS_MAX} {protocol:?} ports of `{guest}`; {} more are \
                     admitted and not offered",
                    Reach::Loopback.shown(guest),
                    selection.left_out
                );
            }
            wanted.extend(selection.ports.into_iter().map(|port| (protocol, port)));
        }
        let closed = offered.gates.extract_if(|gate, _| !wanted.contains(gate));
        join_all(closed.map(|(_, gate)| gate.close())).await;
        let mut open_gates = others + offered.gates.len();
        // From above: where a privileged port would be offered may be a port of the guest's own.
        for (protocol, port) in wanted.into_iter().rev() {
            if offered.gates.contains_key(&(protocol, port)) {
                continue;
            }
            let to = SocketAddrV4::new(guest, port);
            if open_gates == self.gates_max {
                log::warn!(
                    "{protocol:?} port `{to}` and others are not offered: this process may have \
                     only {} files open",
                    self.gates_max * 2
                );
                break;
            }
            match open(&self.broker, protocol, to, &offered.room) {
                Ok(gate) => {
                    offered.gates.insert((protocol, port), gate);
                    open_gates += 1;
                }
                Err(error) => log::warn!("{protocol:?} port `{to}` cannot be offered: {error}"),
            }
        }
    }
}

/// Offers a port where it belongs, or if that is privileged, elsewhere.
fn open(
    broker: &Broker,
    protocol: Protocol,
    guest: SocketAddrV4,
    room: &Arc<Semaphore>,
) -> io::Result<Gate> {
    let shown = Reach::Loopback.shown(*guest.ip());
    let usual = SocketAddrV4::new(shown, guest.port());
    match open_at(broker, protocol, usual, guest, room) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && guest.port() < 1024 => {
            let other = SocketAddrV4::new(shown, elsewhere(guest.port()));
            log::info!("`{guest}` is offered at `{other}`: `{usual}` is privileged on this host");
            open_at(broker, protocol, other, guest, room)
        }
        opened => opened,
    }
}

fn open_at(
    broker: &Broker,
    protocol: Protocol,
    at: SocketAddrV4,
    guest: SocketAddrV4,
    room: &Arc<Semaphore>,
) -> io::Result<Gate> {
    match protocol {
        Protocol::Tcp => {
            let listener = broker.listen(at)?;
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let room = Arc::clone(room);
            Ok(Gate::of(|stop| gate::carry_connections(listener, guest, room, stop)))
        }
        Protocol::Udp => {
            let socket = broker.receive(at)?;
            socket.set_nonblocking(true)?;
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            Ok(Gate::of(|stop| udp::carry_datagrams(socket, guest, stop)))
        }
    }
}

/// How many files this process may have open.
fn files_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours and outlives the call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX),
        _ => 1024,
    }
}
