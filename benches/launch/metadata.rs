//! Enough of an instance metadata service for the demo guest of the floor: a token, an id, a name,
//! a key.
//!
//! QEMU's user network starts a program for each connection to a forwarded address, with the
//! connection as its input and output. This is that program: one request, one reply.

use std::{
    env,
    io::{Read, Write, stdin, stdout},
};

/// Tells the bench that it is to be the service, not to measure.
pub const WORD: &str = "be-the-metadata-service";

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// What QEMU is to run.
pub fn command() -> String {
    format!("{} {WORD}", env::current_exe().unwrap().display())
}

pub fn answer() {
    let mut request = Vec::new();
    let mut bytes = [0; 4096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stdin().read(&mut bytes) {
            Ok(count) if count > 0 => request.extend_from_slice(&bytes[..count]),
            Ok(_) | Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request);
    let (status, body) = match request.split(' ').nth(1).unwrap_or_default() {
        "/latest/api/token" => ("200 OK", "token"),
        "/latest/meta-data/instance-id" => ("200 OK", "i-0123456789abcdef0"),
        "/latest/meta-data/local-hostname" => ("200 OK", "ip-169-254-0-15.ec2.internal"),
        "/latest/meta-data/public-keys/0/openssh-key" => ("200 OK", KEY),
        _ => ("404 Not Found", ""),
    };
    let reply = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // A guest that has gone away needs no answer.
    _ = stdout().write_all(reply.as_bytes());
}
