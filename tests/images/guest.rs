//! A guest of plain QEMU, emulated, without libvirt: what an image does by itself.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Emulation on a busy machine is slow; a guest that is not there by then never will be.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Guest {
    qemu: Child,
    begun: Instant,
    console: PathBuf,
    monitor: UnixStream,
}

impl Guest {
    /// Starts QEMU with 100 MiB and these arguments; its console and monitor are kept in `dir`.
    pub fn start(dir: &Path, arguments: &[String]) -> Guest {
        let [console, socket] = ["console", "monitor"].map(|name| dir.join(name));
        fs::write(&console, "").unwrap();
        let begun = Instant::now();
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg,tb-size=32", "-m", "100", "-display", "none", "-nodefaults"])
            .args(["-no-user-config", "-device", "virtio-rng-pci"])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let monitor = loop {
            match UnixStream::connect(&socket) {
                Ok(monitor) => break monitor,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "no monitor: {error}"),
            }
            std::thread::yield_now();
        };
        let mut guest = Guest { qemu, begun, console, monitor };
        guest.ask_monitor("qmp_capabilities");
        guest
    }

    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap()).into_owned()
    }

    /// Waits for a text on the console; the time since QEMU was started.
    pub fn wait_for(&mut self, text: &str) -> Duration {
        loop {
            if self.console().contains(text) {
                return self.begun.elapsed();
            }
            let ended = self.qemu.try_wait().unwrap();
            let console = self.console();
            assert!(ended.is_none(), "QEMU ended ({ended:?}) before `{text}`: {console}");
            assert!(self.begun.elapsed() < PATIENCE, "no `{text}` on the console: {console}");
            // The interval of looking, not a guess at how long something takes.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Presses the power button and waits for the guest to switch itself off.
    pub fn power_down(mut self) -> Duration {
        self.ask_monitor("system_powerdown");
        let asked = Instant::now();
        loop {
            if let Some(status) = self.qemu.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return asked.elapsed();
            }
            assert!(asked.elapsed() < PATIENCE, "still on: {}", self.console());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the power away.
    pub fn cut_power(self) {
        drop(self);
    }

    fn ask_monitor(&mut self, command: &str) {
        writeln!(self.monitor, "{{\"execute\":\"{command}\"}}").unwrap();
        let mut answer = String::new();
        let mut lines = BufReader::new(self.monitor.try_clone().unwrap());
        while !answer.starts_with("{\"return\"") {
            answer.clear();
            assert!(lines.read_line(&mut answer).unwrap() > 0, "the monitor closed");
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
