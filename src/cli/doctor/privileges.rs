//! May this user make networks here?

use super::Check;
use std::{fs, io};

/// The bit of `CAP_NET_ADMIN` in the kernel's sets.
const NET_ADMIN: u32 = 12;

pub fn checks() -> Vec<Check> {
    let sysctl = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok();
    let namespaces = Namespaces {
        max: sysctl("user/max_user_namespaces"),
        unprivileged_clone: sysctl("kernel/unprivileged_userns_clone"),
        apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns"),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tun = fs::File::options().read(true).write(true).open("/dev/net/tun");
    vec![tap(tun.map(|_| ())), networks(may_administer(&status), &namespaces)]
}

/// Whether the process that looks may change the host's network.
pub fn may_administer_this_host() -> bool {
    may_administer(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn may_administer(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << NET_ADMIN) != 0)
}

/// The kernel's settings about user namespaces; one that is absent restricts nothing.
#[derive(Debug, Default)]
struct Namespaces {
    max: Option<String>,
    unprivileged_clone: Option<String>,
    apparmor_restricts: Option<String>,
}

impl Namespaces {
    /// What to set, if they are forbidden.
    fn forbidden_by(&self) -> Option<&'static str> {
        let is = |value: &Option<String>, wanted: &str| {
            value.as_deref().is_some_and(|value| value.trim() == wanted)
        };
        if is(&self.max, "0") {
            return Some("user.max_user_namespaces=10000");
        }
        if is(&self.unprivileged_clone, "0") {
            return Some("kernel.unprivileged_userns_clone=1");
        }
        is(&self.apparmor_restricts, "1")
            .then_some("kernel.apparmor_restrict_unprivileged_userns=0")
    }
}

fn networks(may_administer: bool, namespaces: &Namespaces) -> Check {
    const ABOUT: &str = "privileges";
    match (may_administer, namespaces.forbidden_by()) {
        (true, _) => Check::ok(ABOUT, "this user may change the host's network"),
        (false, None) => Check::warn(
            ABOUT,
            "this user may not change the host's network, only a private one in a user namespace",
            "run as root to have guests' addresses reachable from the host",
        ),
        (false, Some(setting)) => Check::problem(
            ABOUT,
            "this user may neither change the host's network nor make a user namespace",
            format!("run as root, or as root allow it: sysctl -w {setting}"),
        ),
    }
}

fn tap(opened: io::Result<()>) -> Check {
    const ABOUT: &str = "/dev/net/tun";
    let Err(error) = opened else { return Check::ok(ABOUT, "guests can be given network cards") };
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "let this user open it, or run as root",
        _ => "as root: modprobe tun (in a container: give it the device `/dev/net/tun`)",
    };
    Check::problem(ABOUT, format!("cannot be opened: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_capability_is_read_from_the_effective_set() {
        assert!(may_administer("Name:\tx\nCapPrm:\t0\nCapEff:\t000001ffffffffff\n"));
        assert!(may_administer("CapEff:\t0000000000001000"));
        assert!(!may_administer("CapPrm:\tffffffffffffffff\nCapEff:\t0000000000000fff"));
        assert!(!may_administer(""));
    }

    #[test]
    fn without_the_capability_user_namespaces_are_second_best_and_neither_is_a_problem() {
        let free = Namespaces { max: Some("63000\n".into()), ..Namespaces::default() };
        assert_eq!(networks(true, &free).verdict, Verdict::Ok);
        assert_eq!(networks(false, &free).verdict, Verdict::Warn);
        let restricted =
            Namespaces { unprivileged_clone: Some("0\n".into()), ..Namespaces::default() };
        assert_eq!(networks(true, &restricted).verdict, Verdict::Ok);
        let check = networks(false, &restricted);
        assert_eq!(check.verdict, Verdict::Problem);
        assert!(check.remedy.unwrap().contains("kernel.unprivileged_userns_clone=1"));
        let none = Namespaces { max: Some("0".into()), ..Namespaces::default() };
        assert!(none.forbidden_by().unwrap().contains("max_user_namespaces"));
        let apparmor =
            Namespaces { apparmor_restricts: Some("1\n".into()), ..Namespaces::default() };
        assert!(apparmor.forbidden_by().unwrap().contains("apparmor"));
    }

    #[test]
    fn a_missing_device_and_a_forbidden_one_have_different_remedies() {
        assert_eq!(tap(Ok(())).verdict, Verdict::Ok);
        let remedy = |kind: io::ErrorKind| tap(Err(kind.into())).remedy.unwrap();
        assert!(remedy(io::ErrorKind::NotFound).contains("modprobe tun"));
        assert!(remedy(io::ErrorKind::PermissionDenied).contains("let this user"));
    }
}
