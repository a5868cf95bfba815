//! What an ordinary user's cloud promises.

use crate::{
    guest::{Guest, egress, permit, private, public, tcp},
    life::Order,
    ordinary_user::{Host, Life, USER, eventually, processes},
};
use mallee::domain::port_filter::{Direction, Traffic};
use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::MetadataExt,
    process::Command,
    time::{Duration, Instant},
};

type Story = fn(&Host);

pub const ALL: &[(&str, Story)] = &[
    ("a_guest_is_reached_on_loopback_where_it_is_authorized_and_nowhere_else", authorization),
    ("a_privileged_port_is_offered_where_the_host_allows_it", privileged_ports),
    ("bytes_pass_whole_both_ways_and_an_end_closed_on_one_side_is_closed_to_the_other", half_close),
    ("a_port_nobody_serves_is_reset", nobody_serves),
    ("datagrams_are_answered", datagrams),
    ("an_elastic_address_is_shown_on_loopback_and_moves", elastic_address),
    ("all_ports_are_too_many_and_the_familiar_ones_are_offered", all_ports),
    ("guests_reach_the_world_and_not_the_hosts_loopback", uplink),
    ("the_way_to_the_world_is_made_again_when_it_is_lost", uplink_lost),
    ("a_broker_that_is_killed_is_replaced", broker_killed),
    ("an_enclosure_that_nobody_can_open_any_more_says_what_to_do", guard_killed),
    ("no_process_has_privileges_on_the_host_and_nothing_there_is_changed", untouched),
    ("a_killed_process_leaves_nothing", killed),
    ("a_new_process_finds_the_guests_of_a_killed_one", rejoined),
    ("an_ordinary_users_cloud_runs_a_real_guest_that_survives_it", crate::cloud::story),
    ("what_the_host_forbids_is_told_with_the_remedy", forbidden),
];

const SHOWN: Ipv4Addr = Ipv4Addr::new(127, 213, 0, 4);
pub const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(SHOWN, port).into(), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

fn greeting(port: u16) -> io::Result<(TcpStream, String)> {
    let mut stream = connect(port)?;
    let mut word = [0; 3];
    stream.read_exact(&mut word)?;
    Ok((stream, String::from_utf8_lossy(&word).into_owned()))
}

fn says(port: u16, word: &str) {
    assert_eq!(greeting(port).unwrap().1, word, "port {port}");
}

fn is_refused(port: u16) {
    assert_eq!(connect(port).unwrap_err().kind(), ErrorKind::ConnectionRefused, "port {port}");
}

fn authorization(host: &Host) {
    let mut life = host.live("a");
    let interface = public(4, vec![egress()]);
    let guest = life.guest(&interface);
    guest.namespace.serve(2022, "ssh");
    guest.namespace.serve(8080, "web");
    is_refused(2022);
    life.admit(&interface.id, vec![egress(), tcp(2022, 2022), tcp(8080, 8080)]);
    says(2022, "ssh");
    let (mut web, _) = greeting(8080).unwrap();
    let (mut ssh, _) = greeting(2022).unwrap();
    let begun = Instant::now();
    life.admit(&interface.id, vec![egress(), tcp(2022, 2022)]);
    is_refused(8080);
    println!("  authorized or revoked in {:.1?}", begun.elapsed());
    assert!(matches!(web.read(&mut [0]), Ok(0) | Err(_)), "cut");
    ssh.write_all(b"still here").unwrap();
    ssh.read_exact(&mut [0; 10]).unwrap();
    // Who a permit names matters: the host is the gateway to a guest, and nobody else.
    let stranger = "192.0.2.7/32".parse().unwrap();
    let of_stranger =
        mallee::domain::port_filter::Permit { peers: [stranger].into(), ..tcp(2022, 2022) };
    life.admit(&interface.id, vec![egress(), of_stranger]);
    is_refused(2022);
    life.admit(&interface.id, vec![egress(), tcp(2022, 2022)]);
    says(2022, "ssh");
    life.ask(&Order::Detach(interface.id.clone())).unwrap();
    is_refused(2022);
    // A private interface is nobody's on the host.
    life.attach(&private(5, "vpc-11111111", 4));
    assert!(TcpStream::connect((Ipv4Addr::new(127, 31, 0, 4), 2022)).is_err());
    life.end();
}

fn privileged_ports(host: &Host) {
    let mut life = host.live("p");
    let interface = public(4, vec![egress(), tcp(22, 22)]);
    let guest = life.guest(&interface);
    guest.namespace.serve(22, "ssh");
    is_refused(22);
    assert_eq!(mallee::enclosure::forward::offered_port(22), 20022);
    says(20022, "ssh");
    host.namespace.run("sysctl -qw net.ipv4.ip_unprivileged_port_start=22");
    assert_eq!(mallee::enclosure::forward::offered_port(22), 22);
    life.admit(&interface.id, vec![egress()]);
    life.admit(&interface.id, vec![egress(), tcp(22, 22)]);
    says(22, "ssh");
    is_refused(20022);
    host.namespace.run("sysctl -qw net.ipv4.ip_unprivileged_port_start=1024");
    life.end();
}

fn half_close(host: &Host) {
    const LENGTH: usize = 8 << 20;
    let mut life = host.live("h");
    let guest = life.guest(&public(4, vec![egress(), tcp(8080, 8080)]));
    guest.namespace.serve(8080, "web");
    let (mut stream, _) = greeting(8080).unwrap();
    let begun = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let sent: Vec<u8> = (0..LENGTH).map(|number| (number % 251) as u8).collect();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            // The guest echoes until it is told that there is no more, and then closes too.
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    assert!(received == sent, "{} of {LENGTH} bytes", received.len());
    let rate = LENGTH as f64 / begun.elapsed().as_secs_f64() / f64::from(1 << 20);
    println!("  {rate:.0} MiB/s there and back");
    life.end();
}

fn elastic_address(host: &Host) {
    const ELASTIC: Ipv4Addr = Ipv4Addr::new(10, 213, 255, 7);
    let shown = || {
        let address = (Ipv4Addr::new(127, 213, 255, 7), 8080).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut word = [0; 3];
        stream.read_exact(&mut word)?;
        Ok::<_, io::Error>((stream, String::from_utf8_lossy(&word).into_owned()))
    };
    let mut life = host.live("e");
    let [one, two] = [4, 5].map(|number| public(number, vec![egress(), tcp(8080, 8080)]));
    let guests = [&one, &two].map(|interface| life.guest(interface));
    guests[0].namespace.serve(8080, "one");
    guests[1].namespace.serve(8080, "two");
    assert_eq!(shown().unwrap_err().kind(), ErrorKind::ConnectionRefused, "nobody's");
    life.assign(&one.id, 1, Some(ELASTIC));
    let (mut stream, word) = shown().unwrap();
    assert_eq!(word, "one");
    says(8080, "one");
    life.assign(&two.id, 2, Some(ELASTIC));
    assert_eq!(shown().unwrap().1, "two");
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "cut");
    life.assign(&one.id, 2, None);
    assert_eq!(shown().unwrap().1, "two");
    life.admit(&two.id, vec![egress()]);
    assert_eq!(shown().unwrap_err().kind(), ErrorKind::ConnectionRefused, "its filter holds");
    life.admit(&two.id, vec![egress(), tcp(8080, 8080)]);
    life.assign(&two.id, 3, None);
    assert_eq!(shown().unwrap_err().kind(), ErrorKind::ConnectionRefused, "nobody's");
    says(8080, "one");
    life.end();
}

fn nobody_serves(host: &Host) {
    let mut life = host.live("n");
    let _guest = life.guest(&public(4, vec![egress(), tcp(8080, 8080)]));
    let refused = greeting(8080).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    life.end();
}

fn datagrams(host: &Host) {
    let mut life = host.live("d");
    let udp = permit(Direction::Ingress, Traffic::Udp { from: 5353, to: 5353 });
    let interface = public(4, vec![egress(), udp]);
    let guest = life.guest(&interface);
    let server = guest.namespace.inside(|| UdpSocket::bind("0.0.0.0:5353").unwrap());
    let echo = std::thread::spawn(move || {
        for _ in 0..4 {
            let mut buffer = [0; 64];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..length], from).unwrap();
        }
    });
    let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    for round in 0..2 {
        for (number, client) in clients.iter().enumerate() {
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let word = format!("{round} {number}");
            client.send_to(word.as_bytes(), (SHOWN, 5353)).unwrap();
            let mut buffer = [0; 64];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(
                (&buffer[..length], from),
                (word.as_bytes(), SocketAddr::from((SHOWN, 5353)))
            );
        }
    }
    echo.join().unwrap();
    life.admit(&interface.id, vec![egress()]);
    clients[0].connect((SHOWN, 5353)).unwrap();
    clients[0].send(b"too late").unwrap();
    assert_eq!(clients[0].recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    life.end();
}

fn all_ports(host: &Host) {
    let mut life = host.live("w");
    let begun = Instant::now();
    let all = permit(Direction::Ingress, Traffic::Any);
    let guest = life.guest(&public(4, vec![egress(), all, tcp(50_000, 50_000)]));
    println!("  2 x 1024 ports in {:.1?}", begun.elapsed());
    for port in [8080, 50_000] {
        guest.namespace.serve(port, "web");
        says(port, "web");
    }
    is_refused(60_000);
    life.end();
}

fn uplink(host: &Host) {
    let mut life = host.live("u");
    assert_eq!(life.greeting.name_server, Some(Ipv4Addr::new(10, 0, 2, 3)));
    let guest = life.guest(&public(4, vec![egress()]));
    assert_eq!(guest.namespace.greeting(WORLD, 80).as_deref(), Some("world"));
    assert_eq!(guest.namespace.greeting(Ipv4Addr::new(10, 0, 2, 2), 80), None, "the host's own");
    life.end();
}

/// Kills the process of this name, and waits until it is gone.
fn kill_one(host: &Host, name: &str) {
    let found: Vec<u32> =
        processes(host).into_iter().filter(|(_, its)| its == name).map(|(pid, _)| pid).collect();
    assert_eq!(found.len(), 1, "one `{name}`");
    // SAFETY: a process of this test's own, seen a moment ago.
    assert_eq!(unsafe { libc::kill(found[0] as i32, libc::SIGKILL) }, 0);
    eventually("it is gone", || !processes(host).iter().any(|(pid, _)| *pid == found[0]));
}

fn reaches_the_world(guest: &Guest) -> bool {
    guest.namespace.greeting(WORLD, 80).as_deref() == Some("world")
}

fn uplink_lost(host: &Host) {
    let mut life = host.live("l");
    let guest = life.guest(&public(4, vec![egress(), tcp(8080, 8080)]));
    guest.namespace.serve(8080, "web");
    let (mut stream, _) = greeting(8080).unwrap();
    assert!(reaches_the_world(&guest));
    for _ in 0..2 {
        kill_one(host, "slirp4netns");
        let begun = Instant::now();
        eventually("the guest reaches the world again", || reaches_the_world(&guest));
        println!("  the world was back in {:.1?}", begun.elapsed());
        stream.write_all(b"still here").unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
    }
    assert!(host.said("l").contains("`slirp4netns` has ended"), "{}", host.said("l"));
    assert!(host.said("l").contains("guests can reach the world again"));
    life.end();
    eventually("every process is gone", || processes(host).is_empty());
}

fn broker_killed(host: &Host) {
    let mut life = host.live("b");
    let interface = public(4, vec![egress(), tcp(8080, 8080)]);
    let guest = life.guest(&interface);
    guest.namespace.serve(8080, "web");
    guest.namespace.serve(2022, "ssh");
    let (mut stream, _) = greeting(8080).unwrap();
    kill_one(host, "mallee-broker");
    // What is asked while there is none waits for the next.
    life.admit(&interface.id, vec![egress(), tcp(8080, 8080), tcp(2022, 2022)]);
    says(2022, "ssh");
    stream.write_all(b"still here").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    eventually("the guest reaches the world again", || reaches_the_world(&guest));
    life.kill();
    eventually("every process is gone", || processes(host).is_empty());
}

fn guard_killed(host: &Host) {
    let mut life = host.live("g");
    let interface = public(4, vec![egress(), tcp(8080, 8080)]);
    let guest = life.guest(&interface);
    guest.namespace.serve(8080, "web");
    kill_one(host, "mallee-guard");
    assert!(reaches_the_world(&guest), "the broker does without it");
    kill_one(host, "mallee-broker");
    eventually("the log says what to do", || host.said("g").contains("`mallee up` restore both"));
    says(8080, "web");
    // Not offered, and not waited for either.
    let begun = Instant::now();
    life.admit(&interface.id, vec![egress(), tcp(8080, 8080), tcp(2022, 2022)]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    is_refused(2022);
    life.end();
    eventually("every process is gone", || processes(host).is_empty());
}

/// Everything of the host's that a data plane could change.
fn state(host: &Host) -> String {
    let lines =
        ["ip link", "ip addr", "ip route", "nft list ruleset", "sysctl -a --pattern ^net.ipv4"];
    lines.iter().map(|line| host.namespace.run(line)).collect()
}

fn untouched(host: &Host) {
    let before = state(host);
    let mut life = host.live("s");
    life.attach(&public(4, vec![egress(), tcp(1, 9000)]));
    life.attach(&private(5, "vpc-11111111", 4));
    assert_eq!(before, state(host));
    let inside = life.network.run("ip link");
    assert!(inside.contains("mallee-pub") && inside.contains("uplink"), "{inside}");

    let status = |process: u32| fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let user_namespace =
        |process: &str| fs::metadata(format!("/proc/{process}/ns/user")).unwrap().ino();
    let program = life.greeting.process;
    let everybody = processes(host);
    let names: Vec<&str> = everybody.iter().map(|(_, name)| name.as_str()).collect();
    assert!(names.contains(&"mallee-broker") && names.contains(&"slirp4netns"), "{names:?}");
    assert_eq!(
        everybody.len(),
        5,
        "its parent, itself, a guard, the broker, the uplink: {names:?}"
    );
    for (process, name) in &everybody {
        let status = status(*process);
        assert!(status.contains(&format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}")), "{name}");
        let elsewhere = user_namespace(&process.to_string()) != user_namespace("self");
        let powerless = status.contains("CapEff:\t0000000000000000");
        assert!(elsewhere || powerless, "{name}: {status}");
        assert!(*process != program || elsewhere);
    }
    // `CAP_NET_ADMIN` and `CAP_NET_RAW`, where they concern nobody else.
    assert!(status(program).contains("CapPrm:\t0000000000003000"), "{}", status(program));
    life.end();
    eventually("every process is gone", || processes(host).is_empty());
    assert_eq!(before, state(host));
}

fn killed(host: &Host) {
    let mut life = host.live("k");
    let guest = life.guest(&public(4, vec![egress(), tcp(8080, 8080)]));
    guest.namespace.serve(8080, "web");
    says(8080, "web");
    drop(guest);
    life.kill();
    eventually("every process is gone", || processes(host).is_empty());
    is_refused(8080);
    host.live("k").kill_parent();
    eventually("every process is gone", || processes(host).is_empty());
}

fn rejoined(host: &Host) {
    let mut life = host.live("r");
    assert!(!life.greeting.rejoined);
    let interface = public(4, vec![egress(), tcp(8080, 8080)]);
    let guest = life.guest(&interface);
    guest.namespace.serve(8080, "web");
    says(8080, "web");
    let left = life.ask(&Order::Leave).unwrap();
    life.kill();
    // Another cloud of the same user's is not mistaken for it.
    let other = host.live("o");
    assert!(!other.greeting.rejoined);
    other.end();
    let begun = Instant::now();
    let mut life = host.live("r");
    println!("  rejoined in {:.1?}", begun.elapsed());
    assert!(life.greeting.rejoined);
    assert_eq!(life.greeting.name_server, Some(Ipv4Addr::new(10, 0, 2, 3)), "connected again");
    // The same tap, with the same guest at its end.
    life.attach(&interface);
    says(8080, "web");
    life.end();
    assert!(Command::new("kill").arg(left).status().unwrap().success());
    drop(guest);
    eventually("every process is gone", || processes(host).is_empty());
    // With the last guest the enclosure went, and its record means nothing.
    let life = host.live("r");
    assert!(!life.greeting.rejoined);
    life.end();
}

fn forbidden(host: &Host) {
    host.let_everybody_open_taps(false);
    let fault = Life::begin(host.command("f")).err().unwrap();
    host.let_everybody_open_taps(true);
    assert!(fault.contains("`/dev/net/tun` cannot be opened by this user"), "{fault}");

    // A namespace may forbid its users more of the kind, which concerns nobody outside of it.
    let mut command = host.command("f");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \
                  --inh-caps=-all \"$0\"";
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "sh", "-c", script]).arg(command.get_program());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = shell;
    let fault = Life::begin(command).err().unwrap();
    assert!(fault.contains("no more namespaces here (`user.max_user_namespaces`)"), "{fault}");
    eventually("every process is gone", || processes(host).is_empty());
}
