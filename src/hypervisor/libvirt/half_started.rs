//! Guests that were being started when this process was killed.
//!
//! An embedded libvirt writes down that it is starting a guest. If it is killed meanwhile, the next
//! one reads this, takes the start to be still going on, and waits for its end before it lets
//! anything be done to the guest, even destroying it: for ever, since nobody is at work on it. So
//! before libvirt is opened, such a guest is killed and libvirt's note of it removed. The domain
//! then is what a domain is before its first start: defined, and off.
//!
//! A guest whose start was over is left alone. A daemon's notes are never touched: it was not killed
//! with us.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long a killed emulator may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Ends half-started guests and forgets them; `running` is libvirt's directory of notes on guests
/// that run. Returns their domains' names.
pub fn end(running: &Path) -> io::Result<Vec<String>> {
    let mut ended = Vec::new();
    for name in domains(running)? {
        let note = |ending: &str| running.join(format!("{name}.{ending}"));
        if is_over(&note("xml"))? {
            continue;
        }
        if let Some(process) = emulator(&note("pid"), &name)? {
            kill(process)?;
        }
        for path in [note("xml"), note("pid")] {
            remove_if_there(&path)?;
        }
        ended.push(name);
    }
    Ok(ended)
}

/// Those with a note or an emulator: the emulator is there first.
fn domains(running: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(running) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_note = path.extension().is_some_and(|ending| ending == "xml" || ending == "pid");
        if let Some(name) = path.file_stem().and_then(|name| name.to_str())
            && is_note
            // libvirt's own process.
            && name != "driver"
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether the start is over. Nothing in a domain's description could pass for the line: there, `<`
/// is escaped.
fn is_over(status: &Path) -> io::Result<bool> {
    let text = match fs::read_to_string(status) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text?,
    };
    let starting =
        |line: &str| line.trim_start().starts_with("<job ") && line.contains("async='start'");
    Ok(!text.lines().any(starting))
}

/// The guest's emulator, if it is that still and not another process of the same number.
fn emulator(note: &Path, name: &str) -> io::Result<Option<libc::pid_t>> {
    let number = match fs::read_to_string(note) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?.trim().parse::<libc::pid_t>().ok().filter(|number| *number > 1),
    };
    let guest = format!("guest={name},");
    Ok(number.filter(|number| {
        fs::read(command_line(*number)).is_ok_and(|words| {
            words.split(|byte| *byte == 0).any(|word| word.starts_with(guest.as_bytes()))
        })
    }))
}

fn command_line(process: libc::pid_t) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/cmdline"))
}

fn kill(process: libc::pid_t) -> io::Result<()> {
    // SAFETY: plain system call; the process was seen to be the emulator of a guest of ours.
    if unsafe { libc::kill(process, libc::SIGKILL) } != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) };
    }
    let begun = Instant::now();
    // What has ended and is not yet reaped has no command line any more.
    while fs::read(command_line(process)).is_ok_and(|words| !words.is_empty()) {
        if begun.elapsed() > KILL_LIMIT {
            let text = format!("process {process} was killed and is still there");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::process::CommandExt,
        process::{Child, Command},
    };

    /// A process that looks like the guest's emulator.
    fn emulator_of(name: &str) -> Child {
        let first = format!("guest={name},debug-threads=on");
        let child = Command::new("sleep").arg0(first).arg("60").spawn().unwrap();
        // A program is begun a moment before its command line can be read.
        let words = command_line(child.id().try_into().unwrap());
        while !fs::read(&words).unwrap().starts_with(b"guest=") {
            thread::yield_now();
        }
        child
    }

    fn note(running: &Path, name: &str, job: &str, emulator: u32) {
        let status = format!("<domstatus>\n  <job type='none' async='{job}'/>\n</domstatus>\n");
        fs::write(running.join(format!("{name}.xml")), status).unwrap();
        fs::write(running.join(format!("{name}.pid")), emulator.to_string()).unwrap();
    }

    fn left(running: &Path) -> Vec<String> {
        let entries = fs::read_dir(running).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_half_started_guest_is_ended_and_one_that_runs_is_left_alone() {
        let running = tempfile::tempdir().unwrap();
        let (mut half, mut whole) = (emulator_of("m-i-1"), emulator_of("m-i-2"));
        note(running.path(), "m-i-1", "start", half.id());
        note(running.path(), "m-i-2", "none", whole.id());
        fs::write(running.path().join("driver.pid"), "1").unwrap();
        assert_eq!(end(running.path()).unwrap(), ["m-i-1"]);
        assert_eq!(left(running.path()), ["driver.pid", "m-i-2.pid", "m-i-2.xml"]);
        assert!(!half.wait().unwrap().success());
        assert_eq!(whole.try_wait().unwrap(), None);
        whole.kill().unwrap();
        whole.wait().unwrap();
    }

    #[test]
    fn an_emulator_that_libvirt_had_not_noted_yet_is_ended_too() {
        let running = tempfile::tempdir().unwrap();
        let mut early = emulator_of("m-i-1");
        fs::write(running.path().join("m-i-1.pid"), early.id().to_string()).unwrap();
        assert_eq!(end(running.path()).unwrap(), ["m-i-1"]);
        assert!(!early.wait().unwrap().success());
        assert!(left(running.path()).is_empty());
    }

    #[test]
    fn a_process_that_only_has_the_number_is_not_touched() {
        let running = tempfile::tempdir().unwrap();
        let mut other = emulator_of("m-i-12");
        note(running.path(), "m-i-1", "start", other.id());
        assert_eq!(end(running.path()).unwrap(), ["m-i-1"]);
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_libvirt_that_was_never_opened_has_left_none() {
        let directory = tempfile::tempdir().unwrap();
        assert!(end(&directory.path().join("none")).unwrap().is_empty());
    }
}
