//! Waiting until a guest can be logged in to.
//!
//! An instance that is `running` has a processor, not yet a shell. What counts is the greeting of
//! its ssh server, which names itself before it asks anything.

use super::super::{
    client::{Client, InstanceAnswer},
    fault::Fault,
    process,
    progress::Progress,
    ssh,
};
use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A guest that is booting drops packets; asking again soon is quicker than TCP's own retries.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const GREETING: &[u8] = b"SSH-";

/// The instances as they are when the last of them answers.
pub fn until_ssh_answers(
    client: &Client,
    ids: &[String],
    patience: Duration,
    progress: &mut Progress,
) -> Result<Vec<InstanceAnswer>, Fault> {
    let begun = Instant::now();
    let instances = until_running(client, ids, patience, progress)?;
    for instance in &instances {
        let address = instance.address().unwrap_or_default();
        progress.step(&format!("waiting for ssh of {} at {address}", instance.instance_id));
        let socket = SocketAddr::new(
            address.parse().map_err(|_| Fault::failed(format!("`{address}` is no address")))?,
            ssh::port(address),
        );
        let left = patience.saturating_sub(begun.elapsed());
        if !process::wait_until(left, || Ok(greets(socket, CONNECT_PATIENCE)))? {
            let id = &instance.instance_id;
            return Err(Fault::failed(format!(
                "instance `{id}` runs, but its ssh does not answer at {address} after {} s",
                patience.as_secs()
            ))
            .remedy(format!("`mallee console {id}` shows what it is doing")));
        }
    }
    Ok(instances)
}

fn until_running(
    client: &Client,
    ids: &[String],
    patience: Duration,
    progress: &mut Progress,
) -> Result<Vec<InstanceAnswer>, Fault> {
    let mut instances = Vec::new();
    let all_run = process::wait_until(patience, || {
        instances = client.describe_instances(ids)?;
        progress.step(&format!("waiting for {}", summary(&instances)));
        if let Some(failed) = instances.iter().find(|instance| has_failed(instance)) {
            return Err(failure(failed));
        }
        Ok(instances.len() == ids.len() && instances.iter().all(is_ready))
    })?;
    if all_run {
        return Ok(instances);
    }
    let seconds = patience.as_secs();
    Err(Fault::failed(format!("after {seconds} s still waiting for {}", summary(&instances)))
        .remedy("`mallee status` shows how they are; `--timeout` waits longer"))
}

fn is_ready(instance: &InstanceAnswer) -> bool {
    instance.is_running() && instance.address().is_some()
}

fn has_failed(instance: &InstanceAnswer) -> bool {
    !matches!(instance.state(), "pending" | "running")
}

fn failure(instance: &InstanceAnswer) -> Fault {
    let (id, state) = (&instance.instance_id, instance.state());
    let reason = instance.state_reason.as_ref().map_or("no reason is known", |r| &r.message);
    Fault::failed(format!("instance `{id}` is {state}: {reason}"))
}

fn summary(instances: &[InstanceAnswer]) -> String {
    let each = instances.iter().map(|one| format!("{} ({})", one.instance_id, one.state()));
    each.collect::<Vec<_>>().join(", ")
}

/// Whether an ssh server introduces itself there.
fn greets(address: SocketAddr, patience: Duration) -> bool {
    let greeting = || -> io::Result<[u8; GREETING.len()]> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut greeting = [0; GREETING.len()];
        stream.read_exact(&mut greeting)?;
        Ok(greeting)
    };
    greeting().is_ok_and(|greeting| greeting == GREETING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::described_for_tests;
    use std::{io::Write, net::TcpListener, thread};

    /// A server that says `text` to one client.
    fn server(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.accept().unwrap().0.write_all(text.as_bytes()).unwrap());
        address
    }

    #[test]
    fn only_an_ssh_server_s_greeting_counts_as_an_answer() {
        let patience = Duration::from_secs(10);
        assert!(greets(server("SSH-2.0-dropbear_2022.83\r\n"), patience));
        assert!(!greets(server("HTTP/1.1 400 Bad Request\r\n"), patience));
        assert!(!greets(server(""), patience));
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!greets(nobody, patience));
    }

    #[test]
    fn an_instance_that_ends_instead_of_starting_is_told_with_its_reason() {
        let [running, ended] = &described_for_tests()[..] else { panic!("there are two") };
        assert!(is_ready(running) && !has_failed(running));
        assert!(has_failed(ended));
        assert!(failure(ended).to_string().contains("`i-22222222` is terminated: no room"));
    }
}
