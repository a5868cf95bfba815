//! Does the host's network leave room for the guests'?

use super::{Check, privileges};
use crate::cli::{fault::Fault, process};
use crate::config::{Configuration, GroupSection, state_directory::StateDirectory};
use crate::domain::port_filter::Cidr;
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
};

pub fn checks_for_guests(configuration: &Configuration) -> Vec<Check> {
    let prefix = &configuration.network.prefix;
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let routes = parse_routes(&table);
    let mut checks: Vec<Check> =
        configuration.groups.iter().map(|group| addresses(group, &routes, prefix)).collect();
    // A private network is not in the way of the host's packet filter, and its user cannot see it.
    if privileges::may_administer_this_host() {
        checks.push(forwarding(ruleset(), prefix));
    }
    checks
}

/// The ports the cloud itself wants.
pub fn port_checks(
    configuration: &Configuration,
    state: &StateDirectory,
) -> Result<Vec<Check>, Fault> {
    let is_running = process::find(state)?.is_some();
    let listen = configuration.cloud.listen;
    let metadata = SocketAddr::from(([127, 0, 0, 1], configuration.network.metadata_port));
    let check = |about, address: SocketAddr, setting| {
        let bound = TcpListener::bind(address).map(|_| ());
        port(about, address.port(), bound, is_running, setting)
    };
    Ok(vec![
        check("API port", listen, "`--listen ADDR:PORT`"),
        check("metadata port", metadata, "`metadata_port` in the section `[network]`"),
    ])
}

fn port(
    about: &'static str,
    port: u16,
    bound: io::Result<()>,
    is_running: bool,
    setting: &str,
) -> Check {
    match bound {
        Ok(()) => Check::ok(about, format!("{port} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            Check::ok(about, format!("{port} is in use while the cloud runs"))
        }
        Err(error) => Check::problem(
            about,
            format!("{port} cannot be used: {error}"),
            format!("choose another with {setting}"),
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Route {
    device: String,
    destination: Cidr,
}

/// `/proc/net/route`: a heading, then device, destination, gateway, …, mask as the eighth; numbers
/// are hexadecimal in the machine's own order of bytes.
fn parse_routes(table: &str) -> Vec<Route> {
    let address = |hex: &str| {
        u32::from_str_radix(hex, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()))
    };
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let mask = u32::from(address(fields.get(7)?)?);
        let length = u8::try_from(mask.leading_ones()).ok()?;
        let destination = Cidr::new(address(fields.get(1)?)?, length)?;
        Some(Route { device: (*fields.first()?).to_owned(), destination })
    };
    table.lines().skip(1).filter_map(route).collect()
}

/// A default route covers every address and clashes with none.
fn addresses(group: &GroupSection, routes: &[Route], prefix: &str) -> Check {
    const ABOUT: &str = "guests' addresses";
    let range = group.public_addresses;
    let clash = routes.iter().find(|route| {
        route.destination.prefix_length() > 0
            && route.destination.overlaps(range)
            && !route.device.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'))
    });
    match clash {
        None => Check::ok(ABOUT, format!("`{range}` is used by nothing else here")),
        Some(Route { device, destination }) => Check::problem(
            ABOUT,
            format!("`{range}` overlaps `{destination}`, which this host reaches by `{device}`"),
            format!("choose another range for the group `{}`: `public_addresses`", group.name),
        ),
    }
}

/// The host's packet filter as text, or why it cannot be seen.
fn ruleset() -> Result<String, String> {
    match Command::new("nft").args(["list", "chains"]).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        Err(error) => Err(format!("`nft`: {error}")),
    }
}

fn forwarding(chains: Result<String, String>, prefix: &str) -> Check {
    const ABOUT: &str = "forwarding";
    let chains = match chains {
        Ok(chains) => chains,
        Err(why) => return Check::warn(ABOUT, why, "run `mallee doctor` as root to look at it"),
    };
    match dropping_table(&chains, prefix) {
        None => Check::ok(ABOUT, "no other packet filter of this host drops what it forwards"),
        Some(table) => Check::warn(
            ABOUT,
            format!("the table `{table}` drops forwarded packets, so guests may reach nobody"),
            format!(
                "let them pass there, e.g. for Docker: iptables -I DOCKER-USER -i {prefix}-pub -j \
                 ACCEPT and the same with -o"
            ),
        ),
    }
}

/// The first table of others with a forward chain whose policy is to drop.
fn dropping_table(chains: &str, prefix: &str) -> Option<String> {
    let mut table = "";
    for line in chains.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches('{').trim();
        }
        let ours = table.split(' ').next_back() == Some(prefix);
        if line.contains("hook forward") && line.contains("policy drop") && !ours {
            return Some(table.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
        eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\n\
        eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n\
        tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\n\
        mallee-pub\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_from_the_kernel_s_table() {
        let routes = parse_routes(ROUTES);
        let shown: Vec<String> =
            routes.iter().map(|route| format!("{} {}", route.device, route.destination)).collect();
        let expected = [
            "eth0 0.0.0.0/0",
            "eth0 192.168.2.0/24",
            "tun0 10.0.0.0/8",
            "mallee-pub 10.213.0.0/16",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_range_that_the_host_reaches_otherwise_is_a_problem() {
        let routes = parse_routes(ROUTES);
        let group = GroupSection::default();
        let check = addresses(&group, &routes, "mallee");
        assert_eq!(check.verdict, Verdict::Problem);
        assert!(check.finding.contains("`tun0`"), "{}", check.finding);
        // The default route and our own bridge are no clash.
        let others: Vec<Route> =
            routes.into_iter().filter(|route| route.device != "tun0").collect();
        assert_eq!(addresses(&group, &others, "mallee").verdict, Verdict::Ok);
        // A cloud whose prefix begins like ours is another cloud.
        assert_eq!(addresses(&group, &others, "mal").verdict, Verdict::Problem);
    }

    #[test]
    fn a_port_in_use_is_a_problem_unless_the_cloud_itself_uses_it() {
        let verdict = |bound: io::Result<()>, running| port("x", 1, bound, running, "y").verdict;
        let in_use = || Err(io::ErrorKind::AddrInUse.into());
        assert_eq!(verdict(Ok(()), false), Verdict::Ok);
        assert_eq!(verdict(in_use(), true), Verdict::Ok);
        assert_eq!(verdict(in_use(), false), Verdict::Problem);
        assert_eq!(verdict(Err(io::ErrorKind::PermissionDenied.into()), true), Verdict::Problem);
    }

    #[test]
    fn another_table_that_drops_forwarded_packets_is_told_and_our_own_is_not() {
        let chains = |table: &str, policy: &str| {
            Ok(format!(
                "table {table} {{\n\tchain FORWARD {{\n\t\ttype filter hook forward priority \
                 filter; policy {policy};\n\t}}\n}}\n"
            ))
        };
        let verdict = |chains| forwarding(chains, "mallee").verdict;
        assert_eq!(verdict(chains("ip filter", "drop")), Verdict::Warn);
        assert_eq!(verdict(chains("ip filter", "accept")), Verdict::Ok);
        assert_eq!(verdict(chains("inet mallee", "drop")), Verdict::Ok);
        assert_eq!(verdict(chains("inet malleefence", "drop")), Verdict::Warn);
        assert_eq!(verdict(Err("not root".into())), Verdict::Warn);
    }
}
