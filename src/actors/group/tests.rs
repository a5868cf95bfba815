//! What a group promises its cloud, told to a real manager over nodes that are killed and links that
//! lose.

use crate::{
    actors::{
        address::AskError,
        group::placements::Placement,
        testing::{Fate, Group, Node, fair, losing, spec, user, vcpus, wait},
    },
    domain::{boot_phase::BootPhase, id::NodeName, placement::PolicyName, resources::Resources},
    messages::{
        group::{
            DescribeInstances, DescribeResources, EvictNode, ForgetInstances, GroupFault, Outcome,
            PlaceInstances, ReportNode, StopInstances, TerminateInstances, Wanted,
        },
        node::{self, DescribeNode, InstanceSpec, NodeFault},
        report::{Heard, InstanceReport},
    },
    store::{StoreFault, record::load_all},
};

fn place(specs: &[&InstanceSpec], revision: u64) -> PlaceInstances {
    let wanted = |spec: &&InstanceSpec| Wanted { spec: (*spec).clone(), revision };
    PlaceInstances { instances: specs.iter().map(wanted).collect() }
}

fn terminate(spec: &InstanceSpec, revision: u64) -> TerminateInstances {
    TerminateInstances { instances: vec![(spec.instance.clone(), revision)] }
}

fn forget(spec: &InstanceSpec) -> ForgetInstances {
    ForgetInstances { instances: vec![spec.instance.clone()] }
}

fn full() -> Option<StoreFault> {
    Some(StoreFault::Full("no space left".to_owned()))
}

async fn outcome(group: &Group, message: PlaceInstances) -> Outcome {
    group.ask(message).await.unwrap().outcomes.remove(0).outcome
}

fn node_of(outcome: &Outcome) -> Option<&NodeName> {
    match outcome {
        Outcome::Accepted { node, .. } => Some(node),
        _ => None,
    }
}

async fn free_count(group: &Group, each: Resources) -> u64 {
    let counts = group.ask(DescribeResources { types: vec![each] }).await.unwrap();
    counts.counts[0].0
}

/// A fresh report of every node has been taken in.
async fn hear(group: &Group) {
    group.introduce(&fair()).await;
}

#[actix_rt::test]
async fn instances_go_to_the_first_node_with_room_in_the_order_of_names() {
    let nodes = ["n1", "n2", "n3"].map(|name| Node::start(name, 2)).into();
    let group = Group::start(nodes).await;
    let mut order = Vec::new();
    for number in 1..=5 {
        let placed = outcome(&group, place(&[&spec(number, vcpus(1))], 1)).await;
        order.push(node_of(&placed).unwrap().to_string());
    }
    assert_eq!(order, ["n1", "n1", "n2", "n2", "n3"]);
}

#[actix_rt::test]
async fn the_groups_policy_chooses_and_still_does_after_a_restart() {
    let nodes = ["n1", "n2", "n3"].map(|name| Node::start(name, 4)).into();
    let mut group = Group::placing(PolicyName::Spread, nodes).await;
    let mut order = Vec::new();
    for number in 1..=5 {
        if number == 3 {
            group.restart().await;
        }
        let placed = outcome(&group, place(&[&spec(number, vcpus(1))], 1)).await;
        order.push(node_of(&placed).unwrap().to_string());
    }
    assert_eq!(order, ["n1", "n2", "n3", "n1", "n2"]);
}

#[actix_rt::test]
async fn counts_are_of_simultaneous_instances_and_not_of_the_sum() {
    let group = Group::start(vec![Node::start("n1", 5), Node::start("n2", 3)]).await;
    assert_eq!(free_count(&group, vcpus(4)).await, 1);
    assert_eq!(free_count(&group, vcpus(2)).await, 3);
    outcome(&group, place(&[&spec(1, vcpus(2))], 1)).await;
    assert_eq!(free_count(&group, vcpus(2)).await, 2);
}

#[actix_rt::test]
async fn foreign_guests_are_reported_and_subtracted_and_never_touched() {
    use crate::hypervisor::Hypervisor;
    let node = Node::start("n1", 4);
    node.hypervisor().add_foreign("web", 3, 512);
    let group = Group::start(vec![node]).await;
    assert_eq!(free_count(&group, vcpus(1)).await, 1);
    assert_eq!(outcome(&group, place(&[&spec(1, vcpus(2))], 1)).await, Outcome::NoRoom);
    let reports = group.ask(DescribeInstances).await.unwrap();
    assert_eq!(reports[0].report.foreign[0].name, "web");
    let small = spec(2, vcpus(1));
    outcome(&group, place(&[&small], 1)).await;
    group.nodes[0].until(&small.instance, BootPhase::Running).await;
    group.ask(terminate(&small, 2)).await.unwrap();
    group.nodes[0].until(&small.instance, BootPhase::Ended).await;
    assert_eq!(group.nodes[0].hypervisor().domains().unwrap().len(), 1);
}

#[actix_rt::test]
async fn of_two_racing_placements_that_need_more_than_half_one_is_accepted() {
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    let (one, other) = (spec(1, vcpus(3)), spec(2, vcpus(3)));
    let (first, second) =
        tokio::join!(outcome(&group, place(&[&one], 1)), outcome(&group, place(&[&other], 1)));
    assert!(node_of(&first).is_some());
    assert_eq!(second, Outcome::NoRoom);
}

#[actix_rt::test]
async fn a_stopped_instance_whose_node_is_full_is_not_started_on_another() {
    let group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    let stopped = spec(1, vcpus(3));
    outcome(&group, place(&[&stopped], 1)).await;
    group.nodes[0].until(&stopped.instance, BootPhase::Running).await;
    let instances = vec![(stopped.instance.clone(), 2)];
    group.ask(StopInstances { instances, force: false }).await.unwrap();
    group.nodes[0].until(&stopped.instance, BootPhase::Stopped).await;
    hear(&group).await;
    let other = spec(2, vcpus(3));
    let placed = outcome(&group, place(&[&other], 1)).await;
    assert_eq!(node_of(&placed), Some(&group.nodes[0].name));
    assert_eq!(outcome(&group, place(&[&stopped], 3)).await, Outcome::NoRoom);
    assert_eq!(group.nodes[1].instance(&stopped.instance).await, None);
    group.ask(terminate(&other, 2)).await.unwrap();
    group.nodes[0].until(&other.instance, BootPhase::Ended).await;
    let started = outcome(&group, place(&[&stopped], 4)).await;
    assert_eq!(node_of(&started), Some(&group.nodes[0].name));
}

#[actix_rt::test]
async fn a_termination_does_not_overtake_the_boot_it_follows() {
    for number in 1..=20 {
        let group = Group::start(vec![Node::start("n1", 4)]).await;
        let spec = spec(number, vcpus(1));
        let (placed, ended) =
            tokio::join!(group.ask(place(&[&spec], 1)), group.ask(terminate(&spec, 2)));
        assert!(node_of(&placed.unwrap().outcomes[0].outcome).is_some());
        let outcome = ended.unwrap().outcomes.remove(0).outcome;
        assert!(node_of(&outcome).is_some(), "{outcome:?}");
        group.nodes[0].until(&spec.instance, BootPhase::Ended).await;
    }
}

#[actix_rt::test]
async fn an_instance_whose_answer_was_lost_stays_on_its_node() {
    let group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    group.introduce(&losing("node.boot_instance", Fate::LoseAnswer, 1)).await;
    let spec = spec(1, vcpus(3));
    assert_eq!(outcome(&group, place(&[&spec], 1)).await, Outcome::Unanswered);
    let again = outcome(&group, place(&[&spec], 1)).await;
    assert_eq!(node_of(&again), Some(&group.nodes[0].name));
    assert_eq!(group.nodes[1].instance(&spec.instance).await, None);
}

#[actix_rt::test]
async fn a_node_out_of_reach_is_passed_over_and_waited_for_if_no_other_has_room() {
    let group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    let (first, second) = (&group.nodes[0], &group.nodes[1]);
    group.meet(first, &losing("node.boot_instance", Fate::NoWay, 2)).await;
    group.meet(second, &fair()).await;
    let placed = outcome(&group, place(&[&spec(1, vcpus(3))], 1)).await;
    assert_eq!(node_of(&placed), Some(&second.name));
    let waiting = spec(2, vcpus(3));
    assert_eq!(outcome(&group, place(&[&waiting], 1)).await, Outcome::Unanswered);
    assert_eq!(group.free_vcpus().await, 5);
    let placed = outcome(&group, place(&[&waiting], 1)).await;
    assert_eq!(node_of(&placed), Some(&first.name));
}

#[actix_rt::test]
async fn a_node_that_is_evicted_has_no_room_and_no_say_and_its_instances_are_placed_anew() {
    let mut group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    let spec = spec(1, vcpus(3));
    let placed = outcome(&group, place(&[&spec], 1)).await;
    assert_eq!(node_of(&placed), Some(&group.nodes[0].name));
    let evict = EvictNode { node: group.nodes[0].name.clone() };
    for _ in 0..2 {
        group.ask(evict.clone()).await.unwrap();
        assert_eq!(group.free_vcpus().await, 4);
    }
    let report = group.nodes[0].ask(DescribeNode).await.unwrap();
    let refused = group.ask(ReportNode { report }).await;
    assert_eq!(refused, Err(AskError::Refused(GroupFault::UnknownNode(evict.node.clone()))));
    // Not after a restart either, and though the evicted node has the instance still.
    let evicted = group.nodes.remove(0);
    group.restart().await;
    let placed = outcome(&group, place(&[&spec], 2)).await;
    assert_eq!(node_of(&placed), Some(&group.nodes[0].name));
    assert!(evicted.runs(&spec.instance));
}

#[actix_rt::test]
async fn a_node_that_cannot_record_is_passed_over_and_the_last_one_says_why() {
    let group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    group.nodes[0].store.fail_next([full()]);
    let placed = outcome(&group, place(&[&spec(1, vcpus(1))], 1)).await;
    assert_eq!(node_of(&placed), Some(&group.nodes[1].name));
    let group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    for node in &group.nodes {
        node.store.fail_next([full()]);
    }
    let big = outcome(&group, place(&[&spec(2, vcpus(3))], 1)).await;
    let Outcome::Refused(why) = big else { panic!("{big:?}") };
    assert!(why.contains("disk is full"), "{why}");
}

#[actix_rt::test]
async fn a_node_that_may_have_recorded_an_instance_keeps_it() {
    let mut group = Group::start(vec![Node::start("n1", 4), Node::start("n2", 4)]).await;
    let doubt = StoreFault::Unknown("the sync failed".to_owned());
    group.nodes[0].store.fail_next([Some(doubt)]);
    let spec = spec(1, vcpus(3));
    assert_eq!(outcome(&group, place(&[&spec], 1)).await, Outcome::Unanswered);
    group.nodes[0].restart();
    group.nodes[0].until(&spec.instance, BootPhase::Running).await;
    group.introduce(&fair()).await;
    let again = outcome(&group, place(&[&spec], 1)).await;
    assert_eq!(node_of(&again), Some(&group.nodes[0].name));
    assert_eq!(group.nodes[1].instance(&spec.instance).await, None);
}

#[actix_rt::test]
async fn a_placement_that_cannot_be_recorded_is_refused_and_takes_no_room() {
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    group.store.fail_next([full()]);
    let spec = spec(1, vcpus(4));
    let refused = group.ask(place(&[&spec], 1)).await;
    assert!(format!("{refused:?}").contains("disk is full"), "{refused:?}");
    assert_eq!(free_count(&group, vcpus(4)).await, 1);
    assert_eq!(group.nodes[0].instance(&spec.instance).await, None);
    assert!(node_of(&outcome(&group, place(&[&spec], 1)).await).is_some());
}

#[actix_rt::test]
async fn a_node_whose_instance_cannot_be_adopted_is_asked_to_tell_of_it_again() {
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    let stranger = InstanceReport {
        instance: spec(1, vcpus(3)).instance,
        owner: user().account,
        revision: 1,
        phase: BootPhase::Running,
        reason: None,
        impairment: None,
        held: vcpus(3),
    };
    let mut report = group.nodes[0].ask(DescribeNode).await.unwrap();
    report.generation += 1;
    report.instances.push(stranger);
    group.store.fail_next([full()]);
    let refused = group.ask(ReportNode { report: report.clone() }).await;
    assert!(matches!(refused, Err(AskError::Refused(GroupFault::NotRecorded(_)))), "{refused:?}");
    assert_eq!(free_count(&group, vcpus(1)).await, 4, "what is not recorded holds nothing");
    assert_eq!(group.ask(ReportNode { report }).await, Ok(Heard::Taken));
    assert_eq!(free_count(&group, vcpus(1)).await, 1);
}

#[actix_rt::test]
async fn a_group_whose_disk_fails_in_the_middle_places_again_when_the_disk_does() {
    let mut group = Group::start(vec![Node::start("n1", 4)]).await;
    group.store.fail_next([Some(StoreFault::Unknown("the sync failed".to_owned())), full()]);
    let (doubted, spec) = (spec(1, vcpus(3)), spec(2, vcpus(3)));
    for _ in 0..2 {
        assert!(group.ask(place(&[&doubted], 1)).await.is_err());
        assert_eq!(free_count(&group, vcpus(1)).await, 4);
    }
    assert!(node_of(&outcome(&group, place(&[&spec], 1)).await).is_some());
    group.restart().await;
    assert_eq!(free_count(&group, vcpus(1)).await, 1);
    assert_eq!(load_all::<Placement>(&*group.store).unwrap().len(), 1);
}

#[actix_rt::test]
async fn room_is_given_back_when_the_node_has_forgotten_and_not_before() {
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    let spec = spec(1, vcpus(4));
    outcome(&group, place(&[&spec], 1)).await;
    group.ask(forget(&spec)).await.unwrap();
    group.nodes[0].until(&spec.instance, BootPhase::Running).await;
    hear(&group).await;
    assert_eq!(free_count(&group, vcpus(1)).await, 0);
    group.ask(terminate(&spec, 2)).await.unwrap();
    group.nodes[0].until(&spec.instance, BootPhase::Ended).await;
    for _ in 0..2 {
        group.ask(forget(&spec)).await.unwrap();
    }
    hear(&group).await;
    assert_eq!(free_count(&group, vcpus(1)).await, 4);
    let gone = group.ask(terminate(&spec, 3)).await.unwrap().outcomes.remove(0).outcome;
    assert_eq!(gone, Outcome::NotPlaced);
}

#[actix_rt::test]
async fn the_check_of_ownership_is_the_nodes_own() {
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    let spec = InstanceSpec { owner: crate::actors::testing::account('2'), ..spec(1, vcpus(1)) };
    outcome(&group, place(&[&spec], 1)).await;
    let refused = group.ask(terminate(&spec, 2)).await.unwrap().outcomes.remove(0).outcome;
    let why = NodeFault::NotOwner(spec.instance.clone()).to_string();
    assert_eq!(refused, Outcome::Refused(why));
    let read = crate::messages::group::ReadConsole { instance: spec.instance.clone() };
    assert!(matches!(
        group.ask(read).await,
        Err(crate::actors::address::AskError::Refused(GroupFault::NodeRefused { .. }))
    ));
    let own = node::DescribeNode;
    assert_eq!(group.nodes[0].ask(own).await.unwrap().instances.len(), 1);
}

/// Until the group's disk has no placement.
async fn erased(group: &Group) {
    wait("the placements are erased", || async {
        load_all::<Placement>(&*group.store).unwrap().is_empty().then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_placement_given_up_is_erased_once_the_disk_takes_it() {
    let mut group = Group::start(vec![Node::start("n1", 4)]).await;
    group.nodes[0].store.fail_next([full()]);
    group.store.fail_next([None, full(), full()]);
    let refused = outcome(&group, place(&[&spec(1, vcpus(4))], 1)).await;
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    assert_eq!(free_count(&group, vcpus(1)).await, 4);
    erased(&group).await;
    group.restart().await;
    assert_eq!(free_count(&group, vcpus(1)).await, 4);
}

#[actix_rt::test]
async fn an_erasing_tried_again_leaves_a_placement_made_since_alone() {
    let mut group = Group::start(vec![Node::start("n1", 4)]).await;
    let (kept, given_up) = (spec(1, vcpus(2)), spec(2, vcpus(2)));
    group.nodes[0].store.fail_next([full()]);
    group.store.fail_next([None, full()]);
    outcome(&group, place(&[&kept], 1)).await;
    let placed = outcome(&group, place(&[&kept], 1)).await;
    assert!(node_of(&placed).is_some(), "{placed:?}");
    // The node has counted its start, and recorded the request and where it came to rest.
    let written = || async { (group.nodes[0].store.commits() == 3).then_some(()) };
    wait("the node writes no more", written).await;
    // This one is erased, and with it whatever else is to be.
    group.nodes[0].store.fail_next([full()]);
    outcome(&group, place(&[&given_up], 1)).await;
    group.restart().await;
    assert_eq!(free_count(&group, vcpus(1)).await, 2);
}
