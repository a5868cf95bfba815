//! A stretch of network that can be cut: by hand, or after so many bytes, with both ends hearing of
//! it or only the near one.

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
    next_cuts: RefCell<Vec<Cut>>,
    /// Connections whose far end was not told that they are cut.
    ghosts: RefCell<Vec<(OwnedReadHalf, OwnedWriteHalf)>>,
    live: RefCell<Vec<JoinHandle<()>>>,
    connections: Cell<usize>,
}

#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// In either direction.
    pub after_bytes: u64,
    pub heard: Heard,
}

/// By whom a cut is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    ByBoth,
    /// A NAT that forgot: the far end goes on believing in the connection.
    ByTheNearEnd,
}

impl Proxy {
    pub async fn before(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let wires = Rc::new(Wires {
            to,
            next_cuts: RefCell::default(),
            ghosts: RefCell::default(),
            live: RefCell::default(),
            connections: Cell::new(0),
        });
        let accepting = spawn_local(wires.clone().accept(listener));
        Proxy { at, wires, accepting }
    }

    /// How the next connections are cut, one after the other.
    pub fn cut_next(&self, mut cuts: Vec<Cut>) {
        cuts.reverse();
        *self.wires.next_cuts.borrow_mut() = cuts;
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
            let never = Cut { after_bytes: u64::MAX, heard: Heard::ByBoth };
            let cut = self.next_cuts.borrow_mut().pop().unwrap_or(never);
            let wires = self.clone();
            let wire = spawn_local(async move {
                let left = Cell::new(cut.after_bytes);
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                // Whichever ends first ends the other.
                tokio::select! {
                    () = pass(&mut near_in, &mut far_out, &left) => {}
                    () = pass(&mut far_in, &mut near_out, &left) => {}
                }
                if cut.heard == Heard::ByTheNearEnd {
                    wires.ghosts.borrow_mut().push((far_in, far_out));
                }
            });
            self.live.borrow_mut().push(wire);
        }
    }
}

async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, left: &Cell<u64>) {
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
