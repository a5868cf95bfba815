//! Flows that the kernel remembers, and is to forget.
//!
//! A flow keeps the translation that it began with for as long as packets come, be they dropped: a
//! peer that goes on sending to an elastic address from one port would never reach whoever has it
//! now. So what began otherwise than it would begin now is forgotten, and its next packet begins a
//! flow anew.

use super::netlink::{Message, Netlink, attributes};
use std::{io, net::Ipv4Addr};

const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 2;
/// The family, the version, and a number that is not used.
const FAMILY: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// In a direction of a flow, its addresses; among them, who sends and to whom.
const ADDRESSES: u16 = 1;
const SOURCE: u16 = 1;
const DESTINATION: u16 = 2;

/// Forgets the flows by an elastic address but those of the guest that has it, by its own address.
/// Blocks.
pub(super) fn forget(elastic: Ipv4Addr, own: Option<Ipv4Addr>) -> io::Result<()> {
    let mut netlink = Netlink::speaking(libc::NETLINK_NETFILTER)?;
    let mut list = Message::new(GET, libc::NLM_F_REQUEST | libc::NLM_F_DUMP);
    list.append(&FAMILY);
    for flow in netlink.ask(list)? {
        let Some(body) = flow.get(FAMILY.len()..) else { continue };
        if !is_stale(body, elastic, own) {
            continue;
        }
        let mut message = Message::new(DELETE, libc::NLM_F_REQUEST | libc::NLM_F_ACK);
        message.append(&FAMILY);
        for (kind, value) in attributes(body) {
            match kind {
                ORIGINAL => message.nested(kind, value),
                ID | ZONE => message.attribute(kind, value),
                _ => {}
            }
        }
        match netlink.ask(message) {
            // It has ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            forgotten => drop(forgotten?),
        }
    }
    Ok(())
}

/// Whether a flow goes to the elastic address, or comes from it, and not to or from the guest.
fn is_stale(flow: &[u8], elastic: Ipv4Addr, own: Option<Ipv4Addr>) -> bool {
    let direction = |kind: u16| {
        let (_, tuple) = attributes(flow).find(|(found, _)| *found == kind)?;
        let (_, addresses) = attributes(tuple).find(|(found, _)| *found == ADDRESSES)?;
        let address = |which: u16| {
            let (_, octets) = attributes(addresses).find(|(found, _)| *found == which)?;
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?))
        };
        Some((address(SOURCE)?, address(DESTINATION)?))
    };
    let (Some((from, to)), Some((answerer, answered))) = (direction(ORIGINAL), direction(REPLY))
    else {
        return false;
    };
    (to == elastic && Some(answerer) != own) || (answered == elastic && Some(from) != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's words for a flow.
    fn flow(original: [[u8; 4]; 2], reply: [[u8; 4]; 2]) -> Vec<u8> {
        let mut message = Message::new(GET, 0);
        for (kind, [from, to]) in [(ORIGINAL, original), (REPLY, reply)] {
            message.nest(kind, |tuple| {
                tuple.nest(ADDRESSES, |addresses| {
                    addresses.attribute(SOURCE, &from);
                    addresses.attribute(DESTINATION, &to);
                });
            });
        }
        message.body().to_vec()
    }

    #[test]
    fn flows_by_the_address_are_stale_but_its_guests() {
        let elastic = Ipv4Addr::new(203, 0, 113, 7);
        let (one, two, peer) = ([10, 0, 0, 4], [10, 0, 0, 5], [192, 0, 2, 1]);
        let own = Some(Ipv4Addr::from(one));
        let address = elastic.octets();
        let came = |own| flow([peer, address], [own, peer]);
        let left = |own| flow([own, peer], [peer, address]);
        for [ones, twos] in [[one, two].map(came), [one, two].map(left)] {
            assert!(!is_stale(&ones, elastic, own));
            assert!(is_stale(&twos, elastic, own));
            assert!(is_stale(&ones, elastic, None));
            assert!(!is_stale(&twos, Ipv4Addr::new(203, 0, 113, 8), own));
        }
        let before_it_was_anybodys = flow([peer, address], [address, peer]);
        assert!(is_stale(&before_it_was_anybodys, elastic, own));
        assert!(!is_stale(&flow([peer, one], [one, peer]), elastic, own));
        assert!(!is_stale(&[1, 2, 3], elastic, own));
    }
}
