//! The metadata service beside a guest that means ill: everybody else is answered.

use crate::{
    guest::{Guest, Host, public},
    metadata::{SERVICE, Served, connect, converse, get, ok, resident},
};
use mallee::metadata::server::CONNECTIONS_MAX;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

struct Scene {
    bad: Guest,
    good: Guest,
    // In this order: the service's socket goes before its address.
    _served: Served,
    _host: Host,
}

impl Scene {
    fn new() -> Scene {
        let host = Host::new();
        let served = Served::new([4, 5].map(|last| resident(last, Default::default())).into());
        let [bad, good] = [4, 5].map(|number| host.guest(&public(number, Vec::new())));
        Scene { bad, good, _served: served, _host: host }
    }

    /// How long the other guest waits for its answer.
    fn wait(&self) -> Duration {
        let begun = Instant::now();
        assert_eq!(get(&self.good.namespace, ""), ok("i-0ad50005"));
        begun.elapsed()
    }

    fn connections(&self, count: usize) -> Vec<TcpStream> {
        self.bad.namespace.inside(|| (0..count).map_while(|_| connect(SERVICE)).collect())
    }
}

fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn a_thousand_requests_of_one_guest_do_not_starve_another() {
    const REQUESTS: usize = 1000;
    let scene = Scene::new();
    let (begun, answered, over) = (Instant::now(), AtomicUsize::new(0), AtomicBool::new(false));
    let worst = std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                worst = worst.max(scene.wait());
            }
            worst
        });
        let bad: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..REQUESTS / 20 {
                        assert_eq!(get(&scene.bad.namespace, ""), ok("i-0ad50004"));
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        bad.into_iter().for_each(|thread| thread.join().unwrap());
        over.store(true, Ordering::Relaxed);
        waits.join().unwrap()
    });
    println!("{REQUESTS} requests in {:?}; another's longest: {worst:?}", begun.elapsed());
    assert_eq!(answered.into_inner(), REQUESTS);
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[test]
fn one_guests_connections_are_limited_and_nobody_elses() {
    let scene = Scene::new();
    let mut idle = scene.connections(4 * CONNECTIONS_MAX);
    let open = idle.iter_mut().filter_map(|stream| is_open(stream).then_some(())).count();
    assert!(open <= CONNECTIONS_MAX, "{open}");
    assert!(scene.wait() < Duration::from_secs(1));
    // Its own turn comes again when it lets go.
    drop(idle);
    let begun = Instant::now();
    while get(&scene.bad.namespace, "") != ok("i-0ad50004") {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn what_never_ends_is_ended() {
    let scene = Scene::new();
    // A head, and a body, a byte at a time; and nothing at all.
    let put = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    let mut streams = scene.connections(3);
    streams[0].write_all(b"GET / HTTP/1.1\r\nX-A: ").unwrap();
    streams[1].write_all(put.as_bytes()).unwrap();
    let begun = Instant::now();
    for stream in &mut streams {
        stream.set_nonblocking(true).unwrap();
    }
    let mut ended = [false; 3];
    while ended != [true; 3] {
        assert!(begun.elapsed() < Duration::from_secs(15), "{ended:?}");
        for (number, stream) in streams.iter_mut().enumerate() {
            let is_dripping = number < 2;
            let said = if is_dripping { stream.write(b"x").map(drop) } else { Ok(()) };
            // Answered or not, it ends.
            let heard = stream.read(&mut [0; 4096]);
            ended[number] |= matches!(heard, Ok(0))
                || [said.err(), heard.err()]
                    .into_iter()
                    .flatten()
                    .any(|error| !matches!(error.kind(), std::io::ErrorKind::WouldBlock));
        }
        assert!(scene.wait() < Duration::from_secs(1));
    }
    println!("ended after {:?}", begun.elapsed());
}

#[test]
fn what_is_too_large_is_refused_and_not_kept() {
    let scene = Scene::new();
    let large = "x".repeat(1 << 20);
    for request in [
        format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-A: {large}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: 1\r\n".repeat(10_000)),
    ] {
        let answer = scene.bad.namespace.inside(|| {
            // A connection closed in our face is a refusal as well.
            connect(SERVICE).and_then(|stream| converse(stream, request.as_bytes()))
        });
        assert!(
            answer.as_ref().is_none_or(|(status, _)| (400..500).contains(status)),
            "{answer:?}"
        );
        assert!(scene.wait() < Duration::from_secs(1));
    }
    // A body that nobody wants is not listened to for long.
    let mut stream = scene.bad.namespace.inside(|| connect(SERVICE)).unwrap();
    let length = 1u64 << 40;
    let head =
        format!("PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let begun = Instant::now();
    while stream.write_all(large.as_bytes()).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "still listening");
    }
    println!("listened to for {:?}", begun.elapsed());
    assert!(scene.wait() < Duration::from_secs(1));
}
