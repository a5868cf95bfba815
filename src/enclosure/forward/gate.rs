//! One TCP port of a guest, as long as it is offered.

use std::{io, net::SocketAddrV4, sync::Arc, time::Duration};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How many connections a guest may have through all its gates. More wait to be accepted.
pub const CONNECTIONS_MAX: usize = 512;

const BUFFER: usize = 32 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const AFTER_A_REFUSAL: Duration = Duration::from_millis(100);

/// Carries connections until told to stop, and then cuts those it carries.
pub async fn carry_connections(
    listener: TcpListener,
    guest: SocketAddrV4,
    room: Arc<Semaphore>,
    stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    tokio::select! {
        // An asker that is gone wants it stopped as well.
        _ = stop => {}
        () = accept(&listener, guest, room, &mut connections) => {}
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    guest: SocketAddrV4,
    room: Arc<Semaphore>,
    connections: &mut JoinSet<()>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((outside, _)) => {
                connections.spawn(async move {
                    if let Err(error) = carry(outside, guest).await {
                        log::debug!("a connection to `{guest}` ended: {error}");
                    }
                    drop(place);
                });
            }
            // Descriptors may be short for a while; a busy loop would not find more of them.
            Err(error) => {
                log::warn!("cannot accept a connection to `{guest}`: {error}");
                sleep(AFTER_A_REFUSAL).await;
            }
        }
    }
}

async fn carry(mut outside: TcpStream, guest: SocketAddrV4) -> io::Result<()> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(guest)).await;
    let result = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(mut inside) => {
            // What one side did not delay, we do not either.
            outside.set_nodelay(true)?;
            inside.set_nodelay(true)?;
            copy_bidirectional_with_sizes(&mut outside, &mut inside, BUFFER, BUFFER).await
        }
        Err(error) => Err(error),
    };
    if result.is_err() {
        // Not an orderly end, and not to be mistaken for one.
        outside.set_zero_linger()?;
    }
    result.map(drop)
}
