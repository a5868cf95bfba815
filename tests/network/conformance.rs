//! What both data planes promise.

use crate::guest::{Host, egress, ping, private, public};
use mallee::{
    domain::{
        id::{InstanceId, InterfaceId},
        port_filter::PortFilter,
    },
    network::{Datapath, NetworkFault, simulated::SimulatedDatapath},
};

/// `reopen` ends the process and starts another.
fn check<D>(datapath: D, reopen: impl FnOnce(D) -> Box<dyn Datapath>)
where
    D: Datapath,
{
    let instance: InstanceId = "i-12345678".parse().unwrap();
    let (one, two) = (public(4, vec![egress()]), public(5, vec![egress(), ping()]));
    let inner = private(6, "vpc-11111111", 4);

    assert_eq!(datapath.ports(), Ok(Vec::new()));
    assert_eq!(datapath.detach(&one.id), Ok(()), "detaching nothing is harmless");
    let absent = datapath.set_filter(&one.id, &PortFilter::default());
    assert_eq!(absent, Err(NetworkFault::NotAttached(one.id.clone())));

    let port = datapath.attach(&instance, &one).unwrap();
    assert_eq!((&port.interface, &port.instance), (&one.id, &instance));
    assert_eq!(datapath.attach(&instance, &one), Ok(port.clone()), "attaching twice is harmless");
    assert_eq!(datapath.ports(), Ok(vec![port.clone()]));
    assert_eq!(datapath.set_filter(&one.id, &PortFilter::default()), Ok(()));

    let mut rival = two.clone();
    rival.address = one.address;
    let taken = NetworkFault::AddressTaken { address: one.address, holder: one.id.clone() };
    assert_eq!(datapath.attach(&instance, &rival), Err(taken));
    datapath.attach(&instance, &two).unwrap();
    datapath.attach(&instance, &inner).unwrap();
    // An address is free again as soon as its interface moves or goes.
    let mut moved = one.clone();
    moved.address = public(40, Vec::new()).address;
    datapath.attach(&instance, &moved).unwrap();
    assert_eq!(datapath.sweep(), Ok(()), "what is attached is not swept");
    assert_eq!(names(&datapath), [one.id.clone(), two.id.clone(), inner.id.clone()]);

    let datapath = reopen(datapath);
    assert_eq!(names(&*datapath), [one.id.clone(), two.id.clone(), inner.id.clone()]);
    let absent = datapath.set_filter(&two.id, &PortFilter::default());
    assert_eq!(absent, Err(NetworkFault::NotAttached(two.id.clone())), "until attached again");
    let again = datapath.attach(&instance, &moved).unwrap();
    assert_eq!(again.backend, port.backend, "the tap is found again");
    // Nobody has claimed interface two, so its address can be another's.
    let mut heir = public(7, Vec::new());
    heir.address = two.address;
    datapath.attach(&instance, &heir).unwrap();
    datapath.sweep().unwrap();
    assert_eq!(names(&*datapath), [one.id.clone(), heir.id.clone()]);
    assert_eq!(datapath.detach(&heir.id), Ok(()));
    assert_eq!(datapath.detach(&heir.id), Ok(()), "detaching twice is harmless");
    assert_eq!(names(&*datapath), [one.id]);
    datapath.purge().unwrap();
    assert_eq!(datapath.ports(), Ok(Vec::new()));
    assert_eq!(datapath.purge(), Ok(()), "purging twice is harmless");
}

fn names(datapath: &dyn Datapath) -> Vec<InterfaceId> {
    let mut names: Vec<InterfaceId> =
        datapath.ports().unwrap().into_iter().map(|port| port.interface).collect();
    names.sort();
    names
}

#[test]
fn the_simulated_data_plane_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    let ports = directory.path().join("ports");
    let open = || SimulatedDatapath::kept_in(&ports).unwrap();
    check(open(), |old| {
        drop(old);
        Box::new(open())
    });
    assert!(!ports.exists(), "a purge leaves nothing");
}

#[test]
fn the_hosts_data_plane_keeps_its_promises() {
    let mut host = Host::new();
    let options = host.options();
    check(host.datapath.take().unwrap(), |old| {
        drop(old);
        Box::new(crate::guest::open(options).unwrap())
    });
}
