//! What a node promises its group, told to a real manager over a simulated host.

use crate::{
    actors::{
        address::AskError,
        node::record::InstanceRecord,
        testing::{Node, account, asked_anew, spec, user, vcpus, wait},
    },
    domain::{
        account::{Caller, Role},
        boot_phase::BootPhase,
        id::{InstanceId, SecurityGroupId},
        instance::ShutdownBehavior,
        port_filter::{
            Cidr, Direction, GroupMembers, Packet, Payload, Peers, Permit, PortFilter, Traffic,
        },
    },
    hypervisor::{DomainEvent, Hypervisor, OffReason},
    messages::node::{
        DescribeNode, FilterAssignment, ForgetInstances, InstanceSpec, NodeFault, RebootInstance,
        SetFilters, StopInstance, TerminateInstance, UpdateInstance,
    },
    network::Datapath,
    store::{StoreFault, record::load_all},
};
use std::{net::Ipv4Addr, time::Duration};

fn stop(spec: &InstanceSpec, revision: u64) -> StopInstance {
    StopInstance { instance: spec.instance.clone(), revision, force: false }
}

fn terminate(spec: &InstanceSpec, revision: u64) -> TerminateInstance {
    TerminateInstance { instance: spec.instance.clone(), revision }
}

fn forget(spec: &InstanceSpec) -> ForgetInstances {
    ForgetInstances { instances: vec![spec.instance.clone()] }
}

fn full() -> Option<StoreFault> {
    Some(StoreFault::Full("no space left".to_owned()))
}

/// One instance, running.
async fn running(node: &Node) -> InstanceSpec {
    let spec = spec(1, vcpus(1));
    node.boot(&spec, 1).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    spec
}

async fn stopped(node: &Node) -> InstanceSpec {
    let spec = running(node).await;
    node.ask(stop(&spec, 2)).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    spec
}

async fn begun(node: &Node, call: &'static str, times: usize) {
    wait(call, || async { (node.hindrance.begun(call) >= times).then_some(()) }).await;
}

/// Until the instance's actor has been told that its guest went off.
async fn heard_off(node: &Node, id: &InstanceId) {
    let off = |event: &DomainEvent| matches!(event, DomainEvent::Off(of, _) if of == id);
    wait("an event", || async { node.heard.lock().unwrap().iter().any(off).then_some(()) }).await;
    // The event goes the way of every request: through both mailboxes, ahead of this one.
    let old = node.ask(RebootInstance { instance: id.clone(), revision: 0 }).await;
    assert_eq!(old, Err(AskError::Refused(NodeFault::Overtaken(id.clone()))));
}

fn message(report: &crate::messages::report::InstanceReport) -> String {
    report.reason.clone().expect("a reason").message
}

#[actix_rt::test]
async fn a_boot_ends_in_a_running_guest_and_a_termination_in_nothing() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    assert!(node.runs(&spec.instance));
    node.ask(terminate(&spec, 2)).await.unwrap();
    node.until(&spec.instance, BootPhase::Ended).await;
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[actix_rt::test]
async fn only_the_owner_or_an_administrator_is_obeyed_by_the_node_itself() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    let stranger = Caller { account: account('2'), role: Role::User };
    let refusal = Err(AskError::Refused(NodeFault::NotOwner(spec.instance.clone())));
    assert_eq!(node.ask_as(stranger.clone(), terminate(&spec, 2)).await, refusal);
    assert_eq!(node.ask_as(stranger.clone(), stop(&spec, 2)).await, refusal);
    let reboot = RebootInstance { instance: spec.instance.clone(), revision: 2 };
    assert_eq!(node.ask_as(stranger, reboot).await, refusal);
    assert!(node.runs(&spec.instance));
    node.ask_as(user(), stop(&spec, 2)).await.unwrap();
    let administrator = Caller { account: account('2'), role: Role::Administrator };
    node.ask_as(administrator, terminate(&spec, 3)).await.unwrap();
    node.until(&spec.instance, BootPhase::Ended).await;
}

#[actix_rt::test]
async fn of_two_racing_boots_that_need_more_than_half_one_is_accepted() {
    let node = Node::start("n1", 4);
    let (one, other) = (spec(1, vcpus(3)), spec(2, vcpus(3)));
    let answers = tokio::join!(node.boot(&one, 1), node.boot(&other, 1));
    assert!(answers.0.is_ok());
    let Err(AskError::Refused(NodeFault::InsufficientCapacity { free, .. })) = answers.1 else {
        panic!("{:?}", answers.1);
    };
    assert_eq!(free.vcpus, 1);
    node.until(&one.instance, BootPhase::Running).await;
    assert!(node.leftovers().iter().all(|name| !name.contains(&other.instance.to_string())));
}

#[actix_rt::test]
async fn of_two_racing_starts_that_need_more_than_half_one_is_accepted() {
    let node = Node::start("n1", 4);
    let (one, other) = (spec(1, vcpus(3)), spec(2, vcpus(3)));
    for spec in [&one, &other] {
        node.boot(spec, 1).await.unwrap();
        node.until(&spec.instance, BootPhase::Running).await;
        node.ask(stop(spec, 2)).await.unwrap();
        node.until(&spec.instance, BootPhase::Stopped).await;
    }
    let answers = tokio::join!(node.boot(&one, 3), node.boot(&other, 3));
    assert!(answers.0.is_ok());
    let refused =
        matches!(answers.1, Err(AskError::Refused(NodeFault::InsufficientCapacity { .. })));
    assert!(refused, "{:?}", answers.1);
    node.until(&one.instance, BootPhase::Running).await;
    let stated = node.instance(&other.instance).await.unwrap();
    assert_eq!((stated.phase, stated.held.vcpus), (BootPhase::Stopped, 0));
}

#[actix_rt::test]
async fn a_guest_killed_from_outside_ends_stopped_with_the_reason_and_is_not_started_again() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    assert!(node.hypervisor().kill_from_outside(&spec.instance));
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert!(message(&stated).contains("ended"), "{stated:?}");
    assert_eq!(stated.held.vcpus, 0);
    // The request that started it, once more: its first answer was lost.
    node.boot(&spec, 1).await.unwrap();
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert!(message(&stated).contains("ended"), "{stated:?}");
    assert!(!node.runs(&spec.instance));
    assert_eq!(node.hindrance.begun("start"), 1);
}

#[actix_rt::test]
async fn a_guest_that_dies_before_its_start_has_been_told_is_not_taken_for_running() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(1));
    node.hindrance.hold("started");
    node.boot(&spec, 1).await.unwrap();
    begun(&node, "started", 1).await;
    assert!(node.hypervisor().kill_from_outside(&spec.instance));
    heard_off(&node, &spec.instance).await;
    node.hindrance.release("started");
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert!(message(&stated).contains("ended"), "{stated:?}");
}

#[actix_rt::test]
async fn a_stale_word_of_a_guests_end_does_not_end_the_one_started_since() {
    let mut spec = spec(1, vcpus(1));
    spec.shutdown_behavior = ShutdownBehavior::Terminate;
    let node = Node::start("n1", 4);
    node.boot(&spec, 1).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    node.ask(StopInstance { force: true, ..stop(&spec, 2) }).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    node.boot(&spec, 3).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    let looked = node.hindrance.begun("listed");
    node.happen(DomainEvent::Off(spec.instance.clone(), OffReason::Shutdown));
    begun(&node, "listed", looked + 1).await;
    // Only now does it really end, and not of its own will.
    assert!(node.hypervisor().kill_from_outside(&spec.instance));
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert!(message(&stated).contains("emulator ended"), "{stated:?}");
}

#[actix_rt::test]
async fn a_word_looked_into_for_long_is_not_about_the_guest_started_meanwhile() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    let looked = node.hindrance.begun("listed");
    node.hindrance.hold("listed");
    node.hypervisor().kill_from_outside(&spec.instance);
    begun(&node, "listed", looked + 1).await;
    node.ask(StopInstance { force: true, ..stop(&spec, 2) }).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    node.boot(&spec, 3).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    node.hindrance.release("listed");
    // Behind the answer, which the guest's actor gets in between.
    node.ask(RebootInstance { instance: spec.instance.clone(), revision: 4 }).await.unwrap();
    assert_eq!(node.until(&spec.instance, BootPhase::Running).await.reason, None);
    assert!(node.runs(&spec.instance));
}

#[actix_rt::test]
async fn a_boot_that_fails_ends_with_the_reason_and_leaves_nothing() {
    for call in ["attach", "start"] {
        let node = Node::start("n1", 4);
        let spec = spec(1, vcpus(1));
        node.hindrance.fail_next(call);
        node.hindrance.hold("remove");
        node.boot(&spec, 1).await.unwrap();
        begun(&node, "remove", 1).await;
        // Asked again while it is being torn down.
        node.boot(&spec, 1).await.unwrap();
        node.hindrance.release("remove");
        let stated = node.until(&spec.instance, BootPhase::Ended).await;
        assert!(message(&stated).contains("told to fail"), "{stated:?}");
        assert_eq!(node.leftovers(), Vec::<String>::new());
    }
}

#[actix_rt::test]
async fn a_start_that_failed_is_not_tried_again_by_a_restarted_node() {
    let mut node = Node::start("n1", 4);
    let spec = stopped(&node).await;
    node.hindrance.fail_next("start");
    node.boot(&spec, 3).await.unwrap();
    begun(&node, "start", 2).await;
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert!(message(&stated).contains("told to fail"));
    node.restart();
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert!(message(&stated).contains("told to fail"), "{stated:?}");
    assert_eq!(node.hindrance.begun("attach"), 0);
}

#[actix_rt::test]
async fn a_stop_is_forced_even_while_the_guest_is_being_asked() {
    let mut node = Node::start("n1", 4);
    node.shutdown = Duration::from_secs(3600);
    node.restart();
    let spec = running(&node).await;
    node.hindrance.hold("shut_down");
    node.ask(stop(&spec, 2)).await.unwrap();
    begun(&node, "shut_down", 1).await;
    node.ask(StopInstance { force: true, ..stop(&spec, 2) }).await.unwrap();
    node.hindrance.release("shut_down");
    node.until(&spec.instance, BootPhase::Stopped).await;
}

#[actix_rt::test]
async fn a_stop_that_was_forced_is_forced_by_a_restarted_node() {
    let mut node = Node::start("n1", 4);
    node.shutdown = Duration::from_secs(3600);
    node.restart();
    let spec = running(&node).await;
    node.hindrance.hold("remove");
    node.ask(StopInstance { force: true, ..stop(&spec, 2) }).await.unwrap();
    begun(&node, "remove", 1).await;
    node.restart();
    node.until(&spec.instance, BootPhase::Stopped).await;
    assert_eq!(node.hindrance.begun("shut_down"), 0);
    // That was that stop; the next one asks the guest.
    node.boot(&spec, 3).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    node.ask(stop(&spec, 4)).await.unwrap();
    begun(&node, "shut_down", 1).await;
}

#[actix_rt::test]
async fn an_update_that_comes_while_the_ports_are_made_is_what_the_guest_hears() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(1));
    node.hindrance.hold("attach");
    node.boot(&spec, 1).await.unwrap();
    begun(&node, "attach", 1).await;
    let mut metadata = spec.metadata.clone();
    metadata.instance_type = "m1.large".to_owned();
    let (instance, shutdown_behavior) = (spec.instance.clone(), spec.shutdown_behavior);
    let (generation, elastic) = (1, Vec::new());
    let update = UpdateInstance {
        instance,
        generation,
        metadata: metadata.clone(),
        shutdown_behavior,
        elastic,
    };
    node.ask(update).await.unwrap();
    node.hindrance.release("attach");
    node.until(&spec.instance, BootPhase::Running).await;
    assert_eq!(*node.metadata(metadata.public_address.unwrap()).unwrap(), metadata);
}

#[actix_rt::test]
async fn a_termination_does_not_wait_for_the_guest() {
    let mut node = Node::start("n1", 4);
    node.shutdown = Duration::from_secs(3600);
    node.restart();
    let spec = running(&node).await;
    node.ask(stop(&spec, 2)).await.unwrap();
    begun(&node, "shut_down", 1).await;
    node.ask(terminate(&spec, 3)).await.unwrap();
    node.until(&spec.instance, BootPhase::Ended).await;
}

#[actix_rt::test]
async fn a_power_button_that_answers_late_disturbs_nothing() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.hold("shut_down");
    node.hindrance.fail_next("shut_down");
    node.ask(stop(&spec, 2)).await.unwrap();
    begun(&node, "shut_down", 1).await;
    node.hypervisor().kill_from_outside(&spec.instance);
    node.until(&spec.instance, BootPhase::Stopped).await;
    node.hindrance.hold("start");
    node.boot(&spec, 3).await.unwrap();
    begun(&node, "start", 2).await;
    node.hindrance.release("shut_down");
    // The late answer has been heard when a request behind it has.
    node.boot(&spec, 3).await.unwrap();
    node.hindrance.release("start");
    node.until(&spec.instance, BootPhase::Running).await;
    assert_eq!((node.hindrance.begun("start"), node.hindrance.begun("attach")), (2, 4));
}

/// Everybody may send everything to the ports of this instance.
fn open(spec: &InstanceSpec) -> SetFilters {
    let permit =
        Permit { direction: Direction::Ingress, traffic: Traffic::Any, peers: [Cidr::ANY].into() };
    let interfaces = spec.interfaces.iter().map(|interface| interface.id.clone()).collect();
    let filter = PortFilter { permits: vec![permit] };
    SetFilters {
        generation: 1,
        members: Vec::new(),
        assignments: vec![FilterAssignment { interfaces, filter }],
    }
}

/// Nobody may send anything to them.
fn closed(spec: &InstanceSpec) -> SetFilters {
    let mut message = open(spec);
    message.assignments[0].filter = PortFilter::default();
    message
}

fn is_open(node: &Node, spec: &InstanceSpec) -> bool {
    let interface = &spec.interfaces[0].id;
    node.datapath()
        .filter(interface)
        .is_some_and(|filter| filter == open(spec).assignments[0].filter)
}

#[actix_rt::test]
async fn a_filter_that_could_not_be_set_is_set_when_asked_again() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.fail_next("set_filter");
    assert!(matches!(node.ask(open(&spec)).await, Err(AskError::Refused(NodeFault::Failed(_)))));
    assert!(!is_open(&node, &spec));
    node.ask(open(&spec)).await.unwrap();
    assert!(is_open(&node, &spec));
}

#[actix_rt::test]
async fn a_filter_that_comes_late_does_not_replace_a_newer_one_whatever_happened_since() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    let late = |generation| SetFilters { generation, ..closed(&spec) };
    node.ask(SetFilters { generation: 7, ..open(&spec) }).await.unwrap();
    node.ask(late(6)).await.unwrap();
    assert!(is_open(&node, &spec));
    // Nor does a start that was asked before.
    node.ask(stop(&spec, 2)).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    node.restart();
    node.ask(late(6)).await.unwrap();
    node.boot(&InstanceSpec { filters_generation: 6, ..spec.clone() }, 3).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    assert!(is_open(&node, &spec));
    node.ask(late(8)).await.unwrap();
    assert!(!is_open(&node, &spec));
}

#[actix_rt::test]
async fn an_interface_that_came_while_the_guest_was_off_has_a_port_and_follows_rules_from_then_on()
{
    let node = Node::start("n1", 4);
    let mut spec = running(&node).await;
    node.ask(stop(&spec, 2)).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    let mut further = spec.interfaces[1].clone();
    further.id = "eni-0000000f".parse().unwrap();
    further.device_index = 2;
    spec.interfaces.push(further.clone());
    node.boot(&spec, 3).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    node.ask(open(&spec)).await.unwrap();
    let filter = || node.datapath().filter(&further.id);
    assert_eq!(filter(), Some(open(&spec).assignments[0].filter.clone()));
    node.ask(stop(&spec, 4)).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    assert_eq!(filter(), None);
    spec.interfaces.pop();
    node.boot(&spec, 5).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    assert_eq!(filter(), None, "it has been detached");
}

/// The ports of the instance admit members of a group, who are these.
fn admitting(spec: &InstanceSpec, generation: u64, members: &[Ipv4Addr]) -> SetFilters {
    let group: SecurityGroupId = "sg-00000001".parse().unwrap();
    let mut message = SetFilters { generation, ..open(spec) };
    message.assignments[0].filter.permits[0].peers = Peers::Members(group.clone());
    let addresses = members.iter().copied().collect();
    message.members = vec![GroupMembers { group, addresses }];
    message
}

fn admits(node: &Node, spec: &InstanceSpec, peer: Ipv4Addr) -> bool {
    let payload = Payload::Tcp { port: 22 };
    let packet = Packet { direction: Direction::Ingress, peer, payload };
    node.datapath().admits(&spec.interfaces[0].id, packet).unwrap()
}

#[actix_rt::test]
async fn members_outlive_the_process_and_late_news_of_them_is_not_believed() {
    let [one, other] = [1, 2].map(|last| Ipv4Addr::new(10, 0, 0, last));
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.ask(admitting(&spec, 7, &[one])).await.unwrap();
    assert!(admits(&node, &spec, one) && !admits(&node, &spec, other));
    node.ask(admitting(&spec, 6, &[other])).await.unwrap();
    assert!(admits(&node, &spec, one) && !admits(&node, &spec, other));
    node.restart();
    node.until(&spec.instance, BootPhase::Running).await;
    assert!(admits(&node, &spec, one) && !admits(&node, &spec, other));
    node.ask(admitting(&spec, 6, &[other])).await.unwrap();
    assert!(admits(&node, &spec, one), "nor after a restart");
    node.ask(admitting(&spec, 8, &[])).await.unwrap();
    assert!(!admits(&node, &spec, one));
    node.restart();
    node.until(&spec.instance, BootPhase::Running).await;
    assert!(!admits(&node, &spec, one));
}

#[actix_rt::test]
async fn members_that_could_not_be_set_or_recorded_are_set_when_told_again() {
    let one = Ipv4Addr::new(10, 0, 0, 1);
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.fail_next("set_members");
    let told = || admitting(&spec, 1, &[one]);
    assert!(matches!(node.ask(told()).await, Err(AskError::Refused(NodeFault::Failed(_)))));
    node.ask(told()).await.unwrap();
    assert!(admits(&node, &spec, one));
}

#[actix_rt::test]
async fn a_filter_that_comes_while_the_ports_are_made_is_in_force() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(1));
    node.hindrance.hold("attach");
    node.boot(&spec, 1).await.unwrap();
    begun(&node, "attach", 1).await;
    node.ask(open(&spec)).await.unwrap();
    node.hindrance.release("attach");
    node.until(&spec.instance, BootPhase::Running).await;
    assert!(is_open(&node, &spec));
}

#[actix_rt::test]
async fn what_cannot_be_recorded_is_refused_and_leaves_nothing() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(3));
    node.store.fail_next([full()]);
    let refused = node.boot(&spec, 1).await;
    assert!(matches!(refused, Err(AskError::Refused(NodeFault::NotRecorded(_)))), "{refused:?}");
    assert_eq!(node.instance(&spec.instance).await, None);
    assert_eq!(node.leftovers(), Vec::<String>::new());
    node.boot(&asked_anew(&spec), 1).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
}

#[actix_rt::test]
async fn a_boot_that_was_refused_is_not_granted_when_it_arrives_once_more() {
    let node = Node::start("n1", 4);
    let (first, refused) = (spec(1, vcpus(3)), spec(2, vcpus(3)));
    node.boot(&first, 1).await.unwrap();
    let answer = node.boot(&refused, 1).await;
    let full = matches!(answer, Err(AskError::Refused(NodeFault::InsufficientCapacity { .. })));
    assert!(full, "{answer:?}");
    node.ask(terminate(&first, 2)).await.unwrap();
    node.until(&first.instance, BootPhase::Ended).await;
    // Its group has asked another node meanwhile.
    let overtaken = Err(AskError::Refused(NodeFault::Overtaken(refused.instance.clone())));
    assert_eq!(node.boot(&refused, 1).await, overtaken);
    node.boot(&asked_anew(&refused), 1).await.unwrap();
}

#[actix_rt::test]
async fn a_boot_that_comes_when_its_instance_is_over_raises_nothing_over_restarts_too() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.ask(terminate(&spec, 2)).await.unwrap();
    node.until(&spec.instance, BootPhase::Ended).await;
    node.ask(forget(&spec)).await.unwrap();
    // This one was ended before its boot came at all.
    let never = self::spec(7, vcpus(1));
    let unknown = Err(AskError::Refused(NodeFault::InstanceNotFound(never.instance.clone())));
    assert_eq!(node.ask(terminate(&never, 2)).await, unknown);
    for _ in 0..2 {
        for late in [&spec, &never] {
            let overtaken = Err(AskError::Refused(NodeFault::Overtaken(late.instance.clone())));
            assert_eq!(node.boot(&asked_anew(late), 3).await, overtaken);
        }
        node.restart();
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[actix_rt::test]
async fn an_instance_terminated_while_its_start_fails_is_ended() {
    let node = Node::start("n1", 4);
    let spec = stopped(&node).await;
    node.hindrance.hold("start");
    node.hindrance.fail_next("start");
    let begun_before = node.hindrance.begun("start");
    node.boot(&spec, 3).await.unwrap();
    begun(&node, "start", begun_before + 1).await;
    node.ask(terminate(&spec, 4)).await.unwrap();
    node.hindrance.release("start");
    node.until(&spec.instance, BootPhase::Ended).await;
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[actix_rt::test]
async fn a_boot_that_may_have_been_recorded_is_not_refused_and_may_be_asked_again() {
    for killed in [false, true] {
        let mut node = Node::start("n1", 4);
        let spec = spec(1, vcpus(3));
        node.store.fail_next([Some(StoreFault::Unknown("the sync failed".to_owned())), full()]);
        let answer = node.boot(&spec, 1).await;
        assert!(matches!(answer, Err(AskError::Refused(NodeFault::InDoubt(_)))), "{answer:?}");
        let answer = node.boot(&spec, 1).await;
        let refused = matches!(answer, Err(AskError::Refused(NodeFault::NotRecorded(_))));
        assert!(refused, "{answer:?}");
        if killed {
            node.restart();
            node.until(&spec.instance, BootPhase::Running).await;
        }
        node.boot(&asked_anew(&spec), 1).await.unwrap();
        node.until(&spec.instance, BootPhase::Running).await;
        assert_eq!(node.hindrance.begun("start"), 1);
    }
}

#[actix_rt::test]
async fn where_an_instance_rests_is_recorded_once_the_disk_takes_it() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.hold("remove");
    node.ask(stop(&spec, 2)).await.unwrap();
    begun(&node, "remove", 1).await;
    node.store.fail_next([full()]);
    node.hindrance.release("remove");
    node.until(&spec.instance, BootPhase::Stopped).await;
    let commits = node.store.commits();
    wait("the record", || async { (node.store.commits() > commits).then_some(()) }).await;
    node.restart();
    assert_eq!(node.instance(&spec.instance).await.unwrap().phase, BootPhase::Stopped);
}

#[actix_rt::test]
async fn last_words_are_kept_until_they_are_erased_and_then_for_good() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    // Only what has ended is forgotten, and the asker is not to forget it either.
    let still_there = Err(AskError::Refused(NodeFault::Overtaken(spec.instance.clone())));
    assert_eq!(node.ask(forget(&spec)).await, still_there);
    assert!(node.runs(&spec.instance));
    node.ask(terminate(&spec, 2)).await.unwrap();
    node.until(&spec.instance, BootPhase::Ended).await;
    node.restart();
    node.until(&spec.instance, BootPhase::Ended).await;
    node.store.fail_next([full()]);
    assert!(matches!(node.ask(forget(&spec)).await, Err(AskError::Refused(_))));
    node.until(&spec.instance, BootPhase::Ended).await;
    node.ask(forget(&spec)).await.unwrap();
    assert_eq!(node.instance(&spec.instance).await, None);
    node.restart();
    assert_eq!(node.instance(&spec.instance).await, None);
}

fn reboot(spec: &InstanceSpec, revision: u64) -> RebootInstance {
    RebootInstance { instance: spec.instance.clone(), revision }
}

/// Until it is on record that the guest got the reboot it was to get.
async fn rebooted(node: &Node, spec: &InstanceSpec) {
    let done = || async {
        let records = load_all::<InstanceRecord>(&*node.store).unwrap();
        let due = |record: &InstanceRecord| record.reboot_due;
        let record = records.iter().find(|record| record.spec.instance == spec.instance).unwrap();
        (!due(record)).then_some(())
    };
    wait("the reboot", done).await;
}

#[actix_rt::test]
async fn a_reboot_taken_up_is_done_by_the_next_process_if_this_one_is_killed_and_then_no_more() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.hold("reboot");
    node.ask(reboot(&spec, 2)).await.unwrap();
    begun(&node, "reboot", 1).await;
    node.restart();
    begun(&node, "reboot", 1).await;
    rebooted(&node, &spec).await;
    node.ask(reboot(&spec, 2)).await.unwrap();
    assert_eq!(node.hindrance.begun("reboot"), 1, "it was that reboot");
    node.restart();
    node.until(&spec.instance, BootPhase::Running).await;
    node.ask(stop(&spec, 3)).await.unwrap();
    node.until(&spec.instance, BootPhase::Stopped).await;
    assert_eq!(node.hindrance.begun("reboot"), 0);
}

#[actix_rt::test]
async fn a_guest_stopped_before_its_reboot_was_done_is_not_rebooted_by_a_restarted_node() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.hold("reboot");
    node.hindrance.hold("remove");
    node.ask(reboot(&spec, 2)).await.unwrap();
    begun(&node, "reboot", 1).await;
    node.ask(stop(&spec, 3)).await.unwrap();
    begun(&node, "remove", 1).await;
    node.restart();
    node.until(&spec.instance, BootPhase::Stopped).await;
    node.boot(&spec, 4).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    assert_eq!(node.hindrance.begun("reboot"), 0);
}

#[actix_rt::test]
async fn a_reboot_that_could_not_be_recorded_is_refused_and_done_when_asked_again() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.store.fail_next([full()]);
    let refused = node.ask(reboot(&spec, 2)).await;
    assert!(matches!(refused, Err(AskError::Refused(NodeFault::NotRecorded(_)))), "{refused:?}");
    assert_eq!(node.hindrance.begun("reboot"), 0);
    node.ask(reboot(&spec, 2)).await.unwrap();
    begun(&node, "reboot", 1).await;
    rebooted(&node, &spec).await;
}

#[actix_rt::test]
async fn a_reboot_that_the_hypervisor_does_not_do_is_tried_again() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.hindrance.fail_next("reboot");
    node.ask(reboot(&spec, 2)).await.unwrap();
    begun(&node, "reboot", 2).await;
    rebooted(&node, &spec).await;
}

#[actix_rt::test]
async fn every_request_may_be_asked_twice_and_an_older_one_is_refused() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(3));
    let id = spec.instance.clone();
    let overtaken = || Err(AskError::Refused(NodeFault::Overtaken(id.clone())));
    for _ in 0..2 {
        node.boot(&spec, 5).await.unwrap();
        node.until(&id, BootPhase::Running).await;
    }
    assert_eq!(node.ask(stop(&spec, 4)).await, overtaken());
    for _ in 0..2 {
        node.ask(reboot(&spec, 6)).await.unwrap();
        rebooted(&node, &spec).await;
    }
    assert_eq!(node.hindrance.begun("reboot"), 1);
    assert_eq!(node.ask(stop(&spec, 5)).await, overtaken());
    for _ in 0..2 {
        node.ask(stop(&spec, 7)).await.unwrap();
        node.until(&id, BootPhase::Stopped).await;
    }
    assert_eq!(node.boot(&spec, 6).await, overtaken());
    for _ in 0..2 {
        node.boot(&spec, 8).await.unwrap();
        node.until(&id, BootPhase::Running).await;
    }
    assert_eq!(node.hindrance.begun("start"), 2);
    for _ in 0..2 {
        node.ask(terminate(&spec, 9)).await.unwrap();
        node.until(&id, BootPhase::Ended).await;
    }
    node.boot(&spec, 10).await.unwrap();
    node.until(&id, BootPhase::Ended).await;
    for _ in 0..2 {
        node.ask(forget(&spec)).await.unwrap();
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[actix_rt::test]
async fn a_node_killed_at_any_step_of_a_boot_goes_on_with_it() {
    for call in ["attach", "start", "started"] {
        let mut node = Node::start("n1", 4);
        let spec = spec(1, vcpus(3));
        node.hindrance.hold(call);
        node.boot(&spec, 1).await.unwrap();
        begun(&node, call, 1).await;
        node.restart();
        node.until(&spec.instance, BootPhase::Running).await;
        assert!(node.runs(&spec.instance), "killed at {call}");
        node.ask(terminate(&spec, 2)).await.unwrap();
        node.until(&spec.instance, BootPhase::Ended).await;
        assert_eq!(node.leftovers(), Vec::<String>::new(), "killed at {call}");
    }
}

#[actix_rt::test]
async fn a_node_killed_at_any_step_of_an_end_goes_on_with_it() {
    for (call, goal) in [
        ("shut_down", BootPhase::Stopped),
        ("remove", BootPhase::Stopped),
        ("detach", BootPhase::Stopped),
        ("remove", BootPhase::Ended),
        ("detach", BootPhase::Ended),
    ] {
        let mut node = Node::start("n1", 4);
        let spec = running(&node).await;
        node.hindrance.hold(call);
        match goal {
            BootPhase::Ended => node.ask(terminate(&spec, 2)).await.unwrap(),
            _ => node.ask(stop(&spec, 2)).await.unwrap(),
        };
        begun(&node, call, 1).await;
        node.restart();
        let stated = node.until(&spec.instance, goal).await;
        assert_eq!((stated.revision, stated.held.vcpus), (2, 0), "killed at {call}");
        assert!(!node.runs(&spec.instance));
    }
}

#[actix_rt::test]
async fn a_restarted_node_adopts_a_running_guest_and_notices_one_that_went_off() {
    let mut node = Node::start("n1", 4);
    let (one, other) = (spec(1, vcpus(1)), spec(2, vcpus(1)));
    for spec in [&one, &other] {
        node.boot(spec, 1).await.unwrap();
        node.until(&spec.instance, BootPhase::Running).await;
    }
    let before = node.ask(crate::messages::node::DescribeNode).await.unwrap().generation;
    node.hypervisor().kill_from_outside(&other.instance);
    node.restart();
    let stated = node.until(&other.instance, BootPhase::Stopped).await;
    assert!(stated.reason.is_some());
    node.until(&one.instance, BootPhase::Running).await;
    assert_eq!(node.hindrance.begun("start"), 0);
    assert_eq!(node.datapath().ports().unwrap().len(), 2);
    assert!(node.ask(crate::messages::node::DescribeNode).await.unwrap().generation > before);
}

#[actix_rt::test]
async fn ports_that_cannot_be_attached_at_a_restart_are_tried_again_and_missed_until_they_hold() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    let stray = crate::actors::testing::spec(2, vcpus(1));
    node.datapath().attach(&stray.instance, &stray.interfaces[0]).unwrap();
    node.kill();
    // At the start, and once more.
    node.hindrance.fail_next("attach");
    node.hindrance.fail_next("attach");
    node.begin();
    let stated = node.instance(&spec.instance).await.unwrap();
    assert_eq!(stated.phase, BootPhase::Running);
    assert!(stated.impairment.unwrap().contains("told to fail"));
    let ports = || node.datapath().ports().unwrap().len();
    assert_eq!(ports(), 3, "nothing is swept that a guest may need");
    node.ask(open(&spec)).await.unwrap();
    wait("the ports", || async {
        let stated = node.instance(&spec.instance).await.unwrap();
        assert_eq!(stated.phase, BootPhase::Running);
        stated.impairment.is_none().then_some(())
    })
    .await;
    assert!(is_open(&node, &spec));
    assert!(node.metadata(spec.metadata.public_address.unwrap()).is_some());
    wait("the sweeping", || async { (ports() == 2).then_some(()) }).await;
    assert_eq!(node.hindrance.begun("start"), 0);
}

#[actix_rt::test]
async fn an_instance_without_its_ports_can_be_stopped_and_is_well_when_started_again() {
    let mut node = Node::start("n1", 4);
    let spec = running(&node).await;
    node.kill();
    node.hindrance.fail_next("attach");
    node.begin();
    node.ask(stop(&spec, 2)).await.unwrap();
    let stated = node.until(&spec.instance, BootPhase::Stopped).await;
    assert_eq!(stated.impairment, None);
    assert!(node.leftovers().iter().all(|name| !name.starts_with("ports")));
    node.boot(&spec, 3).await.unwrap();
    let stated = node.until(&spec.instance, BootPhase::Running).await;
    assert_eq!(stated.impairment, None);
}

#[actix_rt::test]
async fn a_domain_that_a_crash_left_half_started_does_not_fail_the_boot() {
    let mut node = Node::start("n1", 4);
    let spec = spec(1, vcpus(1));
    node.hindrance.hold("started");
    node.boot(&spec, 1).await.unwrap();
    begun(&node, "started", 1).await;
    node.hypervisor().kill_from_outside(&spec.instance);
    node.restart();
    node.until(&spec.instance, BootPhase::Running).await;
    assert!(node.runs(&spec.instance));
}

#[actix_rt::test]
async fn a_node_says_upwards_that_its_hypervisor_is_lost_until_it_is_back() {
    let node = Node::start("n1", 4);
    let spec = running(&node).await;
    let well = node.ask(DescribeNode).await.unwrap();
    assert_eq!(well.hypervisor, "simulated");
    node.happen(DomainEvent::Disconnected);
    let lost = node.ask(DescribeNode).await.unwrap();
    assert_eq!(
        lost.hypervisor,
        "the hypervisor cannot be reached: guests that run go on, none can be started or ended \
         (simulated)"
    );
    assert!(lost.generation > well.generation, "it is news");
    assert_eq!(node.instance(&spec.instance).await.unwrap().phase, BootPhase::Running);
    node.happen(DomainEvent::Reconnected);
    let back = node.ask(DescribeNode).await.unwrap();
    assert_eq!(back.hypervisor, "simulated");
    assert!(back.generation > lost.generation);
}

#[actix_rt::test]
async fn a_guest_that_powers_itself_off_does_what_its_shutdown_behavior_says() {
    for (behavior, phase) in [
        (ShutdownBehavior::Stop, BootPhase::Stopped),
        (ShutdownBehavior::Terminate, BootPhase::Ended),
    ] {
        let node = Node::start("n1", 4);
        let mut spec = spec(1, vcpus(1));
        spec.shutdown_behavior = behavior;
        node.boot(&spec, 1).await.unwrap();
        node.until(&spec.instance, BootPhase::Running).await;
        node.hypervisor().shut_down(&spec.instance).unwrap();
        let stated = node.until(&spec.instance, phase).await;
        assert!(message(&stated).contains("Instance initiated"), "{stated:?}");
        let heard = node.heard.lock().unwrap().clone();
        assert!(heard.contains(&DomainEvent::Off(spec.instance.clone(), OffReason::Shutdown)));
    }
}
