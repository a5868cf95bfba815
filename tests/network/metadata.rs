//! 169.254.169.254 as guests see it.

use crate::guest::{GATEWAY, Host, METADATA_PORT, Namespace, public};
use mallee::{
    domain::{
        metadata::{InstanceMetadata, MetadataOptions, TokenDemand},
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

fn resident(last: u8, options: MetadataOptions) -> (Ipv4Addr, Arc<InstanceMetadata>) {
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
        user_data: None,
        services_domain: "mallee.internal".to_owned(),
        options,
    };
    (address, Arc::new(metadata))
}

/// The service, stopped when dropped.
pub struct Served(actix_web::dev::ServerHandle, Option<std::thread::JoinHandle<()>>);

impl Served {
    fn new(residents: Vec<(Ipv4Addr, Arc<InstanceMetadata>)>) -> Served {
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
    from.inside(|| {
        let patience = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(to), patience).ok()?;
        stream.set_read_timeout(Some(patience)).unwrap();
        let host = to.0;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    })
}

const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(169, 254, 169, 254), 80);
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
