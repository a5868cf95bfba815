//! Every policy over random histories, beside a scan of all nodes that follows the same rule.

use super::PolicyName;
use crate::domain::{
    capacity::{Capacity, Room},
    chance::Counting,
    id::{GroupName, InstanceId, NodeName, PrefixedId},
    resources::Resources,
    time::Timestamp,
};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest},
    sample::{Index, select},
};
use std::cmp::Reverse;

const NODES: usize = 12;

fn group() -> GroupName {
    "group-a".parse().unwrap()
}

fn name(number: usize) -> NodeName {
    format!("n{number}").parse().unwrap()
}

fn amount(vcpus: u32, memory_mib: u64, disk_gib: u64) -> Resources {
    Resources { vcpus, memory_mib, disk_gib }
}

/// What placement is to do, done by looking at everything.
#[derive(Debug)]
struct Scan {
    policy: PolicyName,
    /// In the order of their names: what they have, and what foreign guests hold of it.
    nodes: Vec<(NodeName, Resources, Resources)>,
    instances: Vec<(InstanceId, NodeName, Resources)>,
    last: Option<NodeName>,
}

impl Scan {
    fn free(&self) -> Vec<(NodeName, Resources, Resources)> {
        let held = |node: &NodeName| -> Resources {
            self.instances.iter().filter(|(_, on, _)| on == node).map(|(_, _, held)| *held).sum()
        };
        self.nodes
            .iter()
            .map(|(node, total, foreign)| {
                (node.clone(), *total, total.less(*foreign).less(held(node)))
            })
            .collect()
    }

    fn choose(&self, wanted: Resources, except: &[NodeName]) -> Option<NodeName> {
        let mut fits = self.free();
        fits.retain(|(node, _, free)| wanted.fits_in(*free) && !except.contains(node));
        match self.policy {
            PolicyName::FirstFit => {}
            PolicyName::RoundRobin => {
                let after = fits.iter().find(|(node, _, _)| Some(node) > self.last.as_ref());
                if let Some((node, _, _)) = after {
                    return Some(node.clone());
                }
            }
            // Stable, so equals stay in the order of their names.
            PolicyName::Spread => fits.sort_by_key(|(_, total, free)| Reverse(share(total, free))),
            PolicyName::Pack => fits.sort_by_key(|(_, total, free)| share(total, free)),
        }
        fits.first().map(|(node, _, _)| node.clone())
    }

    fn count(&self, each: Resources) -> u64 {
        self.free().iter().map(|(_, _, free)| free.count_of(each)).sum()
    }
}

/// The least free of the three, in parts finer than any two of these nodes' shares are apart.
fn share(total: &Resources, free: &Resources) -> u64 {
    let share = |free: u64, total: u64| (free * 1_000_000).checked_div(total).unwrap_or(0);
    share(free.vcpus.into(), total.vcpus.into())
        .min(share(free.memory_mib, total.memory_mib))
        .min(share(free.disk_gib, total.disk_gib))
}

#[derive(Debug, Clone)]
enum Step {
    Report(usize, Resources, Resources),
    Reserve(Resources, Vec<usize>),
    Release(Index),
    /// The group says it is elsewhere, or holds another amount.
    Hold(Index, usize, Resources),
}

fn some(vcpus: u32, memory_mib: u64, disk_gib: u64) -> impl Strategy<Value = Resources> {
    (0..=vcpus, 0..=memory_mib, 0..=disk_gib).prop_map(|(v, m, d)| amount(v, m, d))
}

fn step() -> impl Strategy<Value = Step> {
    // Some nodes have a lot of one thing and little of another, so that they fill up differently.
    let total = prop_oneof![some(16, 16, 16), some(32, 4, 8), some(4, 32, 8), some(8, 8, 2)];
    let wanted = || some(4, 4, 2);
    let except = prop::collection::vec(0..NODES, 0..3);
    prop_oneof![
        2 => (0..NODES, total, some(2, 2, 2)).prop_map(|(n, t, f)| Step::Report(n, t, f)),
        6 => (wanted(), except).prop_map(|(wanted, except)| Step::Reserve(wanted, except)),
        2 => any::<Index>().prop_map(Step::Release),
        1 => (any::<Index>(), 0..NODES, wanted()).prop_map(|(i, n, r)| Step::Hold(i, n, r)),
    ]
}

/// Runs both side by side.
fn check(policy: PolicyName, steps: Vec<Step>) -> Result<(), proptest::test_runner::TestCaseError> {
    let group = group();
    let mut capacity = Capacity::default();
    capacity.place_by(&group, policy.policy());
    let mut scan = Scan { policy, nodes: Vec::new(), instances: Vec::new(), last: None };
    let mut chance = Counting::default();
    for step in steps {
        match step {
            Step::Report(number, total, foreign) => {
                let node = name(number);
                capacity.report(&group, &node, total, foreign, Timestamp(0));
                scan.nodes.retain(|(known, ..)| *known != node);
                scan.nodes.push((node, total, foreign));
                scan.nodes.sort_by(|one, other| one.0.cmp(&other.0));
            }
            Step::Reserve(wanted, except) => {
                let except: Vec<NodeName> = except.into_iter().map(name).collect();
                let instance = InstanceId::random(&mut chance);
                let expected = scan.choose(wanted, &except);
                let chosen = capacity.reserve(&instance, &group, wanted, &except);
                prop_assert_eq!(&chosen, &expected);
                if let Some(node) = chosen {
                    scan.last = Some(node.clone());
                    scan.instances.push((instance, node, wanted));
                }
            }
            Step::Release(_) | Step::Hold(..) if scan.instances.is_empty() => {}
            Step::Release(at) => {
                let (instance, ..) = scan.instances.swap_remove(at.index(scan.instances.len()));
                capacity.release(&instance);
            }
            Step::Hold(at, number, resources) => {
                let at = at.index(scan.instances.len());
                let Some((node, ..)) = scan.nodes.get(number) else { continue };
                scan.instances[at].1 = node.clone();
                scan.instances[at].2 = resources;
                capacity.hold(&scan.instances[at].0, &group, node, resources);
            }
        }
        for (node, _, free) in scan.free() {
            prop_assert_eq!(capacity.node(&group, &node).unwrap().free(), free);
        }
        for (each, count) in [(amount(1, 1, 1), 3), (amount(2, 1, 1), 1000), (amount(1, 4, 0), 9)] {
            let room = capacity.room(&group, each, count);
            prop_assert_eq!(room.placeable, scan.count(each).min(count));
            prop_assert_eq!(capacity.free_count(&group, each), scan.count(each));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_scan_of_all_nodes_finds(
        policy in select(&PolicyName::ALL[..]),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        check(policy, steps)?;
    }
}

/// Three nodes alike, and one twice as large; what a policy gives to instances of one vcpu.
fn chosen(policy: PolicyName, count: u32) -> Vec<String> {
    let (mut capacity, group) = (Capacity::default(), group());
    for (number, vcpus) in [(1, 2), (2, 2), (3, 2), (4, 4)] {
        let total = amount(vcpus, 64, 64);
        capacity.report(&group, &name(number), total, Resources::NONE, Timestamp(0));
    }
    // Also of nodes that were there before the policy was.
    capacity.place_by(&group, policy.policy());
    let mut chance = Counting::default();
    let mut reserve =
        || capacity.reserve(&InstanceId::random(&mut chance), &group, amount(1, 1, 1), &[]);
    (0..count).map_while(|_| reserve()).map(|node| node.to_string()).collect()
}

#[test]
fn first_fit_fills_the_first_node_before_the_next() {
    assert_eq!(chosen(PolicyName::FirstFit, 5), ["n1", "n1", "n2", "n2", "n3"]);
}

#[test]
fn round_robin_goes_on_after_the_node_chosen_last_and_passes_over_full_ones() {
    let order = ["n1", "n2", "n3", "n4", "n1", "n2", "n3", "n4", "n4", "n4"];
    assert_eq!(chosen(PolicyName::RoundRobin, 11), order);
}

#[test]
fn spread_takes_the_node_of_which_most_is_free_and_the_first_of_equals() {
    let order = ["n1", "n2", "n3", "n4", "n4", "n1", "n2", "n3", "n4", "n4"];
    assert_eq!(chosen(PolicyName::Spread, 11), order);
}

#[test]
fn pack_takes_the_node_of_which_least_is_free_while_it_has_room() {
    assert_eq!(chosen(PolicyName::Pack, 6), ["n1", "n1", "n2", "n2", "n3", "n3"]);
}

#[test]
fn a_group_that_can_take_more_of_what_is_asked_for_goes_before_an_emptier_one() {
    let mut capacity = Capacity::default();
    let (scattered, whole): (GroupName, GroupName) =
        ("scattered".parse().unwrap(), "whole".parse().unwrap());
    for number in 0..9 {
        let total = amount(1, 64, 64);
        capacity.report(&scattered, &name(number), total, Resources::NONE, Timestamp(0));
    }
    capacity.report(&whole, &name(0), amount(4, 64, 64), Resources::NONE, Timestamp(0));
    let large = amount(2, 1, 1);
    assert_eq!(capacity.room(&scattered, large, 1), Room { placeable: 0, in_all: 4 });
    assert!(capacity.room(&whole, large, 1) > capacity.room(&scattered, large, 1));
    let small = amount(1, 1, 1);
    assert!(capacity.room(&whole, small, 1) < capacity.room(&scattered, small, 1));
}
