//! What the cloud promises its users when groups, nodes and disks fail, told to all three managers.

use crate::{
    actors::{
        address::{Address, AskError},
        testing::{
            Cloud, Fate, Group, Node, a_launch, fair, losing, on_behalf_of, spec, user, vcpus, wait,
        },
    },
    domain::{
        account::{Caller, Role},
        boot_phase::BootPhase,
        draft::Draft,
        fault::CloudFault,
        id::{GroupName, InstanceId},
        instance::{InstanceState, Interface, ShutdownBehavior},
        placement::PolicyName,
        port_filter::{Direction, Packet, Payload},
        resources::Resources,
        settings::CloudSettings,
        sla::{Accounts, Lifetime, SlaPolicy},
        tag::Tags,
    },
    messages::{
        cloud::{
            Commanded, CreateSecurityGroup, EvictNode, InstanceAttribute, LaunchReservation,
            ModifyInstance, RebootInstances, ReportGroup, SecurityGroupName, StartInstances,
            StopInstances, TerminateInstances,
        },
        envelope::Envelope,
        group::DescribeInstances,
        node::{DescribeNode, TerminateInstance},
        report::Heard,
    },
    store::StoreFault,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;

fn full() -> Option<StoreFault> {
    Some(StoreFault::Full("no space left".to_owned()))
}

fn stop(id: &InstanceId, force: bool) -> StopInstances {
    StopInstances { instances: vec![id.clone()], force }
}

fn terminate(id: &InstanceId) -> TerminateInstances {
    TerminateInstances { instances: vec![id.clone()] }
}

async fn until(cloud: &Cloud, id: &InstanceId, state: InstanceState) -> String {
    let instance = cloud.until(id, |instance| instance.state == state).await;
    instance.state_reason.clone().map(|reason| reason.message).unwrap_or_default()
}

fn held(cloud: &Cloud) -> u32 {
    let state = cloud.published.load();
    let group = crate::actors::testing::GROUP.parse().unwrap();
    state.capacity.nodes_of(&group).map(|(_, node)| node.held.vcpus).sum()
}

#[actix_rt::test]
async fn an_instance_lives_through_all_its_states_and_leaves_nothing() {
    let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(stop(&id, false)).await.unwrap();
    until(&cloud, &id, InstanceState::Stopped).await;
    assert_eq!(held(&cloud), 0);
    cloud.command(StartInstances { instances: vec![id.clone()] }).await.unwrap();
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(terminate(&id)).await.unwrap();
    until(&cloud, &id, InstanceState::Terminated).await;
    let node = &cloud.group.nodes[0];
    wait("it is forgotten", || async { node.instance(&id).await.is_none().then_some(()) }).await;
    assert_eq!((held(&cloud), node.leftovers()), (0, Vec::new()));
}

#[actix_rt::test]
async fn the_cloud_reserves_on_nodes_by_the_policy_of_their_group() {
    let nodes = ["n1", "n2", "n3"].map(|name| Node::start(name, 4)).into();
    let group = Group::placing(PolicyName::Spread, nodes).await;
    let unheard = losing("group.place_instances", Fate::LoseQuestion, 1000);
    let cloud = Cloud::over(group, unheard).await;
    wait("every node is heard", || async { (room(&cloud) == 12).then_some(()) }).await;
    let launched = cloud.launch(4).await;
    let state = cloud.published.load();
    let on = launched.iter().map(|id| state.capacity.holding(id).unwrap().node.to_string());
    assert_eq!(on.collect::<Vec<_>>(), ["n1", "n2", "n3", "n1"]);
}

fn room(cloud: &Cloud) -> u64 {
    let each = Resources { vcpus: 1, ..Resources::NONE };
    let group = crate::actors::testing::GROUP.parse().unwrap();
    cloud.published.load().capacity.free_count(&group, each)
}

#[actix_rt::test]
async fn a_guest_killed_from_outside_ends_stopped_with_the_reason_and_gives_its_room_back() {
    let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    assert!(cloud.group.nodes[0].hypervisor().kill_from_outside(&id));
    let why = until(&cloud, &id, InstanceState::Stopped).await;
    assert!(why.contains("the guest's emulator ended"), "{why}");
    assert_eq!(held(&cloud), 0);
}

#[actix_rt::test]
async fn a_launch_that_a_node_cannot_carry_out_ends_terminated_with_the_reason() {
    for call in ["attach", "start"] {
        let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
        cloud.group.nodes[0].hindrance.fail_next(call);
        let id = cloud.launch(1).await.remove(0);
        let why = until(&cloud, &id, InstanceState::Terminated).await;
        assert!(why.contains("told to fail"), "{why}");
        assert_eq!(held(&cloud), 0);
    }
    let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    // Of a group that no rule names, so that the node has nothing but the instance to record.
    let (name, description) = ("web".to_owned(), "web".to_owned());
    let web = CreateSecurityGroup { name: name.clone(), description, vpc: None, tags: Tags::new() };
    cloud.command(web).await.unwrap();
    let security_groups = vec![SecurityGroupName::Name(name)];
    let launch = LaunchReservation { security_groups, ..a_launch() };
    cloud.group.nodes[0].store.fail_next([full()]);
    let id = cloud.command(launch).await.unwrap().instances.remove(0);
    let why = until(&cloud, &id, InstanceState::Terminated).await;
    assert!(why.contains("disk is full"), "{why}");
    let next = cloud.launch(1).await.remove(0);
    until(&cloud, &next, InstanceState::Running).await;
}

#[actix_rt::test]
async fn a_forced_stop_that_was_lost_is_asked_again_as_a_forced_stop() {
    let mut node = Node::start("n1", 4);
    node.shutdown = Duration::from_secs(3600);
    node.restart();
    let weather = losing("group.stop_instances", Fate::LoseQuestion, 1);
    let cloud = Cloud::start_in(weather, vec![node]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(stop(&id, true)).await.unwrap();
    until(&cloud, &id, InstanceState::Stopped).await;
    assert_eq!(cloud.group.nodes[0].hindrance.begun("shut_down"), 0);
}

#[actix_rt::test]
async fn a_forced_stop_is_forced_by_a_restarted_cloud() {
    let mut node = Node::start("n1", 4);
    node.shutdown = Duration::from_secs(3600);
    node.restart();
    let weather = losing("group.stop_instances", Fate::LoseQuestion, 1000);
    let mut cloud = Cloud::start_in(weather, vec![node]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(stop(&id, false)).await.unwrap();
    cloud.command(stop(&id, true)).await.unwrap();
    cloud.restart().await;
    until(&cloud, &id, InstanceState::Stopped).await;
    assert_eq!(cloud.group.nodes[0].hindrance.begun("shut_down"), 0);
    cloud.command(StartInstances { instances: vec![id.clone()] }).await.unwrap();
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(stop(&id, false)).await.unwrap();
    let node = &cloud.group.nodes[0];
    wait("the guest is asked", || async { (node.hindrance.begun("shut_down") == 1).then_some(()) })
        .await;
}

#[actix_rt::test]
async fn an_update_acknowledged_during_a_boot_reaches_the_node_over_a_restart() {
    let weather = losing("group.update_instances", Fate::LoseQuestion, 1000);
    let mut cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
    cloud.group.nodes[0].hindrance.hold("start");
    let id = cloud.launch(1).await.remove(0);
    cloud.until(&id, |instance| instance.node.is_some()).await;
    let attribute = InstanceAttribute::ShutdownBehavior(ShutdownBehavior::Terminate);
    cloud.command(ModifyInstance { instance: id.clone(), attribute }).await.unwrap();
    cloud.restart().await;
    cloud.group.nodes[0].hindrance.release("start");
    until(&cloud, &id, InstanceState::Running).await;
    let node = &cloud.group.nodes[0];
    wait("the node has it", || async {
        cloud.clock.advance(Duration::from_millis(20));
        node.recorded(&id).filter(|spec| spec.shutdown_behavior == ShutdownBehavior::Terminate)
    })
    .await;
}

#[actix_rt::test]
async fn a_reboot_that_was_lost_is_asked_again_and_done_once() {
    let weather = losing("group.reboot_instances", Fate::LoseQuestion, 1);
    let cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(RebootInstances { instances: vec![id.clone()] }).await.unwrap();
    let node = &cloud.group.nodes[0];
    wait("the reboot", || async { (node.hindrance.begun("reboot") > 0).then_some(()) }).await;
    for _ in 0..2 {
        cloud.group.introduce(&fair()).await;
    }
    assert_eq!(node.hindrance.begun("reboot"), 1);
}

#[actix_rt::test]
async fn an_update_that_was_lost_is_told_again() {
    let weather = losing("group.update_instances", Fate::LoseQuestion, 1);
    let cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    let attribute = InstanceAttribute::ShutdownBehavior(ShutdownBehavior::Terminate);
    cloud.command(ModifyInstance { instance: id.clone(), attribute }).await.unwrap();
    let node = &cloud.group.nodes[0];
    wait("the node has it", || async {
        cloud.clock.advance(Duration::from_millis(20));
        node.recorded(&id).filter(|spec| spec.shutdown_behavior == ShutdownBehavior::Terminate)
    })
    .await;
}

/// Whether the instances' public ports let each other in.
fn admits_each_other(node: &Node, cloud: &Cloud, instances: [&InstanceId; 2]) -> bool {
    let interfaces = instances.map(|id| cloud.instance(id).interfaces[0].clone());
    let admits = |from: &Interface, to: &Interface| {
        let payload = Payload::Tcp { port: 22 };
        let packet = Packet { direction: Direction::Ingress, peer: from.address, payload };
        node.datapath().admits(&to.id, packet) == Ok(true)
    };
    let [one, other] = &interfaces;
    admits(one, other) && admits(other, one)
}

#[actix_rt::test]
async fn a_launch_changes_who_is_a_member_and_nobody_s_filter() {
    let cloud = Cloud::start(vec![Node::start("n1", 16)]).await;
    let node = &cloud.group.nodes[0];
    let first = cloud.launch(1).await.remove(0);
    until(&cloud, &first, InstanceState::Running).await;
    for _ in 0..5 {
        let next = cloud.launch(1).await.remove(0);
        until(&cloud, &next, InstanceState::Running).await;
        wait("members of one group admit each other", || async {
            admits_each_other(node, &cloud, [&first, &next]).then_some(())
        })
        .await;
    }
    assert_eq!(node.hindrance.begun("set_filter"), 0);
    let gone = cloud.instance(&first).interfaces[0].address;
    let left = cloud.launch(1).await.remove(0);
    until(&cloud, &left, InstanceState::Running).await;
    cloud.command(terminate(&first)).await.unwrap();
    let port = cloud.instance(&left).interfaces[0].id.clone();
    wait("who is gone is no member", || async {
        let payload = Payload::Tcp { port: 22 };
        let packet = Packet { direction: Direction::Ingress, peer: gone, payload };
        (node.datapath().admits(&port, packet) == Ok(false)).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn nobody_keeps_the_members_of_a_group_that_no_instance_s_rules_name_any_more() {
    let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let node = &cloud.group.nodes[0];
    let ids = cloud.launch(2).await;
    for id in &ids {
        until(&cloud, id, InstanceState::Running).await;
    }
    wait("members are told", || async { (node.knows_members_of().len() == 1).then_some(()) }).await;
    for id in &ids {
        cloud.command(terminate(id)).await.unwrap();
    }
    let emptied = || async { node.knows_members_of().is_empty().then_some(()) };
    wait("nobody is known to be a member", emptied).await;
}

#[actix_rt::test]
async fn members_are_forgotten_though_the_word_was_lost_and_the_cloud_ended() {
    let lost = losing("group.set_filters", Fate::LoseQuestion, usize::MAX);
    let mut cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let first = cloud.launch(1).await.remove(0);
    until(&cloud, &first, InstanceState::Running).await;
    let node = &cloud.group.nodes[0];
    wait("members are told", || async { (node.knows_members_of().len() == 1).then_some(()) }).await;
    cloud.restart_in(lost).await;
    cloud.command(terminate(&first)).await.unwrap();
    until(&cloud, &first, InstanceState::Terminated).await;
    assert_eq!(cloud.group.nodes[0].knows_members_of().len(), 1, "it has not been told");
    cloud.restart().await;
    let node = &cloud.group.nodes[0];
    wait("nobody is known to be a member", || async {
        cloud.clock.advance(Duration::from_millis(20));
        node.knows_members_of().is_empty().then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_boot_that_comes_late_does_not_bring_old_filters() {
    let late = Arc::new(Notify::new());
    let weather = losing("group.place_instances", Fate::Late(late.clone()), 1);
    let cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
    let first = cloud.launch(1).await.remove(0);
    let second = cloud.launch(1).await.remove(0);
    until(&cloud, &second, InstanceState::Running).await;
    late.notify_one();
    until(&cloud, &first, InstanceState::Running).await;
    let node = &cloud.group.nodes[0];
    wait("members of one group admit each other", || async {
        admits_each_other(node, &cloud, [&first, &second]).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_restarted_cloud_is_obeyed_where_an_earlier_one_set_filters() {
    let mut cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let first = cloud.launch(1).await.remove(0);
    until(&cloud, &first, InstanceState::Running).await;
    cloud.restart().await;
    let second = cloud.launch(1).await.remove(0);
    until(&cloud, &second, InstanceState::Running).await;
    let node = &cloud.group.nodes[0];
    wait("members of one group admit each other", || async {
        cloud.clock.advance(Duration::from_millis(20));
        admits_each_other(node, &cloud, [&first, &second]).then_some(())
    })
    .await;
    // Of its second start, and so newer than whatever the first has sent.
    assert_eq!(node.recorded(&second).unwrap().filters_generation >> 32, 2);
}

#[actix_rt::test]
async fn instances_of_a_node_that_was_taken_away_stay_as_they_were_and_nothing_is_granted_of_them()
{
    let mut cloud = Cloud::start(vec![Node::start("n1", 1), Node::start("n2", 1)]).await;
    let ids = cloud.launch(2).await;
    for id in &ids {
        until(&cloud, id, InstanceState::Running).await;
    }
    let on = |id: &&InstanceId, node: &str| cloud.instance(id).node == Some(node.parse().unwrap());
    let kept = ids.iter().find(|id| on(id, "n1")).unwrap().clone();
    let lost = ids.iter().find(|id| on(id, "n2")).unwrap().clone();
    let mut node = cloud.restart_without(1).await;
    let since = |cloud: &Cloud| {
        let state = cloud.published.load();
        state.out_of_reach_since(state.instance(&lost).unwrap())
    };
    wait("the cloud knows", || async { since(&cloud) }).await;
    assert_eq!(cloud.instance(&lost).state, InstanceState::Running);
    let out_of_reach = CloudFault::OutOfReach { instance: lost.clone(), node: node.name.clone() };
    let instances = || vec![kept.clone(), lost.clone()];
    for refused in [
        cloud.command(TerminateInstances { instances: instances() }).await.unwrap_err(),
        cloud.command(stop(&lost, true)).await.unwrap_err(),
        cloud.command(RebootInstances { instances: instances() }).await.unwrap_err(),
    ] {
        assert_eq!(refused, AskError::Refused(out_of_reach.clone()));
    }
    assert_eq!(cloud.instance(&kept).state, InstanceState::Running);
    // What it held is nobody's.
    assert!(matches!(
        cloud.command(a_launch()).await,
        Err(AskError::Refused(CloudFault::InsufficientCapacity { .. }))
    ));
    assert_eq!(cloud.group.free_vcpus().await, 0);
    cloud.command(terminate(&kept)).await.unwrap();
    until(&cloud, &kept, InstanceState::Terminated).await;
    // It is put back.
    node.begin();
    cloud.group.nodes.push(node);
    cloud.group.introduce(&fair()).await;
    wait("it is back", || async { since(&cloud).is_none().then_some(()) }).await;
    cloud.command(terminate(&lost)).await.unwrap();
    until(&cloud, &lost, InstanceState::Terminated).await;
}

#[actix_rt::test]
async fn what_was_asked_of_an_instance_before_its_node_was_taken_away_says_what_it_waits_for() {
    let weather = losing("group.terminate_instances", Fate::LoseQuestion, 1000);
    let mut cloud = Cloud::start_in(weather, vec![Node::start("n1", 1)]).await;
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    cloud.command(terminate(&id)).await.unwrap();
    let mut node = cloud.restart_without(0).await;
    let waits = |cloud: &Cloud| cloud.instance(&id).state_reason.clone().unwrap().message;
    wait("the reason", || async { waits(&cloud).contains("node 'n1'").then_some(()) }).await;
    assert_eq!(cloud.instance(&id).state, InstanceState::ShuttingDown);
    node.begin();
    cloud.group.nodes.push(node);
    cloud.group.introduce(&fair()).await;
    until(&cloud, &id, InstanceState::Terminated).await;
}

#[actix_rt::test]
async fn nothing_is_acknowledged_that_rests_on_what_could_not_be_recorded() {
    let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let launch = || LaunchReservation { client_token: Some("once".to_owned()), ..a_launch() };
    cloud.store.fail_next([full()]);
    let (first, repeated) = tokio::join!(cloud.command(launch()), cloud.command(launch()));
    let refused = |answer: &Result<_, _>| {
        matches!(
            answer,
            Err(AskError::Refused(CloudFault::StorageFull | CloudFault::NotRecorded(_)))
        )
    };
    assert!(refused(&first), "{first:?}");
    // A repetition decided after the failure is a launch of its own; one decided before it, on a
    // launch that is undone, must not be acknowledged.
    match &repeated {
        Ok(launched) => {
            let recorded = cloud.published.load();
            assert!(launched.instances.iter().all(|id| recorded.instance(id).is_some()));
        }
        Err(_) => assert!(refused(&repeated), "{repeated:?}"),
    }
    let id = cloud.command(launch()).await.unwrap().instances.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    assert_eq!((cloud.published.load().instances().count(), held(&cloud)), (1, 1));
}

#[actix_rt::test]
async fn a_cloud_whose_disk_fails_in_the_middle_reads_on_and_writes_on_when_the_disk_does() {
    let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let before = cloud.launch(1).await.remove(0);
    until(&cloud, &before, InstanceState::Running).await;
    let doubt = StoreFault::Unknown("the sync failed".to_owned());
    cloud.store.fail_next([Some(doubt), full(), full()]);
    let launched = cloud.command(a_launch()).await;
    assert!(matches!(launched, Err(AskError::Refused(CloudFault::InDoubt(_)))), "{launched:?}");
    for _ in 0..2 {
        let launched = cloud.command(a_launch()).await;
        let refused = matches!(launched, Err(AskError::Refused(CloudFault::StorageFull)));
        assert!(refused, "{launched:?}");
        assert_eq!(cloud.published.load().instances().count(), 1);
        assert_eq!(cloud.instance(&before).state, InstanceState::Running);
    }
    let after = cloud.launch(1).await.remove(0);
    until(&cloud, &after, InstanceState::Running).await;
    assert_eq!(held(&cloud), 2);
    let recorded = crate::actors::cloud::records::load(&*cloud.store).unwrap();
    let ids = |state: &crate::domain::cloud_state::CloudState| -> Vec<InstanceId> {
        state.instances().map(|instance| instance.id.clone()).collect()
    };
    assert_eq!(ids(&recorded), ids(&cloud.published.load()));
}

#[actix_rt::test]
async fn a_launch_in_doubt_that_a_restart_finds_recorded_is_carried_out() {
    let mut cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    cloud.store.fail_next([Some(StoreFault::Unknown("the sync failed".to_owned()))]);
    assert!(cloud.command(a_launch()).await.is_err());
    assert_eq!(cloud.published.load().instances().count(), 0);
    cloud.restart().await;
    let found: Vec<_> = cloud.published.load().instances().map(|i| i.id.clone()).collect();
    assert_eq!(found.len(), 1);
    until(&cloud, &found[0], InstanceState::Running).await;
    assert_eq!(held(&cloud), 1);
}

/// A link may carry it for so long that another process hears it.
#[actix_rt::test]
async fn a_report_from_before_an_instance_came_does_not_end_it_though_it_comes_late() {
    let mut cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
    let before = cloud.group.ask(DescribeInstances).await.unwrap().remove(0);
    let id = cloud.launch(1).await.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    // The group, which would tell the new process of its nodes, is not there.
    cloud.restart_alone();
    let late = Address::Local(cloud.addr.clone())
        .ask(on_behalf_of(user()), ReportGroup { report: before });
    assert_eq!(late.await, Ok(Heard::Taken));
    assert_eq!(cloud.instance(&id).state, InstanceState::Running);
}

#[actix_rt::test]
async fn last_words_of_an_instance_nobody_remembers_are_forgotten() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(1));
    node.boot(&spec, 1).await.unwrap();
    let instance = spec.instance.clone();
    node.ask(TerminateInstance { instance, revision: 2 }).await.unwrap();
    node.until(&spec.instance, BootPhase::Ended).await;
    let cloud = Cloud::start(vec![node]).await;
    wait("it is forgotten", || async {
        let report = cloud.group.nodes[0].ask(DescribeNode).await.unwrap();
        report.instances.is_empty().then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn room_of_an_instance_that_never_came_is_given_back_though_the_forgetting_was_lost() {
    let weather = losing("group.forget_instances", Fate::LoseQuestion, 1);
    let cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
    cloud.group.introduce(&losing("node.boot_instance", Fate::LoseQuestion, 1)).await;
    let id = cloud.launch(1).await.remove(0);
    cloud.command(terminate(&id)).await.unwrap();
    until(&cloud, &id, InstanceState::Terminated).await;
    wait("room at the group", || async { (cloud.group.free_vcpus().await == 4).then_some(()) })
        .await;
}

#[actix_rt::test]
async fn a_guest_nobody_remembers_is_ended() {
    let node = Node::start("n1", 4);
    let spec = spec(1, vcpus(1));
    node.boot(&spec, 1).await.unwrap();
    node.until(&spec.instance, BootPhase::Running).await;
    let cloud = Cloud::start(vec![node]).await;
    let node = &cloud.group.nodes[0];
    wait("it is gone", || async {
        (node.instance(&spec.instance).await.is_none() && node.leftovers().is_empty()).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_request_that_is_lost_or_comes_twice_is_carried_out_once() {
    for fate in [Fate::LoseQuestion, Fate::LoseAnswer, Fate::Twice] {
        for name in [
            "group.place_instances",
            "group.stop_instances",
            "group.terminate_instances",
            "group.forget_instances",
        ] {
            let weather = losing(name, fate.clone(), 1);
            let cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
            let id = cloud.launch(1).await.remove(0);
            until(&cloud, &id, InstanceState::Running).await;
            cloud.command(stop(&id, false)).await.unwrap();
            until(&cloud, &id, InstanceState::Stopped).await;
            cloud.command(terminate(&id)).await.unwrap();
            until(&cloud, &id, InstanceState::Terminated).await;
            let node = &cloud.group.nodes[0];
            wait("it is forgotten", || async { node.instance(&id).await.is_none().then_some(()) })
                .await;
            assert_eq!((held(&cloud), node.hindrance.begun("start")), (0, 1), "{fate:?} {name}");
        }
    }
}

#[actix_rt::test]
async fn an_instance_ends_when_its_time_is_over_though_the_cloud_was_not_there_meanwhile() {
    let granted = Duration::from_secs(60);
    let policy: Arc<dyn SlaPolicy> = Arc::new(Lifetime { of: Accounts::all(), granted });
    let settings =
        CloudSettings { sla: [policy].into_iter().collect(), ..CloudSettings::for_tests() };
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    let mut cloud = Cloud::start_with(settings, group, fair()).await;
    let protected = LaunchReservation { disable_api_termination: true, ..a_launch() };
    let id = cloud.command(protected).await.unwrap().instances.remove(0);
    until(&cloud, &id, InstanceState::Running).await;
    cloud.restart().await;
    let instance = cloud.instance(&id);
    assert_eq!(instance.state, InstanceState::Running);
    assert_eq!(instance.ends_at, Some(instance.launched_at + granted));
    cloud.clock.advance(granted);
    let why = until(&cloud, &id, InstanceState::Terminated).await;
    assert_eq!(
        why,
        "Server.ScheduledStop: the 60 seconds that this cloud grants an instance are over"
    );
    assert_eq!(held(&cloud), 0);
}

/// A policy that has heard of these groups.
#[derive(Debug, Default)]
struct Listening(Mutex<Vec<GroupName>>);

impl SlaPolicy for Listening {
    fn name(&self) -> &'static str {
        "listening"
    }

    fn capacity_changed(&self, group: &GroupName, _: &mut Draft<'_>) {
        self.0.lock().unwrap().push(group.clone());
    }
}

#[actix_rt::test]
async fn policies_hear_when_a_node_says_what_it_has() {
    let policy = Arc::new(Listening::default());
    let settings = CloudSettings {
        sla: [policy.clone() as Arc<dyn SlaPolicy>].into_iter().collect(),
        ..CloudSettings::for_tests()
    };
    let group = Group::start(vec![Node::start("n1", 4)]).await;
    let _cloud = Cloud::start_with(settings, group, fair()).await;
    let zone_one: GroupName = crate::actors::testing::GROUP.parse().unwrap();
    wait("the policy has heard", || async {
        policy.0.lock().unwrap().contains(&zone_one).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_group_that_is_slow_to_take_an_eviction_is_asked_once_and_delays_nothing_else() {
    let granted = Duration::from_secs(60);
    let policy: Arc<dyn SlaPolicy> = Arc::new(Lifetime { of: Accounts::all(), granted });
    let settings =
        CloudSettings { sla: [policy].into_iter().collect(), ..CloudSettings::for_tests() };
    let group = Group::start(vec![Node::start("n1", 1), Node::start("n2", 4)]).await;
    let (answer, asked) = (Arc::new(Notify::new()), Arc::new(Mutex::new(0)));
    let weather = {
        let (answer, asked) = (answer.clone(), asked.clone());
        Arc::new(move |envelope: &Envelope| match envelope.name.as_str() {
            "group.evict_node" => {
                *asked.lock().unwrap() += 1;
                Fate::Late(answer.clone())
            }
            _ => Fate::Deliver,
        })
    };
    let cloud = Cloud::start_with(settings, group, weather).await;
    let ids = cloud.launch(2).await;
    for id in &ids {
        until(&cloud, id, InstanceState::Running).await;
    }
    let evicted = cloud.group.nodes[0].name.clone();
    let on_it = |id: &InstanceId| cloud.instance(id).node.as_ref() == Some(&evicted);
    let (lost, kept): (Vec<_>, Vec<_>) = ids.into_iter().partition(on_it);

    let group = crate::actors::testing::GROUP.parse().unwrap();
    let administrator = Caller { account: user().account, role: Role::Administrator };
    let command = EvictNode { group, node: evicted, was_member: true };
    let region = cloud.instance(&lost[0]).scope.region.clone();
    let body = Commanded { region, dry_run: false, command };
    let manager = Address::Local(cloud.addr.clone());
    let told = manager.ask(on_behalf_of(administrator), body).await.unwrap();
    assert_eq!((told.ended, told.restarted), (lost.clone(), vec![]));
    until(&cloud, &lost[0], InstanceState::Terminated).await;

    // The group has not answered, and time goes on.
    wait("the group is asked", || async { (*asked.lock().unwrap() > 0).then_some(()) }).await;
    cloud.clock.advance(granted);
    until(&cloud, &kept[0], InstanceState::Terminated).await;
    assert_eq!(*asked.lock().unwrap(), 1);
    answer.notify_one();
    wait("the eviction is over", || async {
        cloud.published.load().evictions.is_empty().then_some(())
    })
    .await;
}
