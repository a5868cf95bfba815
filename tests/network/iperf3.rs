//! How much TCP carries between two guests, as `iperf3` says.

use crate::{guest::Namespace, overlay::wait_for};
use serde_json::Value;
use std::{
    net::Ipv4Addr,
    process::{Child, Stdio},
};

/// A second of one connection.
#[derive(Debug)]
pub struct Carried {
    pub bytes: u64,
    pub retransmits: u64,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended by itself, unless nobody came.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// From one to the other, and the other way.
pub fn tcp(from: &Namespace, to: &Namespace, address: Ipv4Addr) -> [Carried; 2] {
    ["", "--reverse"].map(|direction| {
        let server = to.command("iperf3 --server --one-off").stdout(Stdio::null()).spawn().unwrap();
        let mut server = Server(server);
        wait_for("iperf3", || to.run("ss -Htln sport = :5201").contains("5201"));
        let said = from.run(&format!("iperf3 --client {address} --time 1 --json {direction}"));
        assert!(server.0.wait().unwrap().success());
        let said: Value = serde_json::from_str(&said).unwrap();
        let number = |of: &str, what: &str| said["end"][of][what].as_u64().unwrap();
        let retransmits = number("sum_sent", "retransmits");
        Carried { bytes: number("sum_received", "bytes"), retransmits }
    })
}
