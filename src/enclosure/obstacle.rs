//! What keeps an ordinary user from having an enclosure, in words and with the remedy.

use super::{
    forward::{self, PRIVILEGED_OFFSET},
    namespaces::{self, Refused, Step},
    uplink,
};
use std::{fs, io, io::Read as _, os::fd::FromRawFd};

const SSH: u16 = 22;

/// Something the host forbids or lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("`/dev/net/tun` is missing")]
    TunMissing,
    #[error("`/dev/net/tun` cannot be opened by this user: {0}")]
    TunClosed(String),
    #[error("ordinary users may have no more namespaces here (`{0}`)")]
    UsedUp(&'static str),
    #[error("AppArmor keeps ordinary users' programs from using user namespaces")]
    AppArmor,
    #[error("this kernel keeps user namespaces from ordinary users")]
    Switched,
    #[error("user namespaces are refused ({0}), as containers' seccomp profiles do")]
    Refused(String),
    #[error("this kernel has no user or network namespaces")]
    Absent,
    #[error("guests cannot reach the world: `slirp4netns` is not installed")]
    NoUplink,
    #[error(
        "guests' ports below {first} are offered {PRIVILEGED_OFFSET} higher (SSH at {ssh}), since \
         ordinary users may not listen below {first}"
    )]
    PrivilegedPorts { first: u16, ssh: u16 },
}

impl Obstacle {
    /// What to allow or install, in words.
    pub fn remedy(&self) -> String {
        match self {
            Obstacle::TunMissing => "as root: modprobe tun (in a container: give it the device \
                                     `/dev/net/tun`)"
                .to_owned(),
            Obstacle::TunClosed(_) => {
                "as root: chmod 0666 /dev/net/tun, which is what udev makes it".to_owned()
            }
            Obstacle::UsedUp(setting) => format!("as root: sysctl -w {setting}=15000"),
            Obstacle::AppArmor => "as root: sysctl -w \
                                   kernel.apparmor_restrict_unprivileged_userns=0, or give this \
                                   program an AppArmor profile that says `userns,`"
                .to_owned(),
            Obstacle::Switched => {
                "as root: sysctl -w kernel.unprivileged_userns_clone=1".to_owned()
            }
            Obstacle::Refused(_) => "in a container: `--security-opt seccomp=unconfined`, or root \
                                     with `--cap-add NET_ADMIN --cap-add NET_RAW`"
                .to_owned(),
            Obstacle::Absent => "run as root, or another kernel".to_owned(),
            Obstacle::NoUplink => "as root: apt-get install slirp4netns".to_owned(),
            Obstacle::PrivilegedPorts { .. } => {
                "to have them where they belong, as root: sysctl -w \
                 net.ipv4.ip_unprivileged_port_start=22"
                    .to_owned()
            }
        }
    }

    /// Whether no guest can be run while it lasts.
    pub fn prevents(&self) -> bool {
        !matches!(self, Obstacle::NoUplink | Obstacle::PrivilegedPorts { .. })
    }
}

/// Everything in the way, found by trying. Leaves no trace.
pub fn obstacles() -> Vec<Obstacle> {
    let mut found: Vec<Obstacle> = tun().err().into_iter().collect();
    match attempt() {
        Ok(None) => {}
        Ok(Some(refused)) => found.push(refused.into()),
        Err(error) => found.push(Obstacle::Refused(error.to_string())),
    }
    if uplink::program().is_none() {
        found.push(Obstacle::NoUplink);
    }
    let (first, ssh) = (forward::first_unprivileged_port(), forward::offered_port(SSH));
    if ssh != SSH {
        found.push(Obstacle::PrivilegedPorts { first, ssh });
    }
    found
}

/// Whether taps can be made once their network is ours.
pub(super) fn tun() -> Result<(), Obstacle> {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Obstacle::TunMissing),
        Err(error) => Err(Obstacle::TunClosed(error.to_string())),
    }
}

pub(super) fn of_namespaces(refused: Refused) -> Obstacle {
    let set_to =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|found| found.trim() == value);
    let apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    match refused.source.raw_os_error() {
        Some(libc::ENOSPC | libc::EUSERS) if set_to("/proc/sys/user/max_net_namespaces", "0") => {
            Obstacle::UsedUp("user.max_net_namespaces")
        }
        Some(libc::ENOSPC | libc::EUSERS) => Obstacle::UsedUp("user.max_user_namespaces"),
        Some(libc::EINVAL | libc::ENOSYS) if refused.step == Step::Unshare => Obstacle::Absent,
        _ if set_to("/proc/sys/kernel/unprivileged_userns_clone", "0") => Obstacle::Switched,
        // It lets the namespace be made, and then takes away every privilege in it.
        _ if set_to(apparmor, "1") => Obstacle::AppArmor,
        _ => {
            let doing = match refused.step {
                Step::Unshare => "making one",
                Step::Map => "mapping this user into one",
                Step::Loopback => "using one",
            };
            Obstacle::Refused(format!("{doing}: {}", refused.source))
        }
    }
}

/// Makes the namespaces in a copy of this process, which ends at once.
fn attempt() -> io::Result<Option<Refused>> {
    let mut ends = [0; 2];
    let mut status = 0;
    // SAFETY: the array is ours. Between fork and `_exit` the copy makes system calls only, so it
    // does not matter what locks the other threads of this process held.
    let mut answer = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        let child = libc::fork();
        if child == 0 {
            let said = match namespaces::make() {
                Ok(()) => [0u8; 5],
                Err(Refused { step, source }) => {
                    let [a, b, c, d] = source.raw_os_error().unwrap_or(0).to_ne_bytes();
                    [1 + step as u8, a, b, c, d]
                }
            };
            libc::write(ends[1], said.as_ptr().cast(), said.len());
            libc::_exit(0);
        }
        libc::close(ends[1]);
        let answer = fs::File::from_raw_fd(ends[0]);
        if child < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::waitpid(child, &raw mut status, 0);
        answer
    };
    let mut said = [0u8; 5];
    answer.read_exact(&mut said)?;
    let [step, code @ ..] = said;
    let step = match step {
        0 => return Ok(None),
        step if step == 1 + Step::Unshare as u8 => Step::Unshare,
        step if step == 1 + Step::Map as u8 => Step::Map,
        _ => Step::Loopback,
    };
    let source = io::Error::from_raw_os_error(i32::from_ne_bytes(code));
    Ok(Some(Refused { step, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: Step, code: i32, expected: &str) {
        let refused = Refused { step, source: io::Error::from_raw_os_error(code) };
        let obstacle = Obstacle::from(refused);
        let words = format!("{obstacle}; {}", obstacle.remedy());
        assert!(words.contains(expected), "{words}");
    }

    #[test]
    fn what_the_kernel_refuses_is_told_with_the_remedy() {
        check(Step::Unshare, libc::ENOSPC, "sysctl -w user.max_user_namespaces=15000");
        check(Step::Unshare, libc::EINVAL, "no user or network namespaces");
    }

    #[test]
    fn only_comforts_may_be_missing() {
        assert!(!Obstacle::NoUplink.prevents());
        assert!(Obstacle::TunMissing.prevents() && Obstacle::AppArmor.prevents());
    }
}
