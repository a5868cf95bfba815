//! What both data planes promise.

use crate::guest::{Host, egress, ping, private, public};
use mallee::{
    domain::{
        elastic_address::{Egress, Elastic, ElasticAssignment},
        id::{InstanceId, InterfaceId, PrefixedId},
        port_filter::PortFilter,
    },
    network::{Datapath, NetworkFault, simulated::SimulatedDatapath},
};
use std::net::Ipv4Addr;

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
    let elastic = |generation, last: Option<u8>| ElasticAssignment {
        generation,
        elastic: last.map(|last| Elastic {
            address: Ipv4Addr::new(203, 0, 113, last),
            egress: Egress::Elastic,
        }),
    };
    let absent = InterfaceId::lowest();
    let fault = Err(NetworkFault::NotAttached(absent.clone()));
    assert_eq!(datapath.set_elastic(&absent, &elastic(1, None)), fault);
    for (interface, assignment) in [
        (&one, elastic(1, None)),
        (&one, elastic(1, Some(7))),
        (&one, elastic(1, Some(7))),
        (&two, elastic(2, Some(7))),
        // It has moved, which this one is told late.
        (&one, elastic(1, Some(7))),
        (&one, elastic(2, Some(8))),
        (&two, elastic(3, None)),
        (&inner, elastic(3, Some(9))),
    ] {
        assert_eq!(datapath.set_elastic(&interface.id, &assignment), Ok(()));
    }
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
