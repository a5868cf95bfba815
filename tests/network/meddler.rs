//! Somebody between two switches, who repeats what is said and changes it.

use crate::overlay::{passes_tcp, wait_for, wait_for_station, wire};
use mallee::network::cable::Refusal;
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// What was done to the datagrams of one direction.
#[derive(Default)]
struct Meddled {
    repeated: AtomicU64,
    altered: AtomicU64,
}

/// Passes datagrams on, and every so often once more, or once more with a bit turned.
fn meddle(
    from: UdpSocket,
    to: (UdpSocket, SocketAddr),
    ended: Arc<AtomicBool>,
    meddled: Arc<Meddled>,
) {
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut datagram = vec![0; 65_536];
    for number in 0_usize.. {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(length) = from.recv(&mut datagram) else { continue };
        let datagram = &mut datagram[..length];
        if number % 5 == 0 {
            // Before the true one, which would make a repetition of it. A bit anywhere: in a header
            // as well as in what is sealed.
            let bit = number * 7919 % (8 * length);
            datagram[bit / 8] ^= 1 << (bit % 8);
            to.0.send_to(datagram, to.1).unwrap();
            datagram[bit / 8] ^= 1 << (bit % 8);
            meddled.altered.fetch_add(1, Ordering::Relaxed);
        }
        to.0.send_to(datagram, to.1).unwrap();
        if number % 3 == 0 {
            to.0.send_to(datagram, to.1).unwrap();
            meddled.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn what_is_repeated_or_altered_on_its_way_is_counted_and_changes_nothing() {
    let [mut one, mut other] = wire(["192.0.2.1:8777", "192.0.2.2:8777"]);
    one.begin();
    other.begin();
    let at = |port: u16| SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port));
    let [near, far] =
        [9001, 9002].map(|port| one.namespace.inside(|| UdpSocket::bind(at(port)).unwrap()));
    one.introduce_at([(&other, at(9001))].into_iter());
    other.introduce_at([(&one, at(9002))].into_iter());
    let ended = Arc::new(AtomicBool::new(false));
    let (there, back) = (Arc::new(Meddled::default()), Arc::new(Meddled::default()));
    std::thread::scope(|scope| {
        let copy = |socket: &UdpSocket| socket.try_clone().unwrap();
        let to_other = (copy(&far), "192.0.2.2:8777".parse().unwrap());
        let to_one = (copy(&near), "192.0.2.1:8777".parse().unwrap());
        for (from, to, meddled) in [(&near, to_other, &there), (&far, to_one, &back)] {
            let (from, ended, meddled) = (copy(from), ended.clone(), meddled.clone());
            scope.spawn(move || meddle(from, to, ended, meddled));
        }
        let guests = [one.guest(1, 1, 1380), other.guest(1, 2, 1380)];
        wait_for_station(&one, 2);
        wait_for_station(&other, 1);
        assert!(guests[0].pings(Ipv4Addr::new(172, 31, 0, 2)));
        passes_tcp(&guests[0], &guests[1], Ipv4Addr::new(172, 31, 0, 2));
        ended.store(true, Ordering::Relaxed);
    });
    for (host, meddled) in [(&other, &there), (&one, &back)] {
        let refused = || host.overlay().status().refused;
        let [repeated, altered] =
            [&meddled.repeated, &meddled.altered].map(|count| count.load(Ordering::Relaxed));
        assert!(repeated > 100 && altered > 100, "{repeated} {altered}");
        // Each of them, whatever was wrong with it, and nothing else.
        wait_for("all of it is counted", || refused().total() >= repeated + altered);
        let refused = refused();
        println!("{repeated} repeated, {altered} altered: {refused:?}");
        assert!(refused.count(Refusal::Replayed) >= repeated / 2);
        assert!(refused.count(Refusal::Altered) > altered / 2);
        let status = host.overlay().status();
        assert_eq!(status.underlay.malformed, 0, "nothing that was altered was read any further");
        assert!(status.cables[0].is_up);
    }
}
