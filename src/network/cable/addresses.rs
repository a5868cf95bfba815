//! Where a peer may be found: as the managers say, as was heard, as other switches say.

use super::Moment;
use std::{collections::VecDeque, net::SocketAddr, time::Duration};

const MOST_ENDPOINTS: usize = 16;
const MOST_HEARD: usize = 4;
const MOST_INTRODUCED: usize = 4;

/// Another switch's word is trusted so long after it was last given.
const INTRODUCED_FOR: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub(super) struct Addresses {
    endpoints: Vec<SocketAddr>,
    /// Proven once by an answer. The last first.
    heard: VecDeque<SocketAddr>,
    introduced: Vec<(SocketAddr, Moment)>,
}

impl Addresses {
    /// What the managers say. True if it is news.
    pub fn set_endpoints(&mut self, endpoints: &[SocketAddr]) -> bool {
        let usable = endpoints.iter().copied().filter(|endpoint| is_usable(*endpoint));
        let endpoints: Vec<_> = usable.take(MOST_ENDPOINTS).collect();
        let is_news = endpoints != self.endpoints;
        self.endpoints = endpoints;
        is_news
    }

    /// The peer proved that it is there.
    pub fn hear(&mut self, address: SocketAddr) {
        self.heard.retain(|known| *known != address);
        self.heard.push_front(address);
        self.heard.truncate(MOST_HEARD);
    }

    /// Another switch hears the peer there. True if it is news.
    pub fn introduce(&mut self, now: Moment, address: SocketAddr) -> bool {
        if !is_usable(address) || address.ip().is_loopback() {
            return false;
        }
        let is_news = !self.candidates(now).contains(&address);
        self.introduced.retain(|(known, _)| *known != address);
        self.introduced.push((address, now));
        if self.introduced.len() > MOST_INTRODUCED {
            self.introduced.remove(0);
        }
        is_news
    }

    /// Every address worth trying, the likeliest first.
    pub fn candidates(&self, now: Moment) -> Vec<SocketAddr> {
        let introduced = self.introduced.iter().rev();
        let trusted = introduced.filter(|(_, at)| now.saturating_sub(*at) < INTRODUCED_FOR);
        let all = self.heard.iter().chain(&self.endpoints).chain(trusted.map(|(known, _)| known));
        let mut candidates: Vec<SocketAddr> = Vec::new();
        for address in all {
            if !candidates.contains(address) {
                candidates.push(*address);
            }
        }
        candidates
    }
}

fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = ip == std::net::Ipv4Addr::BROADCAST;
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    const NOW: Moment = Duration::from_secs(1000);

    #[test]
    fn what_was_heard_is_tried_first_and_nothing_twice() {
        let mut addresses = Addresses::default();
        assert!(addresses.set_endpoints(&[at("192.0.2.1:1"), at("192.0.2.2:1")]));
        assert!(!addresses.set_endpoints(&[at("192.0.2.1:1"), at("192.0.2.2:1")]));
        addresses.hear(at("198.51.100.1:7"));
        addresses.hear(at("192.0.2.2:1"));
        assert!(addresses.introduce(NOW, at("203.0.113.1:9")));
        assert!(!addresses.introduce(NOW, at("192.0.2.1:1")), "known already");
        assert_eq!(
            addresses.candidates(NOW),
            [at("192.0.2.2:1"), at("198.51.100.1:7"), at("192.0.2.1:1"), at("203.0.113.1:9")]
        );
    }

    #[test]
    fn addresses_are_few_whoever_tells_how_many() {
        let mut addresses = Addresses::default();
        for port in 1..500 {
            addresses.hear(SocketAddr::from(([192, 0, 2, 1], port)));
            addresses.introduce(NOW, SocketAddr::from(([192, 0, 2, 2], port)));
        }
        addresses.set_endpoints(&vec![at("192.0.2.3:1"); 500]);
        assert!(addresses.candidates(NOW).len() <= MOST_ENDPOINTS + MOST_HEARD + MOST_INTRODUCED);
        assert!(addresses.heard.len() + addresses.introduced.len() <= 8);
    }

    #[test]
    fn an_introduction_is_forgotten_and_a_useless_one_is_not_taken() {
        let mut addresses = Addresses::default();
        addresses.introduce(NOW, at("192.0.2.1:1"));
        assert_eq!(addresses.candidates(NOW + INTRODUCED_FOR), []);
        for text in [
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "192.0.2.1:0",
            "[ff02::1]:1",
            "127.0.0.1:1",
        ] {
            assert!(!addresses.introduce(NOW, at(text)), "{text}");
        }
        addresses.set_endpoints(&[at("127.0.0.1:1"), at("[::]:1")]);
        assert_eq!(addresses.candidates(NOW + INTRODUCED_FOR), [at("127.0.0.1:1")]);
    }
}
