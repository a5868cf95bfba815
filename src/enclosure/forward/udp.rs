//! One UDP port of a guest, as long as it is offered.
//!
//! Datagrams know no connections, so each of the host's senders is given a socket of its own inside,
//! by which the guest's answers find back, until neither has spoken for a while.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

/// More senders at a time are not heard.
const SENDERS_MAX: usize = 256;
const IDLE: Duration = Duration::from_secs(60);
const LONGEST: usize = 64 << 10;

#[derive(Debug)]
struct Sender {
    inside: Arc<UdpSocket>,
    answers: AbortHandle,
}

/// Carries datagrams until told to stop.
pub async fn carry_datagrams(outside: UdpSocket, guest: SocketAddrV4, stop: oneshot::Receiver<()>) {
    let mut answers = JoinSet::new();
    tokio::select! {
        // An asker that is gone wants it stopped as well.
        _ = stop => {}
        () = receive(Arc::new(outside), guest, &mut answers) => {}
    }
    answers.shutdown().await;
}

async fn receive(outside: Arc<UdpSocket>, guest: SocketAddrV4, answers: &mut JoinSet<()>) {
    let mut senders: HashMap<SocketAddr, Sender> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let Ok((length, from)) = outside.recv_from(&mut buffer).await else { continue };
        while answers.try_join_next().is_some() {}
        senders.retain(|_, sender| !sender.answers.is_finished());
        if !senders.contains_key(&from) {
            if senders.len() == SENDERS_MAX {
                continue;
            }
            match connect(guest).await {
                Ok(inside) => {
                    let task = return_answers(inside.clone(), outside.clone(), from);
                    let answers = answers.spawn(task);
                    senders.insert(from, Sender { inside, answers });
                }
                Err(error) => {
                    log::debug!("cannot send to `{guest}`: {error}");
                    continue;
                }
            }
        }
        if let Some(sender) = senders.get(&from) {
            // Like any datagram it may be lost.
            let _ = sender.inside.send(&buffer[..length]).await;
        }
    }
}

async fn connect(guest: SocketAddrV4) -> io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(guest).await?;
    Ok(Arc::new(socket))
}

/// Ends when the guest has been silent for long.
async fn return_answers(inside: Arc<UdpSocket>, outside: Arc<UdpSocket>, to: SocketAddr) {
    let mut buffer = vec![0; LONGEST];
    while let Ok(received) = timeout(IDLE, inside.recv(&mut buffer)).await {
        match received {
            Ok(length) => {
                let _ = outside.send_to(&buffer[..length], to).await;
            }
            // The guest said that nobody serves the port; a client of ours would be told the same.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return,
        }
    }
}
