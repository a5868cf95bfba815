//! Where other hosts find this process's switch, as far as this host can tell.
//!
//! A NAT in between may make something else of it: the cables find that out.

use crate::config::Configuration;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket},
};

/// `bound` is what the switch listens at, and `parent` where this process reaches its parent.
pub fn endpoints(
    configuration: &Configuration,
    bound: SocketAddr,
    parent: &[String],
) -> Vec<SocketAddr> {
    let stated = &configuration.overlay.addresses;
    if !stated.is_empty() {
        return stated.clone();
    }
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let cloud = configuration.cloud.links.into_iter();
    let groups = configuration.groups_here().filter_map(|group| group.links);
    let links = cloud.chain(groups).map(|links| links.ip()).filter(|ip| !ip.is_unspecified());
    let ips: BTreeSet<IpAddr> = links.chain(towards(parent)).collect();
    ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// Which of its addresses this host uses towards others. No packet is sent.
fn towards(parent: &[String]) -> Vec<IpAddr> {
    let resolved = parent.iter().filter_map(|address| address.to_socket_addrs().ok()).flatten();
    let own = |to: SocketAddr| {
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    resolved.filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check;

    fn at(text: &str, bound: &str, parent: &[&str]) -> Vec<String> {
        let parent: Vec<String> = parent.iter().map(|&address| address.to_owned()).collect();
        let configuration = check(text, "f.toml").unwrap();
        let found = endpoints(&configuration, bound.parse().unwrap(), &parent);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_switch_is_where_the_configuration_says_or_links_are_or_the_way_to_the_parent_begins() {
        let links = "[cloud]\nlinks = \"192.0.2.1:8774\"";
        assert_eq!(at(links, "0.0.0.0:5", &[]), ["192.0.2.1:5"]);
        assert_eq!(at(links, "192.0.2.7:5", &[]), ["192.0.2.7:5"]);
        assert_eq!(
            at("[overlay]\naddresses = [\"203.0.113.9:7\"]", "192.0.2.7:5", &["127.0.0.1:1"]),
            ["203.0.113.9:7"]
        );
        assert_eq!(at("", "0.0.0.0:5", &["127.0.0.1:1"]), ["127.0.0.1:5"]);
        assert_eq!(at("", "0.0.0.0:5", &["no such host:1"]), [""; 0]);
    }
}
