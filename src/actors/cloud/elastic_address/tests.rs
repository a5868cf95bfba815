//! Elastic addresses from the cloud to the wires, on nodes that simulate their guests.

use crate::{
    actors::address::AskError,
    actors::testing::{Cloud, Fate, Node, losing, wait},
    domain::{
        elastic_address::{AddressDomain, AddressFault},
        id::{AllocationId, AssociationId, InstanceId},
        instance::{Instance, InstanceState, Interface},
        interface::Wire,
    },
    messages::cloud::{
        StartInstances, StopInstances, TerminateInstances,
        elastic_address::{
            AddressName, AddressTarget, AllocateAddress, Allocated, AssociateAddress,
            DisassociateAddress, Reassociation, ReleaseAddress,
        },
    },
};
use std::net::Ipv4Addr;

async fn allocate(cloud: &Cloud) -> Allocated {
    let (domain, address, tags) = (AddressDomain::Vpc, None, Default::default());
    cloud.command(AllocateAddress { domain, address, tags }).await.unwrap()
}

async fn associate(cloud: &Cloud, address: &AllocationId, with: &InstanceId) -> AssociationId {
    let command = AssociateAddress {
        address: AddressName::Allocation(address.clone()),
        target: AddressTarget::Instance(with.clone()),
        private_address: None,
        reassociation: Reassociation::Allowed,
    };
    cloud.command(command).await.unwrap().id
}

async fn running(cloud: &Cloud) -> InstanceId {
    let id = cloud.launch(1).await.remove(0);
    cloud.until(&id, |instance| instance.state == InstanceState::Running).await;
    id
}

fn instance(cloud: &Cloud, id: &InstanceId) -> Instance {
    Instance::clone(cloud.published.load().instance(id).unwrap())
}

fn public(cloud: &Cloud, id: &InstanceId) -> Interface {
    instance(cloud, id).public_interface().unwrap().clone()
}

/// On some node's wires, the address leads to this instance and to no other.
async fn leads_to(cloud: &Cloud, address: Ipv4Addr, id: &InstanceId) {
    let interface = public(cloud, id).id;
    wait("the address leads to the instance", || async {
        let holders: Vec<_> =
            cloud.group.nodes.iter().filter_map(|node| node.datapath().behind(address)).collect();
        (holders == [interface.clone()]).then_some(())
    })
    .await;
}

async fn leads_nowhere(cloud: &Cloud, address: Ipv4Addr) {
    wait("the address leads nowhere", || async {
        let held = cloud.group.nodes.iter().any(|node| node.datapath().behind(address).is_some());
        (!held).then_some(())
    })
    .await;
}

/// What the guest hears of itself.
async fn hears(cloud: &Cloud, id: &InstanceId, address: Ipv4Addr) {
    let own = public(cloud, id).address;
    wait("the guest hears of its address", || async {
        let heard = cloud.group.nodes.iter().find_map(|node| node.metadata(own));
        heard.filter(|heard| heard.public_address == Some(address)).map(|_| ())
    })
    .await;
}

#[actix_rt::test]
async fn an_address_moves_between_hosts_without_a_boot() {
    let cloud = Cloud::start(vec![Node::start("n1", 1), Node::start("n2", 1)]).await;
    let (one, two) = (running(&cloud).await, running(&cloud).await);
    let revisions = || [&one, &two].map(|id| instance(&cloud, id).revision);
    let before = revisions();
    let Allocated { id, address } = allocate(&cloud).await;
    associate(&cloud, &id, &one).await;
    leads_to(&cloud, address, &one).await;
    hears(&cloud, &one, address).await;
    associate(&cloud, &id, &two).await;
    leads_to(&cloud, address, &two).await;
    hears(&cloud, &two, address).await;
    hears(&cloud, &one, public(&cloud, &one).address).await;
    assert_eq!(revisions(), before, "nothing was asked of the guests");
    let shown = DisassociateAddress::Address(address);
    cloud.command(shown).await.unwrap();
    leads_nowhere(&cloud, address).await;
    hears(&cloud, &two, public(&cloud, &two).address).await;
}

#[actix_rt::test]
async fn an_address_outlives_a_stop_and_goes_free_with_the_instance() {
    let cloud = Cloud::start(vec![Node::start("n1", 2)]).await;
    let one = running(&cloud).await;
    let Allocated { id, address } = allocate(&cloud).await;
    associate(&cloud, &id, &one).await;
    leads_to(&cloud, address, &one).await;
    cloud.command(StopInstances { instances: vec![one.clone()], force: true }).await.unwrap();
    cloud.until(&one, |instance| instance.state == InstanceState::Stopped).await;
    leads_nowhere(&cloud, address).await;
    cloud.command(StartInstances { instances: vec![one.clone()] }).await.unwrap();
    leads_to(&cloud, address, &one).await;
    hears(&cloud, &one, address).await;
    let release = ReleaseAddress { address: AddressName::Allocation(id) };
    let refused = cloud.command(release.clone()).await.unwrap_err();
    assert_eq!(refused, AskError::Refused(AddressFault::InUse(address).into()));
    cloud.command(TerminateInstances { instances: vec![one.clone()] }).await.unwrap();
    cloud.until(&one, |instance| instance.state == InstanceState::Terminated).await;
    leads_nowhere(&cloud, address).await;
    cloud.command(release).await.unwrap();
    assert!(cloud.published.load().elastic_addresses.is_empty());
}

#[actix_rt::test]
async fn a_telling_that_is_lost_or_fails_is_repeated() {
    let weather = losing("group.update_instances", Fate::LoseQuestion, 1);
    let cloud = Cloud::start_in(weather, vec![Node::start("n1", 2)]).await;
    let one = running(&cloud).await;
    cloud.group.nodes[0].hindrance.fail_next("set_elastic");
    let Allocated { id, address } = allocate(&cloud).await;
    associate(&cloud, &id, &one).await;
    for _ in 0..2 {
        // Nothing is told again before its time has come.
        wait("it was tried", || async {
            cloud.clock.advance(std::time::Duration::from_secs(11));
            (cloud.group.nodes[0].hindrance.begun("set_elastic") > 0).then_some(())
        })
        .await;
    }
    wait("the address leads to the instance", || async {
        cloud.clock.advance(std::time::Duration::from_secs(11));
        cloud.group.nodes[0].datapath().behind(address)
    })
    .await;
}

#[actix_rt::test]
async fn members_of_a_security_group_are_known_by_their_elastic_addresses_too() {
    let cloud = Cloud::start(vec![Node::start("n1", 2)]).await;
    let one = running(&cloud).await;
    let Allocated { id, address } = allocate(&cloud).await;
    let members = || {
        let state = cloud.published.load();
        let instance = state.instance(&one).unwrap().clone();
        let group = instance.security_groups[0].clone();
        crate::actors::cloud::filters::members(&state, &instance.scope, &group).addresses
    };
    assert!(!members().contains(&address));
    associate(&cloud, &id, &one).await;
    assert!(members().contains(&address));
    assert!(members().contains(&public(&cloud, &one).address));
    cloud.command(DisassociateAddress::Address(address)).await.unwrap();
    assert!(!members().contains(&address));
}

#[actix_rt::test]
async fn instances_get_no_address_of_the_pool_by_themselves() {
    let cloud = Cloud::start(vec![Node::start("n1", 64)]).await;
    let ids = cloud.launch(40).await;
    let pool = "198.51.100.240/28".parse::<crate::domain::port_filter::Cidr>().unwrap();
    for id in ids {
        let interfaces = instance(&cloud, &id).interfaces;
        let public = interfaces.iter().find(|interface| interface.wire == Wire::Public).unwrap();
        assert!(!pool.contains(public.address));
    }
}
