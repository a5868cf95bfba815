//! From what a user authorizes to what a port admits: rules, members and compiled filters together.

use super::testing::{BOB, TestCloud};
use crate::{
    actors::cloud::filters::{followers, members, of_groups, of_scope},
    domain::{
        instance::Instance,
        port_filter::{Direction, Packet, Payload, PortFilter},
    },
    messages::cloud::TerminateInstances,
};
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

fn filter(cloud: &TestCloud, instance: &Instance) -> PortFilter {
    let state = cloud.state();
    of_groups(state.scope(&instance.scope).unwrap(), &instance.security_groups)
}

fn admits(cloud: &TestCloud, instance: &Instance, peer: Ipv4Addr, payload: Payload) -> bool {
    let packet = Packet { direction: Direction::Ingress, peer, payload };
    let state = cloud.state();
    filter(cloud, instance).admits(packet, |group, peer| {
        let of = |scope| members(&state, scope, group).addresses.contains(&peer);
        state.scopes.keys().any(of)
    })
}

async fn launched(cloud: &TestCloud) -> Arc<Instance> {
    let id = cloud.launch(1).await.remove(0);
    cloud.state().instance(&id).unwrap().clone()
}

async fn authorize(cloud: &TestCloud, permission: &str) {
    let query = format!("GroupName=default&{permission}");
    cloud.call("AuthorizeSecurityGroupIngress", &query).await.unwrap();
}

const SSH: Payload = Payload::Tcp { port: 22 };
const ECHO: Payload = Payload::Icmp { kind: 8, code: 0 };
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[actix_web::test]
async fn members_of_the_default_group_admit_each_other_on_both_wires_and_nobody_else() {
    let cloud = TestCloud::start().await;
    let (one, other) = (launched(&cloud).await, launched(&cloud).await);
    for interface in &other.interfaces {
        assert!(admits(&cloud, &one, interface.address, SSH));
    }
    assert!(!admits(&cloud, &one, OUTSIDE, SSH));
    let out = Packet { direction: Direction::Egress, peer: OUTSIDE, payload: SSH };
    assert!(filter(&cloud, &one).admits(out, |_, _| false));
}

#[actix_web::test]
async fn icmp_of_every_type_is_icmp_only_and_every_protocol_is_everything() {
    let cloud = TestCloud::start().await;
    let one = launched(&cloud).await;
    authorize(&cloud, "IpProtocol=icmp&FromPort=-1&ToPort=-1&CidrIp=0.0.0.0/0").await;
    assert!(admits(&cloud, &one, OUTSIDE, ECHO));
    assert!(!admits(&cloud, &one, OUTSIDE, SSH));
    authorize(&cloud, "IpProtocol=-1&CidrIp=192.0.2.0/24").await;
    assert!(admits(&cloud, &one, OUTSIDE, SSH));
    assert!(admits(&cloud, &one, OUTSIDE, Payload::Other { protocol: 47 }));
    assert!(!admits(&cloud, &one, Ipv4Addr::new(192, 0, 3, 1), SSH));
}

#[actix_web::test]
async fn ipv6_rules_admit_nothing() {
    let cloud = TestCloud::start().await;
    let one = launched(&cloud).await;
    let before = filter(&cloud, &one);
    let rule = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0\
        &IpPermissions.2.IpProtocol=icmpv6&IpPermissions.2.FromPort=-1\
        &IpPermissions.2.ToPort=-1&IpPermissions.2.IpRanges.1.CidrIp=0.0.0.0/0";
    authorize(&cloud, rule).await;
    assert_eq!(filter(&cloud, &one), before);
}

#[actix_web::test]
async fn a_rule_that_names_another_account_s_group_follows_its_members() {
    let alice = TestCloud::start().await;
    let bob = alice.of(BOB);
    let (mine, theirs) = (launched(&alice).await, launched(&bob).await);
    let address = theirs.interfaces[0].address;
    assert!(!admits(&alice, &mine, address, SSH));
    let rule = format!(
        "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22\
         &IpPermissions.1.Groups.1.UserId={BOB}&IpPermissions.1.Groups.1.GroupName=default"
    );
    authorize(&alice, &rule).await;
    assert!(admits(&alice, &mine, address, SSH));
    assert!(!admits(&alice, &mine, address, ECHO));
    assert!(!admits(&bob, &theirs, mine.interfaces[0].address, SSH), "it is one way");

    // Where her ports are, it has to be known who is in his group, though he has none there.
    let zones = |of: &TestCloud, instance: &Instance| {
        followers(&of.state(), &of.scope(), &instance.security_groups[0])
    };
    let both = BTreeSet::from([mine.group.clone(), theirs.group.clone()]);
    assert_eq!(zones(&bob, &theirs), both);
    let terminate = TerminateInstances { instances: vec![theirs.id.clone()] };
    bob.exchange().await.command(terminate).await.unwrap();
    bob.settle().await;
    assert_eq!(zones(&bob, &theirs), BTreeSet::from([mine.group.clone()]));
    let terminate = TerminateInstances { instances: vec![mine.id.clone()] };
    alice.exchange().await.command(terminate).await.unwrap();
    alice.settle().await;
    assert_eq!(zones(&bob, &theirs), BTreeSet::new());
}

#[actix_web::test]
async fn a_terminated_member_is_a_peer_no_longer() {
    let cloud = TestCloud::start().await;
    let (one, other) = (launched(&cloud).await, launched(&cloud).await);
    let instances = vec![other.id.clone()];
    let terminate = TerminateInstances { instances };
    cloud.exchange().await.command(terminate).await.unwrap();
    cloud.settle().await;
    assert!(!admits(&cloud, &one, other.interfaces[0].address, SSH));
    let ports = of_scope(&cloud.state(), &cloud.scope(), &one.group);
    let interfaces: Vec<_> = ports.iter().flat_map(|assignment| &assignment.interfaces).collect();
    assert_eq!(interfaces.len(), 2, "{ports:?}");
}
