//! `mallee console`: what an instance wrote on its serial port, or the port itself.
//!
//! Without options it is GetConsoleOutput. `--follow` attaches this terminal to the guest's serial
//! port, both ways, until Ctrl-] is typed; that works on the guest's own host only, and for one
//! terminal at a time.

use super::{
    CallerArguments, Context,
    client::{Client, Request},
    fault::Fault,
    instance_choice, output,
};
use crate::config::state_directory::StateDirectory;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde::Deserialize;
use std::{
    io::{self, IsTerminal, Read, Write},
    mem,
    net::Shutdown,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::PathBuf,
    process::ExitCode,
    thread,
};

#[derive(Debug, Args)]
pub struct Console {
    /// Its id or name; may be left out if there is only one
    instance: Option<String>,
    /// Attach to the serial port; Ctrl-] leaves
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    caller: CallerArguments,
}

/// Ctrl-], as telnet has it.
const LEAVE: u8 = 0x1d;

#[derive(Debug, Deserialize)]
struct ConsoleAnswer {
    #[serde(default)]
    output: String,
}

impl Console {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let client = context.client(&self.caller)?;
        let instance = instance_choice::choose(&client, self.instance.as_deref())?.instance_id;
        match self.follow {
            true => attach(&socket(&context.state, &instance)?)?,
            false => output::print(&console_output(&client, &instance)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn console_output(client: &Client, instance: &str) -> Result<String, Fault> {
    let request = Request::new("GetConsoleOutput").with("InstanceId", instance);
    let answer: ConsoleAnswer = client.call(&request)?;
    decode(&answer.output)
}

/// EC2 sends it as base64, in which some implementations break lines.
fn decode(output: &str) -> Result<String, Fault> {
    let packed: String = output.split_whitespace().collect();
    let bytes = STANDARD.decode(packed).map_err(|e| Fault::of(&e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The command line does not know which node an instance is on, so it looks at all of this host's.
fn socket(state: &StateDirectory, instance: &str) -> Result<PathBuf, Fault> {
    let absent = || {
        Fault::failed(format!("instance `{instance}` has no serial port on this host"))
            .remedy("it must be running, here, and not simulated")
    };
    let nodes = state.nodes().map_err(Fault::io("read", state.root()))?;
    let sockets = nodes.iter().map(|node| state.node(node).console_socket(instance));
    let mut there = sockets.filter(|socket| socket.exists());
    there.next().ok_or_else(absent)
}

fn attach(socket: &PathBuf) -> Result<(), Fault> {
    let mut port = UnixStream::connect(socket).map_err(Fault::io("attach to", socket))?;
    let mut to_guest = port.try_clone().map_err(Fault::io("attach to", socket))?;
    eprintln!("mallee: attached; Ctrl-] leaves, Enter may bring up a prompt\r");
    let terminal = RawTerminal::begin()?;
    // A thread of its own for each direction. This one ends with the process if the guest goes
    // first, since nothing can wake a thread that reads a terminal.
    let typist = thread::spawn(move || {
        let typed = forward_typed(&mut io::stdin().lock(), &mut to_guest);
        let closed = to_guest.shutdown(Shutdown::Both);
        typed.and(closed)
    });
    let shown = io::copy(&mut port, &mut io::stdout().lock());
    drop(terminal);
    eprintln!("\nmallee: detached");
    if typist.is_finished() {
        // Leaving closes the port under the reader; that is no failure.
        return Ok(());
    }
    shown.map(|_| ()).map_err(|e| Fault::of(&e))
}

/// Until the end of input or Ctrl-].
fn forward_typed(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 256];
    loop {
        let typed = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let before = typed.iter().position(|byte| *byte == LEAVE);
        to.write_all(&typed[..before.unwrap_or(typed.len())])?;
        if before.is_some() {
            return Ok(());
        }
    }
}

/// The terminal passes every key on at once, until this is dropped.
struct RawTerminal(Option<libc::termios>);

impl RawTerminal {
    fn begin() -> Result<RawTerminal, Fault> {
        if !io::stdin().is_terminal() {
            return Ok(RawTerminal(None));
        }
        let input = io::stdin().as_raw_fd();
        // SAFETY: `termios` is plain data, and each call is given a live one and an open terminal.
        unsafe {
            let mut before: libc::termios = mem::zeroed();
            check(libc::tcgetattr(input, &mut before))?;
            let mut raw = before;
            libc::cfmakeraw(&mut raw);
            check(libc::tcsetattr(input, libc::TCSANOW, &raw))?;
            Ok(RawTerminal(Some(before)))
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: as in `begin`. Of a failure nobody could be told on this terminal.
            unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSANOW, before) };
        }
    }
}

fn check(result: libc::c_int) -> Result<(), Fault> {
    match result {
        0 => Ok(()),
        _ => Err(Fault::failed(format!("the terminal: {}", io::Error::last_os_error()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn output_is_decoded_however_its_base64_is_broken_into_lines() {
        assert_eq!(decode("aGVsbG8g\nd29ybGQ=\n").unwrap(), "hello world");
        assert_eq!(decode("").unwrap(), "");
        assert!(decode("*").is_err());
    }

    #[test]
    fn typing_goes_to_the_guest_until_ctrl_bracket() {
        let mut sent = Vec::new();
        forward_typed(&mut &b"ls\r\x1dnot this"[..], &mut sent).unwrap();
        assert_eq!(sent, b"ls\r");
    }

    #[test]
    fn the_port_is_found_on_whichever_node_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        assert!(socket(&state, "i-1").unwrap_err().to_string().contains("no serial port"));
        fs::create_dir_all(state.node(&"n1".parse().unwrap()).instances()).unwrap();
        let place = state.node(&"n2".parse().unwrap()).console_socket("i-1");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        assert!(socket(&state, "i-1").is_err());
        fs::write(&place, "").unwrap();
        assert_eq!(socket(&state, "i-1").unwrap(), place);
    }
}
