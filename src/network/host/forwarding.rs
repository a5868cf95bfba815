//! The kernel's switches that decide whether packets are forwarded.
//!
//! Those of our own devices vanish with them. Of the host's, only one is touched: `forwarding` of
//! the interfaces that lead to the default routes, without which answers from outside would not be
//! passed on. The firewall keeps such an interface from forwarding anything but our guests' packets.
//! `net.ipv4.ip_forward` is left alone: setting it changes every interface of the host, and forgets
//! what each one had.
//!
//! Several clouds may need the same interface, so the last one to go switches it off again. They
//! find each other in the kernel, where two sets of each cloud's table are read by all: `OPENED`
//! says which interfaces were off before there was any cloud, `WANTED` which the cloud needs now. A
//! switch is set to what is wanted and looked at once more, so that of clouds that come and go at
//! the same moment the one that looks last is right. A file remembers `OPENED` in case the host's
//! own firewall is started anew, which empties every table.

use super::nft::{self, Nft};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The sets' names, which no other program's tables have.
pub(super) const OPENED: &str = "mallee_opened";
pub(super) const WANTED: &str = "mallee_wanted";

#[derive(Debug)]
pub(super) struct Forwarding {
    /// This boot's id, then the names, one a line, of the interfaces whose forwarding was off.
    record: PathBuf,
    nft: Arc<Nft>,
}

impl Forwarding {
    pub fn new(state_dir: &Path, nft: Arc<Nft>) -> Forwarding {
        Forwarding { record: state_dir.join("forwarding-enabled"), nft }
    }

    /// The interfaces of the default routes that did not forward before there were clouds here, and
    /// those this cloud had opened before. To be declared in its table before `settle`.
    pub fn needed(&self) -> io::Result<Vec<String>> {
        let mut needed = self.recorded()?;
        let opened = declared(OPENED)?;
        for uplink in uplinks()? {
            let was_off = || -> io::Result<bool> {
                Ok(opened.contains(&uplink) || fs::read_to_string(switch(&uplink))?.trim() == "0")
            };
            if !needed.contains(&uplink) && was_off()? {
                needed.push(uplink);
            }
        }
        if !needed.is_empty() {
            fs::write(&self.record, format!("{}\n{}\n", boot()?, needed.join("\n")))?;
        }
        Ok(needed)
    }

    /// Has the uplinks of today forward, too, if there are others by now or the same made anew.
    pub fn follow(&self, table: &str) -> io::Result<()> {
        let is_shut = |uplink: &String| {
            fs::read_to_string(switch(uplink)).is_ok_and(|state| state.trim() == "0")
        };
        if !uplinks()?.iter().any(is_shut) {
            return Ok(());
        }
        let needed = self.needed()?;
        let elements = needed.iter().map(|uplink| elements(table, uplink));
        self.nft.apply(&elements.collect::<String>())?;
        needed.iter().try_for_each(|uplink| self.settle(uplink))
    }

    /// Lets an interface forward if any cloud wants it to. One that is gone has nothing to be set.
    pub fn settle(&self, uplink: &str) -> io::Result<()> {
        let switch = switch(uplink);
        let mut wanted = declared(WANTED)?.contains(uplink);
        while switch.exists() {
            fs::write(&switch, if wanted { "1" } else { "0" })?;
            let since = declared(WANTED)?.contains(uplink);
            if wanted == since {
                break;
            }
            wanted = since;
        }
        Ok(())
    }

    /// Wants nothing any more, and puts back what no other cloud wants either.
    pub fn restore(&self, table: &str) -> io::Result<()> {
        // Declaring it first makes emptying what is not there no error.
        self.nft.apply(&format!(
            "add table ip {table}\nadd set ip {table} {WANTED} {{ type ifname; }}\n\
             flush set ip {table} {WANTED}\n"
        ))?;
        let mut opened = declared(OPENED)?;
        opened.extend(self.recorded()?);
        opened.iter().try_for_each(|uplink| self.settle(uplink))
    }

    /// When what it says is put back.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What was switched on before this boot is off again, or is another's business.
    fn recorded(&self) -> io::Result<Vec<String>> {
        let text = match fs::read_to_string(&self.record) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let is_ours = lines.next() == Some(boot()?.as_str());
        Ok(lines.filter(|_| is_ours).map(str::to_owned).collect())
    }
}

/// Declares an interface in a cloud's table.
pub(super) fn elements(table: &str, uplink: &str) -> String {
    [OPENED, WANTED]
        .map(|set| format!("add element ip {table} {set} {{ \"{uplink}\" }}\n"))
        .concat()
}

/// The elements of all clouds' sets of this name.
fn declared(set: &str) -> io::Result<BTreeSet<String>> {
    let sets = nft::list(&["sets", "ip"])?;
    let named = sets.iter().map(|object| &object["set"]).filter(|found| found["name"] == set);
    let elements = named.filter_map(|found| found["elem"].as_array()).flatten();
    Ok(elements.filter_map(|element| Some(element.as_str()?.to_owned())).collect())
}

/// Makes a bridge route between its own isolated ports: it answers ARP for guests that the asker
/// cannot reach directly, at once, and does not tell guests of shorter ways that are closed.
pub(super) fn route_between_ports(bridge: &str) -> io::Result<()> {
    fs::write(ipv4(bridge, "forwarding"), "1")?;
    fs::write(ipv4(bridge, "proxy_arp_pvlan"), "1")?;
    fs::write(ipv4(bridge, "send_redirects"), "0")?;
    fs::write(format!("/proc/sys/net/ipv4/neigh/{bridge}/proxy_delay"), "0")
}

/// Has the host take what comes by the end of a cable whose other end is its own: it is from guests,
/// whose addresses are elsewhere. And has it answer guests who ask on the bridge for the addresses
/// that lead there.
pub(super) fn route_by_detour(bridge: &str, end: &str) -> io::Result<()> {
    // Loose, also where the host is strict otherwise: the greater number holds.
    fs::write(ipv4(end, "rp_filter"), "2")?;
    fs::write(ipv4(end, "forwarding"), "1")?;
    fs::write(ipv4(bridge, "proxy_arp"), "1")
}

/// Has a bridge forward nothing, neither between its ports nor to or from the world, until it is
/// told to route between them again.
pub(super) fn route_nothing(bridge: &str) -> io::Result<()> {
    fs::write(ipv4(bridge, "forwarding"), "0")
}

/// Keeps the host's own IPv6 off a device: guests get no router solicitations from us, and the host
/// has no address on their wires. A kernel without IPv6 has nothing to switch off.
pub(super) fn disable_ipv6(device: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn switch(uplink: &str) -> PathBuf {
    ipv4(uplink, "forwarding")
}

fn ipv4(device: &str, switch: &str) -> PathBuf {
    // `/proc/sys/net` shows the namespace of the thread that looks.
    Path::new("/proc/sys/net/ipv4/conf").join(device).join(switch)
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
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
