//! May this user make networks here?

use super::Check;
use crate::enclosure::{self, obstacle::Obstacle};
use std::{fs, io};

const ABOUT: &str = "privileges";

pub fn checks() -> Vec<Check> {
    if may_administer_this_host() {
        let tun = fs::File::options().read(true).write(true).open("/dev/net/tun");
        return vec![
            tap(tun.map(|_| ())),
            Check::ok(ABOUT, "this user may change the host's network"),
        ];
    }
    without_privileges(&enclosure::obstacles())
}

/// Whether the process that looks may change the host's network.
pub fn may_administer_this_host() -> bool {
    !enclosure::lacks_net_admin()
}

fn without_privileges(obstacles: &[Obstacle]) -> Vec<Check> {
    let mut checks = Vec::new();
    if !obstacles.iter().any(Obstacle::prevents) {
        checks.push(Check::ok(
            ABOUT,
            "this user may not change the host's network, so guests get a private one and are \
             reached at 127.x.y.z",
        ));
    }
    checks.extend(obstacles.iter().map(|obstacle| match obstacle.prevents() {
        true => {
            let remedy = format!("{}; or run as root", obstacle.remedy());
            Check::problem(ABOUT, obstacle.to_string(), remedy)
        }
        false => Check::warn(ABOUT, obstacle.to_string(), obstacle.remedy()),
    }));
    checks
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
    fn without_privileges_a_private_network_will_do_and_what_prevents_it_is_a_problem() {
        let verdicts = |obstacles: &[Obstacle]| -> Vec<Verdict> {
            without_privileges(obstacles).iter().map(|check| check.verdict).collect()
        };
        assert_eq!(verdicts(&[]), [Verdict::Ok]);
        assert_eq!(verdicts(&[Obstacle::NoUplink]), [Verdict::Ok, Verdict::Warn]);
        assert_eq!(verdicts(&[Obstacle::AppArmor]), [Verdict::Problem]);
        let [check] = &without_privileges(&[Obstacle::Switched])[..] else {
            panic!("there is one")
        };
        let remedy = check.remedy.as_deref().unwrap();
        assert!(remedy.contains("kernel.unprivileged_userns_clone=1; or run as root"), "{remedy}");
    }

    #[test]
    fn a_missing_device_and_a_forbidden_one_have_different_remedies() {
        assert_eq!(tap(Ok(())).verdict, Verdict::Ok);
        let remedy = |kind: io::ErrorKind| tap(Err(kind.into())).remedy.unwrap();
        assert!(remedy(io::ErrorKind::NotFound).contains("modprobe tun"));
        assert!(remedy(io::ErrorKind::PermissionDenied).contains("let this user"));
    }
}
