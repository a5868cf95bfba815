//! 169.254.169.254 as guests see it.

use crate::guest::{GATEWAY, Host, METADATA_PORT, Namespace, public};
use mallee::{
    domain::{
        metadata::{InstanceMetadata, MetadataOptions, TokenDemand, UserData},
        time::Timestamp,
    },
    metadata::{
        MetadataSource, TokenKey,
        server::{Service, serve},
    },
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    time::Duration,
};

const ID: &str = "/latest/meta-data/instance-id";

#[derive(Debug)]
struct Residents(BTreeMap<Ipv4Addr, Arc<InstanceMetadata>>);

impl MetadataSource for Residents {
    fn by_address(&self, address: Ipv4Addr) -> Option<Arc<InstanceMetadata>> {
        self.0.get(&address).cloned()
    }
}

pub fn resident(last: u8, options: MetadataOptions) -> (Ipv4Addr, Arc<InstanceMetadata>) {
    resident_at(Ipv4Addr::new(10, 213, 0, last), options)
}

/// An instance whose id is its address in hexadecimal.
pub fn resident_at(
    address: Ipv4Addr,
    options: MetadataOptions,
) -> (Ipv4Addr, Arc<InstanceMetadata>) {
    let metadata = InstanceMetadata {
        instance: format!("i-{:08x}", u32::from(address)).parse().unwrap(),
        instance_type: "m1.small".to_owned(),
        image: "emi-12345678".parse().unwrap(),
        kernel: None,
        ramdisk: None,
        local_hostname: "ip.internal".to_owned(),
        public_hostname: None,
        local_address: address,
        public_address: None,
        interfaces: Vec::new(),
        key: None,
        security_groups: Vec::new(),
        reservation: "r-12345678".parse().unwrap(),
        launch_index: 0,
        launched_at: Timestamp::EPOCH,
        zone: "local-1a".parse().unwrap(),
        region: "local-1".parse().unwrap(),
        account: "000000000001".parse().unwrap(),
        architecture: "x86_64".to_owned(),
        block_devices: BTreeMap::new(),
        tags: BTreeMap::new(),
        user_data: Some(UserData((0..=255).cycle().take(2000).collect())),
        services_domain: "mallee.internal".to_owned(),
        options,
    };
    (address, Arc::new(metadata))
}

/// The service, stopped when dropped.
pub struct Served(actix_web::dev::ServerHandle, Option<std::thread::JoinHandle<()>>);

impl Served {
    pub fn new(residents: Vec<(Ipv4Addr, Arc<InstanceMetadata>)>) -> Served {
        Served::at(GATEWAY, residents)
    }

    /// In this thread's namespace.
    pub fn at(gateway: Ipv4Addr, residents: Vec<(Ipv4Addr, Arc<InstanceMetadata>)>) -> Served {
        let listener = TcpListener::bind((gateway, METADATA_PORT)).unwrap();
        let service = Service {
            source: Arc::new(Residents(residents.into_iter().collect())),
            tokens: Arc::new(TokenKey::new(&[1; 32])),
            now: || Timestamp(1_700_000_000_000),
        };
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = serve(listener, service).unwrap();
                tell.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Served(told.recv().unwrap(), Some(thread))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.stop(false));
        self.1.take().unwrap().join().unwrap();
    }
}

/// Status and body; nothing if there is no answer in two seconds.
fn ask(
    from: &Namespace,
    to: (Ipv4Addr, u16),
    method: &str,
    path: &str,
    headers: &str,
) -> Option<(u16, String)> {
    let (status, body) = from.inside(|| {
        let host = to.0;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        converse(connect(to)?, request.as_bytes())
    })?;
    Some((status, String::from_utf8(body).unwrap()))
}

pub fn connect(to: (Ipv4Addr, u16)) -> Option<TcpStream> {
    let patience = Duration::from_secs(2);
    let stream = TcpStream::connect_timeout(&SocketAddr::from(to), patience).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    Some(stream)
}

/// Says something and reads to the end: a status, and a body of any bytes.
pub fn converse(mut stream: TcpStream, request: &[u8]) -> Option<(u16, Vec<u8>)> {
    stream.write_all(request).ok()?;
    let mut reply = Vec::new();
    // An answer that comes before all was said may be cut short; what there is of it counts.
    let _ = stream.read_to_end(&mut reply);
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&reply[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, reply[end + 4..].to_vec()))
}

pub const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(169, 254, 169, 254), 80);
const WANT_TOKEN: &str = "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n";

pub fn get(from: &Namespace, headers: &str) -> Option<(u16, String)> {
    ask(from, SERVICE, "GET", ID, headers)
}

fn token(from: &Namespace) -> Option<(u16, String)> {
    ask(from, SERVICE, "PUT", "/latest/api/token", WANT_TOKEN)
}

pub fn ok(text: &str) -> Option<(u16, String)> {
    Some((200, text.to_owned()))
}

#[test]
fn each_guest_hears_of_itself_whatever_its_filter_and_whatever_it_claims() {
    let host = Host::new();
    let required = MetadataOptions { http_tokens: TokenDemand::Required, ..Default::default() };
    let _served = Served::new(vec![resident(4, MetadataOptions::default()), resident(5, required)]);
    // No permits at all: the service is not subject to security groups.
    let one = host.guest(&public(4, Vec::new()));
    let two = host.guest(&public(5, Vec::new()));
    let stranger = host.guest(&public(6, Vec::new()));
    assert_eq!(get(&one.namespace, ""), ok("i-0ad50004"));
    assert_eq!(get(&one.namespace, "X-Forwarded-For: 10.213.0.5\r\n"), ok("i-0ad50004"));
    assert_eq!(get(&two.namespace, "").unwrap().0, 401);
    let (_, token) = token(&two.namespace).unwrap();
    let header = format!("X-aws-ec2-metadata-token: {token}\r\n");
    assert_eq!(get(&two.namespace, &header), ok("i-0ad50005"));
    assert_eq!(get(&one.namespace, &header).unwrap().0, 401, "another's token");
    assert_eq!(get(&stranger.namespace, "").unwrap().0, 404);
}

#[test]
fn user_data_arrive_byte_for_byte() {
    let host = Host::new();
    let (address, metadata) = resident(4, MetadataOptions::default());
    let expected = metadata.user_data.clone().unwrap().0;
    let _served = Served::new(vec![(address, metadata)]);
    let guest = host.guest(&public(4, Vec::new()));
    let request = b"GET /latest/user-data HTTP/1.0\r\n\r\n";
    let (status, body) =
        guest.namespace.inside(|| converse(connect(SERVICE).unwrap(), request)).unwrap();
    assert_eq!(status, 200);
    assert!(body == expected && body.contains(&0) && body.contains(&0xff), "{} bytes", body.len());
}

#[test]
fn who_takes_a_neighbours_address_hears_nothing() {
    let host = Host::new();
    let _served = Served::new([4, 5].map(|last| resident(last, MetadataOptions::default())).into());
    let thief = host.guest(&public(4, vec![crate::guest::egress()]));
    // With the neighbour there and without: its address is its own even while it is away.
    for neighbour in [None, Some(host.guest(&public(5, Vec::new())))] {
        assert_eq!(get(&thief.namespace, ""), ok("i-0ad50004"));
        let inside = &thief.namespace;
        inside.run("ip addr add 10.213.0.5/16 dev eth0");
        inside.run("ip route replace 169.254.169.254 via 10.213.0.1 src 10.213.0.5");
        assert_eq!(get(inside, ""), None, "its address");
        inside.run("ip link set eth0 address 02:00:00:00:00:05");
        assert_eq!(get(inside, ""), None, "its address and its MAC");
        inside.run("ip link set eth0 address 02:00:00:00:00:04");
        inside.run("ip route del 169.254.169.254");
        inside.run("ip addr del 10.213.0.5/16 dev eth0");
        drop(neighbour);
    }
}

#[test]
fn a_forwarded_request_gets_no_token() {
    let host = Host::new();
    let _served = Served::new(vec![resident(4, MetadataOptions::default())]);
    let guest = host.guest(&public(4, Vec::new()));
    let forwarded = format!("{WANT_TOKEN}X-Forwarded-For: 10.213.0.4\r\n");
    let refused = ask(&guest.namespace, SERVICE, "PUT", "/latest/api/token", &forwarded);
    assert_eq!(refused.unwrap().0, 403);
    assert_eq!(token(&guest.namespace).unwrap().0, 200);
}

#[test]
fn the_service_is_found_at_its_own_address_by_guests_only() {
    let host = Host::new();
    let _served = Served::new(vec![resident(4, MetadataOptions::default())]);
    let guest = host.guest(&public(4, vec![crate::guest::egress()]));
    assert_eq!(get(&guest.namespace, ""), ok("i-0ad50004"));
    let behind = (GATEWAY, METADATA_PORT);
    assert_eq!(ask(&guest.namespace, behind, "GET", ID, ""), None, "past the redirection");
    assert_eq!(ask(&host.namespace, behind, "GET", ID, ""), None, "from the host");
}

#[test]
fn a_token_reaches_a_container_in_the_guest_only_if_the_hop_limit_lets_it() {
    let host = Host::new();
    let two_hops = MetadataOptions { hop_limit: 2, ..Default::default() };
    let _served = Served::new(vec![resident(4, MetadataOptions::default()), resident(5, two_hops)]);
    for (number, admitted) in [(4, false), (5, true)] {
        let guest = host.guest(&public(number, Vec::new()));
        let container = Namespace::new();
        let inside = &guest.namespace;
        inside.run("ip link add inner type veth peer name eth0-c");
        inside.run(&format!("ip link set eth0-c netns {}", container.path()));
        inside.run("ip addr add 172.17.0.1/24 dev inner");
        inside.run("ip link set inner up");
        container.run("ip addr add 172.17.0.2/24 dev eth0-c");
        container.run("ip link set eth0-c up");
        container.run("ip route add default via 172.17.0.1");
        inside.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        inside.run("nft add table ip nat");
        inside.run("nft add chain ip nat out { type nat hook postrouting priority 100; }");
        inside.run("nft add rule ip nat out oifname eth0 masquerade");
        assert_eq!(get(&container, "").unwrap().0, 200, "other answers travel on");
        assert_eq!(token(inside).unwrap().0, 200, "the guest itself is one hop away");
        assert_eq!(token(&container).is_some(), admitted, "guest {number}");
    }
}
