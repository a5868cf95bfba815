//! A launch and an end are decided as pure functions of the state.

use super::{Decide, LaunchReservation, Launched};
use crate::{
    actors::{cloud::scope, testing},
    ambient::Ambient,
    domain::{
        account::{Caller, Role},
        allocation::{AllocationName, AllocationPolicy, Offer, Share},
        capacity::Observation,
        chance::Chance,
        cloud_state::{Change, CloudState, Entry},
        draft::{Decision, Draft, Effect},
        fault::CloudFault,
        id::{InstanceId, NodeName, PrefixedId, ReservationId},
        image::Image,
        instance::{Instance, InstanceState, LifecycleEvent},
        interface::Wire,
        placement::PolicyName,
        resources::Resources,
        scope::Scope,
        settings::{CloudSettings, GroupSettings, MetaZone, ZoneChoice},
        sla::{Accounts, ErrorRate, Quota, SlaPolicies, SlaPolicy, StaleCapacity, ZoneRewrite},
        time::Timestamp,
    },
    messages::cloud::{SecurityGroupName, TerminateInstances},
};
use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const IMAGE: &str = "ami-0000000a";
const SMALL: Resources = Resources { vcpus: 1, memory_mib: 256, disk_gib: 2 };

/// A cloud of one group with two nodes, and what it has decided so far.
struct World {
    state: CloudState,
    settings: CloudSettings,
    caller: Caller,
    chance: Box<dyn Chance>,
}

impl World {
    /// `vcpus` on each node, and public addresses of a /`prefix`.
    fn new(vcpus: u32, prefix: u8) -> World {
        let mut settings = CloudSettings::for_tests();
        settings.groups[0].public_addresses = format!("198.51.100.0/{prefix}").parse().unwrap();
        let mut state = CloudState::default();
        for node in ["node-one", "node-two"] {
            let total = Resources { vcpus, memory_mib: 1 << 20, disk_gib: 1 << 20 };
            let (group, node) = ("zone-one".parse().unwrap(), node.parse().unwrap());
            state.capacity.report(&group, &node, total, Resources::NONE, Timestamp(0));
        }
        state.apply(&Change::Put(Entry::Image(Arc::new(image()))));
        let caller = Caller { account: "111111111111".parse().unwrap(), role: Role::User };
        let chance = Ambient::seeded(1, Timestamp(0)).0.chance("launch");
        World { state, settings, caller, chance }
    }

    fn try_decide<C: Decide>(&mut self, command: C) -> Result<(C::Reply, Decision), CloudFault> {
        let region = "us-east-1".parse().unwrap();
        let scope = Scope { account: self.caller.account.clone(), region };
        let (state, settings) = (&self.state, &self.settings);
        let mut draft =
            Draft::new(state, settings, &self.caller, scope, Timestamp(5), &mut *self.chance);
        scope::open(&mut draft);
        let reply = command.decide(&mut draft)?;
        Ok((reply, draft.decided()))
    }

    fn decide<C: Decide>(&mut self, command: C) -> Result<C::Reply, CloudFault> {
        let (reply, decision) = self.try_decide(command)?;
        self.state = decision.state;
        Ok(reply)
    }

    fn launch(&mut self, min: u32, max: u32) -> Result<Launched, CloudFault> {
        self.decide(LaunchReservation { min_count: min, max_count: max, ..a_launch() })
    }

    /// The node states that nothing is left of it.
    fn gone(&mut self, id: &InstanceId) {
        let mut instance = Instance::clone(self.state.instance(id).unwrap());
        instance.apply(LifecycleEvent::GuestGone, None, Timestamp(9)).unwrap();
        self.state.apply(&Change::Put(Entry::Instance(Arc::new(instance))));
    }

    fn held(&self) -> Resources {
        let group = &self.settings.groups[0].name;
        self.state.capacity.nodes_of(group).map(|(_, node)| node.held).sum()
    }

    fn free_count(&self) -> u64 {
        self.state.capacity.free_count(&self.settings.groups[0].name, SMALL)
    }

    /// What must hold while no group says otherwise.
    fn check_not_over_committed(&self) {
        for group in &self.settings.groups {
            for (node, amounts) in self.state.capacity.nodes_of(&group.name) {
                assert!(amounts.held.fits_in(amounts.total), "`{node}` is over-committed");
            }
        }
    }

    /// What must hold whatever happened.
    fn check(&self) {
        let existing: Vec<_> = self.state.instances().filter(|i| i.state.exists()).collect();
        let capacity = &self.state.capacity;
        for name in self.settings.groups.iter().map(|group| &group.name) {
            let here = || existing.iter().filter(|instance| instance.group == *name);
            let sum: Resources = here().filter_map(|instance| instance.holding()).sum();
            let held: Resources = capacity.nodes_of(name).map(|(_, node)| node.held).sum();
            assert_eq!(held, sum, "capacity is what the instances hold");
            let pending = here().filter(|instance| instance.state == InstanceState::Pending);
            let outstanding = capacity.quality(name).map(|quality| quality.outstanding.count);
            let of_nodes = capacity.nodes_of(name).map(|(_, node)| node.quality.outstanding.count);
            let counts = (outstanding.unwrap_or_default(), of_nodes.sum());
            let expected = pending.count() as u64;
            assert_eq!(counts, (expected, expected), "outstanding is what is pending");
        }
        let mut public = BTreeSet::new();
        let mut private = BTreeSet::new();
        let mut macs = BTreeSet::new();
        for interface in existing.iter().flat_map(|instance| &instance.interfaces) {
            assert!(interface.range.contains(interface.address));
            let gateways = self.settings.groups.iter().map(|group| group.gateway);
            assert!(!gateways.clone().any(|gateway| gateway == interface.address));
            let fresh = match &interface.wire {
                Wire::Public => public.insert(interface.address),
                Wire::Private(vpc) => private.insert((vpc.clone(), interface.address)),
            };
            assert!(fresh, "`{}` is given twice", interface.address);
            assert!(macs.insert(interface.mac), "`{}` is given twice", interface.mac);
        }
        assert_eq!(self.state.public_addresses.size(), public.len());
    }
}

fn a_launch() -> LaunchReservation {
    LaunchReservation::of(IMAGE.parse().unwrap())
}

fn image() -> Image {
    Image { owner: "123456789012".parse().unwrap(), ..testing::image() }
}

#[test]
fn as_many_as_fit_are_launched_up_to_the_maximum() {
    let mut world = World::new(4, 24);
    assert_eq!(world.launch(1, 3).unwrap().instances.len(), 3);
    assert_eq!(world.launch(1, 100).unwrap().instances.len(), 5);
    assert_eq!(world.free_count(), 0);
    world.check();
}

#[test]
fn without_a_zone_a_launch_goes_where_most_of_it_fits_and_then_to_the_emptiest() {
    let mut world = World::new(2, 24);
    world.settings.groups.push(GroupSettings {
        name: "zone-two".parse().unwrap(),
        public_addresses: "203.0.113.0/24".parse().unwrap(),
        gateway: "203.0.113.1".parse().unwrap(),
        placement: PolicyName::FirstFit,
    });
    let total = Resources { vcpus: 3, memory_mib: 1 << 20, disk_gib: 1 << 20 };
    let (group, node) = ("zone-two".parse().unwrap(), "node-three".parse().unwrap());
    world.state.capacity.report(&group, &node, total, Resources::NONE, Timestamp(0));
    let mut launch = |min, max| {
        let launched = world.launch(min, max)?;
        let group = world.state.instance(&launched.instances[0]).unwrap().group.to_string();
        Ok::<_, CloudFault>((group, launched.instances.len()))
    };
    let (one, two) = ("zone-one".to_owned(), "zone-two".to_owned());
    assert_eq!(launch(1, 1).unwrap(), (one.clone(), 1), "with 4 and 3 free");
    assert_eq!(launch(1, 1).unwrap(), (one.clone(), 1), "the first of equals");
    assert_eq!(launch(1, 1).unwrap(), (two.clone(), 1), "with 2 and 3 free");
    assert!(matches!(launch(3, 3), Err(CloudFault::InsufficientCapacity { available: 2, .. })));
    assert_eq!(launch(1, 9).unwrap(), (one, 2), "as many as fit");
    assert_eq!(launch(1, 9).unwrap(), (two, 2), "with nothing left in the first");
}

#[test]
fn fewer_than_the_minimum_is_a_refusal_that_leaves_nothing() {
    let mut world = World::new(4, 24);
    let refusal = world.launch(9, 9).unwrap_err();
    let CloudFault::InsufficientCapacity { wanted, available, .. } = refusal else {
        panic!("{refusal}");
    };
    assert_eq!((wanted, available), (9, 8));
    assert_eq!((world.free_count(), world.state.instances().count()), (8, 0));
    assert_eq!(world.launch(8, 8).unwrap().instances.len(), 8);
}

#[test]
fn addresses_that_run_out_above_the_minimum_make_a_smaller_launch() {
    // A /28 has sixteen, of which EC2 keeps four at the start and one at the end.
    let mut world = World::new(64, 28);
    assert_eq!(world.launch(1, 20).unwrap().instances.len(), 11);
    world.check();
    assert!(matches!(world.launch(1, 1), Err(CloudFault::AddressesExhausted(_))));
    world.check();
}

#[test]
fn counts_that_make_no_sense_are_refused() {
    let mut world = World::new(4, 24);
    for (min, max) in [(0, 1), (1, 0), (0, 0), (2, 1)] {
        let refusal = world.launch(min, max);
        assert!(matches!(refusal, Err(CloudFault::InvalidParameter(_))), "{min} {max}");
    }
}

#[test]
fn whatever_is_named_must_be_there_before_anything_is_reserved() {
    let mut world = World::new(4, 24);
    let by_id = |id: &str| SecurityGroupName::Id(id.parse().unwrap());
    let refused = [
        LaunchReservation { image: "ami-00000000".parse().unwrap(), ..a_launch() },
        LaunchReservation { kernel: Some("aki-00000000".parse().unwrap()), ..a_launch() },
        LaunchReservation { ramdisk: Some("ari-00000000".parse().unwrap()), ..a_launch() },
        LaunchReservation { kernel: Some(IMAGE.parse().unwrap()), ..a_launch() },
        LaunchReservation { instance_type: Some("z9.huge".into()), ..a_launch() },
        LaunchReservation { key_name: Some("none".into()), ..a_launch() },
        LaunchReservation { security_groups: vec![by_id("sg-00000000")], ..a_launch() },
        LaunchReservation {
            security_groups: vec![SecurityGroupName::Name("none".into())],
            ..a_launch()
        },
        LaunchReservation { zone: Some("us-east-1z".parse().unwrap()), ..a_launch() },
        LaunchReservation { subnet: Some("subnet-00000000".parse().unwrap()), ..a_launch() },
        LaunchReservation { root_gib: Some(0), ..a_launch() },
        LaunchReservation {
            instance_tags: [("aws:mine".to_owned(), String::new())].into(),
            ..a_launch()
        },
    ];
    for launch in refused {
        let text = format!("{launch:?}");
        assert!(world.decide(launch).is_err(), "{text}");
        assert_eq!(world.held(), Resources::NONE, "{text}");
    }
}

#[test]
fn everything_a_launch_changes_is_recorded_and_driven() {
    let mut world = World::new(4, 24);
    let token = Some("once".to_owned());
    let launch = LaunchReservation { max_count: 2, client_token: token, ..a_launch() };
    let (launched, decision) = world.try_decide(launch).unwrap();
    let mut replayed = world.state.clone();
    decision.changes.iter().for_each(|change| replayed.apply(change));
    for id in &launched.instances {
        let instance = replayed.instance(id).unwrap();
        assert_eq!(instance.state, InstanceState::Pending);
        assert_eq!(instance.resources, SMALL);
        assert!(decision.effects.contains(&Effect::Drive(id.clone())));
    }
    assert_eq!(world.held(), Resources::NONE, "a decision not kept has done nothing");
}

#[test]
fn a_token_repeated_gives_the_first_answer_and_with_other_parameters_a_refusal() {
    let mut world = World::new(4, 24);
    let launch = |max_count| LaunchReservation {
        max_count,
        client_token: Some("once".into()),
        ..a_launch()
    };
    let first = world.decide(launch(3)).unwrap();
    assert_eq!(world.decide(launch(3)).unwrap(), first);
    assert_eq!(world.decide(launch(2)), Err(CloudFault::IdempotentParameterMismatch));
    assert_eq!(world.state.instances().count(), 3);
}

#[test]
fn the_root_disk_is_what_was_asked_or_what_type_and_image_need() {
    let mut world = World::new(4, 24);
    let mut disk_of = |root_gib| {
        let launched = world.decide(LaunchReservation { root_gib, ..a_launch() }).unwrap();
        world.state.instance(&launched.instances[0]).unwrap().resources.disk_gib
    };
    assert_eq!((disk_of(None), disk_of(Some(1)), disk_of(Some(50))), (2, 1, 50));
}

#[derive(Debug, Clone)]
enum Step {
    Launch {
        min: u32,
        max: u32,
    },
    /// Of the instances there are, the one with this index.
    Terminate(usize),
    Gone(usize),
    /// The group says where it is.
    Placed(usize, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4u32, 0..6u32).prop_map(|(min, more)| Step::Launch { min, max: min + more }),
        (0..40usize).prop_map(Step::Terminate),
        (0..40usize).prop_map(Step::Gone),
        (0..40usize, prop_oneof![Just("node-one"), Just("node-two")])
            .prop_map(|(index, node)| Step::Placed(index, node)),
    ]
}

proptest! {
    #[test]
    fn no_address_is_given_twice_and_capacity_is_what_is_held(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        // Fewer addresses than room, so that both run out.
        let mut world = World::new(8, 28);
        for step in steps {
            let ids: Vec<_> = world.state.instances().map(|i| i.id.clone()).collect();
            let pick = |index: usize| ids.get(index % ids.len().max(1)).cloned();
            match step {
                Step::Launch { min, max } => {
                    let before = world.state.instances().count();
                    match world.launch(min, max) {
                        Ok(launched) => {
                            assert!((min..=max).contains(&(launched.instances.len() as u32)));
                        }
                        Err(CloudFault::InsufficientCapacity { .. })
                        | Err(CloudFault::AddressesExhausted(_)) => {
                            assert_eq!(world.state.instances().count(), before);
                        }
                        Err(fault) => panic!("{fault}"),
                    }
                }
                Step::Terminate(index) => {
                    let Some(id) = pick(index) else { continue };
                    world.decide(TerminateInstances { instances: vec![id] }).unwrap();
                }
                Step::Gone(index) => {
                    let Some(id) = pick(index) else { continue };
                    if world.state.instance(&id).unwrap().state == InstanceState::ShuttingDown {
                        world.gone(&id);
                    }
                }
                Step::Placed(index, node) => {
                    let Some(id) = pick(index) else { continue };
                    let mut instance = Instance::clone(world.state.instance(&id).unwrap());
                    let node: NodeName = node.parse().unwrap();
                    instance.node.get_or_insert(node);
                    world.state.apply(&Change::Put(Entry::Instance(Arc::new(instance))));
                }
            }
            world.check();
        }
    }
}

#[test]
fn launch_indices_count_within_the_reservation() {
    let mut world = World::new(4, 24);
    let launched = world.launch(3, 3).unwrap();
    let mut of: BTreeMap<ReservationId, Vec<u32>> = BTreeMap::new();
    for id in &launched.instances {
        let instance = world.state.instance(id).unwrap();
        of.entry(instance.reservation.clone()).or_default().push(instance.launch_index);
    }
    assert_eq!(of, [(launched.reservation, vec![0, 1, 2])].into());
    assert!(launched.instances.iter().all(|id| *id > InstanceId::lowest()));
}

fn under(policy: impl SlaPolicy + 'static) -> World {
    let mut world = World::new(4, 24);
    let second = GroupSettings {
        name: "zone-two".parse().unwrap(),
        public_addresses: "203.0.113.0/24".parse().unwrap(),
        gateway: "203.0.113.1".parse().unwrap(),
        placement: Default::default(),
    };
    world.settings.groups.push(second);
    let (group, node) = ("zone-two".parse().unwrap(), "node-three".parse().unwrap());
    world.state.capacity.report(&group, &node, SMALL, Resources::NONE, Timestamp(0));
    let policy: Arc<dyn SlaPolicy> = Arc::new(policy);
    world.settings.sla = [policy].into_iter().collect();
    world
}

fn quota() -> Quota {
    Quota { of: Accounts::all(), instances: None, vcpus: None, memory_mib: None }
}

#[test]
fn an_account_gets_as_much_as_its_quota_has_room_for_and_no_more() {
    for limited in [
        Quota { instances: Some(3), ..quota() },
        Quota { vcpus: Some(3), ..quota() },
        Quota { memory_mib: Some(3 * SMALL.memory_mib + 1), ..quota() },
    ] {
        let mut world = under(limited);
        assert_eq!(world.launch(1, 2).unwrap().instances.len(), 2);
        let refused = world.launch(2, 2).unwrap_err();
        assert!(matches!(refused, CloudFault::QuotaExceeded { wanted: 2, .. }), "{refused}");
        let last = world.launch(1, 5).unwrap().instances;
        assert_eq!(last.len(), 1, "what is left is granted");
        assert!(world.launch(1, 1).is_err());
        world.decide(TerminateInstances { instances: last.clone() }).unwrap();
        world.gone(&last[0]);
        assert_eq!(world.launch(1, 1).unwrap().instances.len(), 1, "what has ended counts no more");
        world.check();
    }
}

#[test]
fn a_quota_is_for_the_accounts_it_names() {
    let of = Accounts::only(vec!["222222222222".parse().unwrap()]);
    let mut world = under(Quota { of, instances: Some(0), ..quota() });
    assert_eq!(world.launch(1, 1).unwrap().instances.len(), 1);
    world.caller.account = "222222222222".parse().unwrap();
    assert!(matches!(world.launch(1, 1), Err(CloudFault::QuotaExceeded { limit: 0, .. })));
}

#[test]
fn a_launch_goes_to_the_zone_a_policy_sends_it_to() {
    let to = ZoneChoice::Group("zone-two".parse().unwrap());
    let mut world = under(ZoneRewrite { of: Accounts::all(), from: None, to });
    let id = world.launch(1, 1).unwrap().instances.remove(0);
    assert_eq!(world.state.instance(&id).unwrap().zone.as_str(), "us-east-1b");
    let asked = LaunchReservation { zone: Some("us-east-1a".parse().unwrap()), ..a_launch() };
    let id = world.decide(asked).unwrap().instances.remove(0);
    assert_eq!(world.state.instance(&id).unwrap().zone.as_str(), "us-east-1a", "it was named");
}

#[test]
fn a_repeated_launch_is_the_same_one_though_a_policy_has_changed_it() {
    let to = ZoneChoice::Group("zone-two".parse().unwrap());
    let mut world = under(ZoneRewrite { of: Accounts::all(), from: None, to });
    let asked = || LaunchReservation { client_token: Some("token".into()), ..a_launch() };
    let first = world.decide(asked()).unwrap();
    assert_eq!(world.decide(asked()).unwrap().instances, first.instances);
}

#[test]
fn a_zone_nobody_has_heard_of_lately_gets_nothing_new() {
    // The figures are of time 0, and the launch is at 5 ms.
    let mut world = under(StaleCapacity { oldest: Duration::from_millis(4) });
    let refused = world.launch(1, 1).unwrap_err();
    assert!(matches!(refused, CloudFault::StaleCapacity { .. }), "{refused}");
    let (group, node) = ("zone-one".parse().unwrap(), "node-one".parse().unwrap());
    let total = Resources { vcpus: 4, memory_mib: 1 << 20, disk_gib: 1 << 20 };
    world.state.capacity.report(&group, &node, total, Resources::NONE, Timestamp(3));
    assert_eq!(world.launch(1, 1).unwrap().instances.len(), 1);
    let asked = LaunchReservation { zone: Some("us-east-1b".parse().unwrap()), ..a_launch() };
    assert!(matches!(world.decide(asked), Err(CloudFault::StaleCapacity { .. })));
}

#[test]
fn policies_that_each_leave_a_zone_refuse_when_together_they_leave_none() {
    let mut world = of_groups(&[9, 9]);
    world.settings.sla = [
        Arc::new(StaleCapacity { oldest: Duration::from_millis(4) }) as Arc<dyn SlaPolicy>,
        Arc::new(ErrorRate { percent: 50 }),
    ]
    .into_iter()
    .collect();
    let (group, node) = ("group-1".parse().unwrap(), "node-1".parse().unwrap());
    let total = Resources { vcpus: 9, memory_mib: 1 << 20, disk_gib: 1 << 20 };
    world.state.capacity.report(&group, &node, total, Resources::NONE, Timestamp(3));
    assert_eq!(
        world.launch_in("any", 2, 2).map(|launched| world.zones_of(&launched)).unwrap(),
        "bb"
    );
    for _ in 0..9 {
        world.state.capacity.observe_group(&group, Observation::Unanswered, Timestamp(4));
    }
    let refused = world.launch_in("any", 1, 1).unwrap_err();
    assert!(matches!(refused, CloudFault::UnreliableCapacity { .. }), "{refused}");
    let refused = world.launch_in("us-east-1a", 1, 1).unwrap_err();
    assert!(matches!(refused, CloudFault::StaleCapacity { .. }), "{refused}");
}

#[test]
fn a_policy_that_shares_out_what_is_not_there_gets_no_more_than_there_is() {
    let mut world = of_groups(&[3, 4]);
    let zone = Some("any".parse().unwrap());
    let asked = LaunchReservation { zone, min_count: 1, max_count: 9, ..a_launch() };
    let region = "us-east-1".parse().unwrap();
    let scope = Scope { account: world.caller.account.clone(), region };
    let (state, settings) = (&world.state, &world.settings);
    let mut draft =
        Draft::new(state, settings, &world.caller, scope, Timestamp(5), &mut *world.chance);
    scope::open(&mut draft);
    let (resolved, mut places) = super::resolve(&asked, BTreeSet::new(), &draft).unwrap();
    places.policy = Arc::new(Generous);
    let reservation = ReservationId::random(draft.chance);
    let ids = super::reserve(&asked, &resolved, places, &reservation, &mut draft).unwrap();
    assert_eq!(ids.len(), 7);
    world.state = draft.decided().state;
    world.check();
    world.check_not_over_committed();
}

/// Knows nothing of room, or of how many are wanted.
#[derive(Debug)]
struct Generous;

impl AllocationPolicy for Generous {
    fn shares(&self, offers: &[Offer], _: u64) -> Vec<Share> {
        let open = |group: &usize| offers[*group].room.placeable > 0;
        let each = |group| [Share { group, count: 0 }, Share { group, count: 1000 }];
        (0..offers.len()).filter(open).flat_map(each).collect()
    }

    fn promise(&self) -> &'static str {
        "everything"
    }
}

/// Groups with so much free, in this order, each on one node; `any` is of them all, and so is a
/// meta-zone for each other policy, of its name.
fn of_groups(free: &[u32]) -> World {
    let mut world = World::new(0, 24);
    world.settings.groups.clear();
    for (index, vcpus) in free.iter().enumerate() {
        let name = format!("group-{index}");
        world.settings.groups.push(GroupSettings {
            name: name.parse().unwrap(),
            public_addresses: format!("198.51.{index}.0/24").parse().unwrap(),
            gateway: format!("198.51.{index}.1").parse().unwrap(),
            placement: PolicyName::FirstFit,
        });
        let total = Resources { vcpus: *vcpus, memory_mib: 1 << 20, disk_gib: 1 << 20 };
        let (group, node) = (name.parse().unwrap(), format!("node-{index}").parse().unwrap());
        world.state.capacity.report(&group, &node, total, Resources::NONE, Timestamp(0));
    }
    let groups: Vec<_> = world.settings.groups.iter().map(|group| group.name.clone()).collect();
    let meta = |name: &str, policy| MetaZone {
        name: name.parse().unwrap(),
        policy,
        groups: groups.clone(),
    };
    world.settings.meta_zones = vec![meta("any", AllocationName::EmptiestFirst)];
    let others = AllocationName::ALL.map(|policy| meta(policy.as_str(), policy));
    world.settings.meta_zones.extend(others);
    world
}

impl World {
    fn launch_in(&mut self, zone: &str, min: u32, max: u32) -> Result<Launched, CloudFault> {
        let zone = Some(zone.parse().unwrap());
        self.decide(LaunchReservation { zone, min_count: min, max_count: max, ..a_launch() })
    }

    /// The letters of the zones that a launch's instances came to.
    fn zones_of(&self, launched: &Launched) -> String {
        let zone = |id| self.state.instance(id).unwrap().zone.as_str().chars().last().unwrap();
        launched.instances.iter().map(zone).collect()
    }

    fn free(&self) -> Vec<u64> {
        let groups = self.settings.groups.iter();
        groups.map(|group| self.state.capacity.free_count(&group.name, SMALL)).collect()
    }
}

#[test]
fn any_fills_the_emptiest_group_and_overflows_to_the_next_in_one_reservation() {
    let mut world = of_groups(&[3, 4]);
    let launched = world.launch_in("any", 6, 6).unwrap();
    assert_eq!(world.zones_of(&launched), "bbbbaa");
    for (index, id) in launched.instances.iter().enumerate() {
        let instance = world.state.instance(id).unwrap();
        assert_eq!(instance.reservation, launched.reservation);
        assert_eq!(instance.launch_index as usize, index);
        let subnet = instance.interfaces[1].subnet.as_ref().unwrap();
        let subnet = &world.state.scope(&instance.scope).unwrap().subnets[subnet];
        assert_eq!(subnet.zone, instance.zone, "it is in the subnet of its own zone");
        let group = world.settings.groups.iter().find(|group| group.name == instance.group);
        assert!(group.unwrap().public_addresses.contains(instance.interfaces[0].address));
    }
    assert_eq!(world.free(), [1, 0]);
}

#[test]
fn any_below_its_minimum_runs_nothing_and_leaks_nothing() {
    let mut world = of_groups(&[3, 4]);
    let before = world.state.capacity.clone();
    let refused = world.launch_in("any", 8, 8).unwrap_err();
    let CloudFault::InsufficientCapacity { zone, wanted, available, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!((&*zone, wanted, available), ("any", 8, 7));
    assert_eq!((world.free(), world.state.instances().count()), (vec![3, 4], 0));
    assert_eq!(world.state.public_addresses.size(), 0);
    for group in &world.settings.groups {
        assert_eq!(world.state.capacity.quality(&group.name), before.quality(&group.name));
    }
    let launched = world.launch_in("any", 7, 8).unwrap();
    assert_eq!(world.zones_of(&launched), "bbbbaaa");
}

#[test]
fn every_policy_shares_a_launch_out_in_its_own_way() {
    for (policy, expected) in [
        ("emptiest-first", "cccc"),
        ("first-listed", "aabb"),
        ("balanced", "abcc"),
        ("one-zone", "cccc"),
    ] {
        let mut world = of_groups(&[2, 3, 5]);
        let launched = world.launch_in(policy, 4, 4).unwrap();
        assert_eq!(world.zones_of(&launched), expected, "{policy}");
    }
    let mut world = of_groups(&[2, 3, 5]);
    assert!(world.launch_in("one-zone", 6, 6).is_err());
    assert_eq!(world.launch_in("one-zone", 1, 6).unwrap().instances.len(), 5);
}

#[test]
fn a_launch_without_a_zone_stays_in_one_as_ec2_has_it() {
    let mut world = of_groups(&[3, 4]);
    assert!(world.launch(6, 6).is_err());
    let launched = world.launch(1, 6).unwrap();
    assert_eq!(world.zones_of(&launched), "bbbb");
}

#[test]
fn a_real_zone_never_overflows_and_an_unknown_one_is_refused() {
    let mut world = of_groups(&[3, 4]);
    let refused = world.launch_in("us-east-1a", 4, 4).unwrap_err();
    assert!(matches!(refused, CloudFault::InsufficientCapacity { available: 3, .. }), "{refused}");
    let refused = world.launch_in("anything", 1, 1).unwrap_err();
    assert!(matches!(refused, CloudFault::UnknownZone(_)), "{refused}");
}

#[test]
fn a_subnet_has_the_last_word_on_the_zone() {
    let mut world = of_groups(&[3, 4]);
    let launched = world.launch_in("us-east-1a", 1, 1).unwrap();
    let first = world.state.instance(&launched.instances[0]).unwrap();
    let subnet = first.interfaces[1].subnet.clone();
    let in_subnet = |zone: Option<&str>| LaunchReservation {
        subnet: subnet.clone(),
        zone: zone.map(|zone| zone.parse().unwrap()),
        min_count: 2,
        max_count: 9,
        ..a_launch()
    };
    let launched = world.decide(in_subnet(Some("any"))).unwrap();
    assert_eq!(world.zones_of(&launched), "aa", "though there is more room elsewhere");
    let elsewhere = world.decide(in_subnet(Some("us-east-1b"))).unwrap_err();
    assert!(matches!(elsewhere, CloudFault::InvalidParameter(_)), "{elsewhere}");
    world.settings.meta_zones[0].groups.remove(0);
    let elsewhere = world.decide(in_subnet(Some("any"))).unwrap_err();
    assert!(matches!(elsewhere, CloudFault::InvalidParameter(_)), "{elsewhere}");
}

#[test]
fn a_zone_that_runs_out_of_addresses_overflows_too_but_not_where_all_are_to_be_in_one() {
    let mut world = of_groups(&[40, 30]);
    // Eleven of sixteen.
    world.settings.groups[0].public_addresses = "198.51.0.0/28".parse().unwrap();
    let refused = world.launch_in("one-zone", 12, 20).unwrap_err();
    assert!(matches!(refused, CloudFault::AddressesExhausted(_)), "{refused}");
    assert_eq!(world.free(), [40, 30]);
    let launched = world.launch_in("any", 20, 20).unwrap();
    assert_eq!(world.zones_of(&launched), "a".repeat(11) + &"b".repeat(9));
    assert_eq!(world.free(), [29, 21]);
    let all: BTreeSet<u32> = launched
        .instances
        .iter()
        .map(|id| world.state.instance(id).unwrap().launch_index)
        .collect();
    assert_eq!(all, (0..20).collect(), "launch indices are without gaps");
}

#[test]
fn a_zone_added_since_an_account_s_first_launch_takes_part() {
    let mut world = of_groups(&[3, 4]);
    let second = world.settings.groups.pop().unwrap();
    world.launch_in("us-east-1a", 1, 1).unwrap();
    world.settings.groups.push(second);
    let launched = world.launch_in("any", 4, 4).unwrap();
    assert_eq!(world.zones_of(&launched), "bbbb");
}

#[test]
fn policies_hear_of_meta_zones_and_send_launches_there() {
    let mut world = of_groups(&[3, 4]);
    let to = ZoneChoice::MetaZone("any".parse().unwrap());
    let of = || Accounts::all();
    let into = |policies: Vec<Arc<dyn SlaPolicy>>| policies.into_iter().collect::<SlaPolicies>();
    world.settings.sla = into(vec![
        Arc::new(ZoneRewrite { of: of(), from: None, to: to.clone() }),
        Arc::new(Quota { instances: Some(6), ..quota() }),
    ]);
    let launched = world.launch(1, 9).unwrap();
    assert_eq!(world.zones_of(&launched), "bbbbaa", "six of nine, in two zones");
    let first = ZoneChoice::Group("group-0".parse().unwrap());
    world.settings.sla = into(vec![Arc::new(ZoneRewrite { of: of(), from: Some(to), to: first })]);
    let launched = world.launch_in("any", 1, 9).unwrap();
    assert_eq!(world.zones_of(&launched), "a");
}

#[test]
fn any_does_not_overflow_into_a_zone_whose_figures_are_stale() {
    let mut world = of_groups(&[3, 4]);
    let (group, node) = ("group-0".parse().unwrap(), "node-0".parse().unwrap());
    let total = Resources { vcpus: 3, memory_mib: 1 << 20, disk_gib: 1 << 20 };
    world.state.capacity.report(&group, &node, total, Resources::NONE, Timestamp(3));
    let policy: Arc<dyn SlaPolicy> = Arc::new(StaleCapacity { oldest: Duration::from_millis(4) });
    world.settings.sla = [policy].into_iter().collect();
    let launched = world.launch_in("any", 1, 6).unwrap();
    assert_eq!(world.zones_of(&launched), "aaa");
    assert!(matches!(world.launch_in("us-east-1b", 1, 1), Err(CloudFault::StaleCapacity { .. })));
    let unknown = world.launch_in("us-east-1x", 1, 1).unwrap_err();
    assert!(matches!(unknown, CloudFault::UnknownZone(_)), "it is refused as what it is");
}

#[test]
fn a_zone_that_contradicts_its_figures_too_often_gets_nothing_new_until_that_is_long_ago() {
    let mut world = of_groups(&[9, 8]);
    let policy: Arc<dyn SlaPolicy> = Arc::new(ErrorRate { percent: 50 });
    world.settings.sla = [policy].into_iter().collect();
    let launched = world.launch_in("us-east-1a", 6, 6).unwrap();
    let observe = |world: &mut World, index: usize, observation, at| {
        let id: &InstanceId = &launched.instances[index];
        world.state.capacity.observe(id, observation, Timestamp(at));
    };
    observe(&mut world, 0, Observation::Started, 4);
    for index in 1..4 {
        observe(&mut world, index, Observation::NoRoom, 4);
    }
    world.launch_in("us-east-1a", 1, 1).expect("four are too few to judge by");
    observe(&mut world, 4, Observation::Failed, 4);
    let refused = world.launch_in("us-east-1a", 1, 1).unwrap_err();
    assert!(matches!(refused, CloudFault::UnreliableCapacity { percent: 50, .. }), "{refused}");
    let elsewhere = world.launch_in("any", 1, 9).unwrap();
    assert_eq!(world.zones_of(&elsewhere), "b".repeat(8));
    // The launches are at 5 ms.
    let long_ago = 5 - 1 - 600_000;
    let mut world = of_groups(&[9, 8]);
    let id = world.launch_in("us-east-1a", 1, 1).unwrap().instances.remove(0);
    for _ in 0..9 {
        world.state.capacity.observe(&id, Observation::Failed, Timestamp(long_ago));
    }
    world.settings.sla =
        [Arc::new(ErrorRate { percent: 0 }) as Arc<dyn SlaPolicy>].into_iter().collect();
    world.launch_in("us-east-1a", 1, 1).unwrap();
}

proptest! {
    #[test]
    fn whatever_is_launched_wherever_nothing_is_over_committed_and_a_refusal_leaves_no_trace(
        free in prop::collection::vec(0..7u32, 1..5),
        steps in prop::collection::vec((0..7usize, 1..5u32, 0..9u32, 0..30usize), 1..25),
    ) {
        const NOWHERE: &str = "";
        let zones = [
            "any", "first-listed", "balanced", "one-zone", "us-east-1a", "us-east-1d", NOWHERE,
        ];
        let mut world = of_groups(&free);
        // Addresses run out in the first group before room may.
        world.settings.groups[0].public_addresses = "198.51.0.0/29".parse().unwrap();
        for (zone, min, more, ended) in steps {
            let before = (world.free(), world.state.instances().count());
            let room: u64 = before.0.iter().sum();
            let launched = match zones[zone] {
                NOWHERE => world.launch(min, min + more),
                zone => world.launch_in(zone, min, min + more),
            };
            match launched {
                Ok(launched) => {
                    let count = launched.instances.len() as u64;
                    assert!((min.into()..=(min + more).into()).contains(&count));
                    assert_eq!(world.free().iter().sum::<u64>(), room - count);
                }
                Err(_) => assert_eq!((world.free(), world.state.instances().count()), before),
            }
            world.check();
            world.check_not_over_committed();
            let ids: Vec<_> = world.state.instances().map(|i| i.id.clone()).collect();
            if let Some(id) = ids.get(ended)
                && world.decide(TerminateInstances { instances: vec![id.clone()] }).is_ok()
            {
                world.gone(id);
            }
            world.check();
        }
    }
}
