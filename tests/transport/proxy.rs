//! A stretch of network that can be cut: by hand, or after so many bytes.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{JoinHandle, spawn_local},
};

pub struct Proxy {
    pub at: SocketAddr,
    wires: Rc<Wires>,
    accepting: JoinHandle<()>,
}

struct Wires {
    to: SocketAddr,
    /// For the next connections: how many bytes pass, in either direction, before it is cut.
    next_cuts: RefCell<Vec<u64>>,
    live: RefCell<Vec<JoinHandle<()>>>,
    connections: Cell<usize>,
}

impl Proxy {
    pub async fn before(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let wires = Rc::new(Wires {
            to,
            next_cuts: RefCell::default(),
            live: RefCell::default(),
            connections: Cell::new(0),
        });
        let accepting = spawn_local(wires.clone().accept(listener));
        Proxy { at, wires, accepting }
    }

    /// The next connection is cut after so many bytes, the one after it after the next number.
    pub fn cut_next_after(&self, mut bytes: Vec<u64>) {
        bytes.reverse();
        *self.wires.next_cuts.borrow_mut() = bytes;
    }

    /// Cuts what is connected now.
    pub fn cut(&self) {
        for wire in self.wires.live.take() {
            wire.abort();
        }
    }

    pub fn connections(&self) -> usize {
        self.wires.connections.get()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Wires {
    async fn accept(self: Rc<Self>, listener: TcpListener) {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let Ok(far) = TcpStream::connect(self.to).await else { continue };
            self.connections.set(self.connections.get() + 1);
            let left = Rc::new(Cell::new(self.next_cuts.borrow_mut().pop().unwrap_or(u64::MAX)));
            let wire = spawn_local(async move {
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                // Whichever ends first ends the other.
                tokio::select! {
                    () = pass(near_in, far_out, &left) => {}
                    () = pass(far_in, near_out, &left) => {}
                }
            });
            self.live.borrow_mut().push(wire);
        }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &Cell<u64>) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let passing = left.get().min(read as u64);
        left.set(left.get() - passing);
        let passing = usize::try_from(passing).unwrap();
        if to.write_all(&bytes[..passing]).await.is_err() || left.get() == 0 {
            return;
        }
    }
}
