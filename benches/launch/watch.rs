//! Waiting for what guests do, by looking every few milliseconds.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Looks until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(3));
    }
}

pub fn says(console: &Path, marker: &str) -> bool {
    let text = fs::read(console).unwrap_or_default();
    text.windows(marker.len()).any(|window| window == marker.as_bytes())
}

/// Whether a ssh server says who it is. That somebody accepts the connection means nothing: QEMU's
/// user network does so before the guest.
pub fn ssh_answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

/// The emulator whose command line has this word.
pub fn emulator_with(word: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        let program = arguments.split('\0').next().unwrap_or_default();
        program.ends_with("qemu-system-x86_64") && arguments.contains(word)
    })
}
