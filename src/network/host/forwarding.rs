//! The kernel's switches that decide whether packets are forwarded.
//!
//! Those of our own devices vanish with them. Of the host's, only one is touched: `forwarding` of
//! the interfaces that lead to the default routes, without which answers from outside would not be
//! passed on. Its earlier value is written down first and put back by `restore`; the firewall keeps
//! such an interface from forwarding anything but our guests' packets. `net.ipv4.ip_forward` is
//! left alone: setting it changes every interface of the host, and forgets what each one had.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(super) struct Forwarding {
    /// Names, one per line, of the interfaces whose forwarding was off.
    record: PathBuf,
}

impl Forwarding {
    pub fn new(state_dir: &Path) -> Forwarding {
        Forwarding { record: state_dir.join("forwarding-enabled") }
    }

    /// Lets the interfaces of the default routes forward. Returns those that did not before,
    /// including those an earlier process switched on.
    pub fn enable(&self) -> io::Result<Vec<String>> {
        let mut ours = self.recorded()?;
        for uplink in uplinks()? {
            let switch = ipv4(&uplink, "forwarding");
            if fs::read_to_string(&switch)?.trim() == "0" {
                if !ours.contains(&uplink) {
                    ours.push(uplink);
                    fs::write(&self.record, ours.join("\n"))?;
                }
                fs::write(&switch, "1")?;
            }
        }
        Ok(ours)
    }

    /// Puts back what `enable` changed. An interface that is gone has nothing to be put back.
    pub fn restore(&self) -> io::Result<()> {
        for uplink in self.recorded()? {
            let switch = ipv4(&uplink, "forwarding");
            if switch.exists() {
                fs::write(switch, "0")?;
            }
        }
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn recorded(&self) -> io::Result<Vec<String>> {
        match fs::read_to_string(&self.record) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Makes a bridge route between its own isolated ports: it answers ARP for guests that the asker
/// cannot reach directly, at once, and does not tell guests of shorter ways that are closed.
pub(super) fn route_between_ports(bridge: &str) -> io::Result<()> {
    fs::write(ipv4(bridge, "forwarding"), "1")?;
    fs::write(ipv4(bridge, "proxy_arp_pvlan"), "1")?;
    fs::write(ipv4(bridge, "send_redirects"), "0")?;
    fs::write(format!("/proc/sys/net/ipv4/neigh/{bridge}/proxy_delay"), "0")
}

/// Keeps the host's own IPv6 off a device: guests get no router solicitations from us, and the host
/// has no address on their wires. A kernel without IPv6 has nothing to switch off.
pub(super) fn disable_ipv6(device: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn ipv4(device: &str, switch: &str) -> PathBuf {
    // `/proc/sys/net` shows the namespace of the thread that looks.
    Path::new("/proc/sys/net/ipv4/conf").join(device).join(switch)
}

fn uplinks() -> io::Result<Vec<String>> {
    // Not `/proc/net`: that shows the namespace of the process's first thread.
    Ok(default_route_devices(&fs::read_to_string("/proc/thread-self/net/route")?))
}

fn default_route_devices(table: &str) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [device, "00000000", _, _, _, _, _, "00000000", ..] = fields[..]
            && !devices.iter().any(|known| known == device)
        {
            devices.push(device.to_owned());
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_of_default_routes_are_found_once_each() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                     eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\n\
                     eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n\
                     wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\n\
                     eth0\t00000000\t0200000A\t0003\t0\t0\t9\t00000000\t0\n";
        assert_eq!(default_route_devices(table), ["eth0", "wlan0"]);
        assert!(default_route_devices("").is_empty());
    }
}
