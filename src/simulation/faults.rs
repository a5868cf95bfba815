//! What goes wrong, in an order of the seed's: managers are killed, links cut, hosts slow, disks
//! faulty, guests and machines lost. All but the loss of a machine heals by itself after a while.

use super::{
    carrier::{Place, Weather},
    chronicle::Chronicle,
    cloud::SimulatedCloud,
    dice::Dice,
};
use crate::{domain::id::NodeName, store::StoreFault};
use std::collections::BTreeMap;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Faults {
    dice: Dice,
    chronicle: Chronicle,
    /// What heals, when, in the order in which it was broken.
    due: BTreeMap<(Instant, usize), Healing>,
    count: usize,
    /// How many machines may be lost for good.
    losses_left: usize,
}

#[derive(Debug)]
enum Healing {
    Begin(Place),
    Mend(Place, Place),
    SpeedUp(NodeName),
}

impl Faults {
    pub fn new(seed: u64, losses: usize, chronicle: Chronicle) -> Faults {
        let dice = Dice::new(seed, "faults");
        Faults { dice, chronicle, due: BTreeMap::new(), count: 0, losses_left: losses }
    }

    /// Something goes wrong.
    pub fn strike(&mut self, cloud: &mut SimulatedCloud) {
        self.count += 1;
        match self.dice.below(100) {
            0..22 => self.kill(cloud),
            22..50 => self.cut(cloud),
            50..60 => self.slow_down(cloud),
            60..76 => self.guest(cloud),
            76..90 => self.spoil_disk(cloud),
            90..92 => self.lose_machine(cloud),
            _ => self.change_weather(cloud),
        }
    }

    /// Whatever is due by now is well again.
    pub fn heal_due(&mut self, cloud: &mut SimulatedCloud) {
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= Instant::now()
        {
            let healing = first.remove();
            self.heal(cloud, healing);
        }
    }

    /// Everything that can be is well again.
    pub fn heal_all(&mut self, cloud: &mut SimulatedCloud) {
        self.chronicle.note(format_args!("everything heals"));
        for (_, healing) in std::mem::take(&mut self.due) {
            self.heal(cloud, healing);
        }
        cloud.carrier.heal();
        cloud.mend_disks();
        cloud.begin_all();
    }

    fn heal(&mut self, cloud: &mut SimulatedCloud, healing: Healing) {
        match healing {
            Healing::Begin(place) => {
                if !cloud.runs(&place) {
                    cloud.begin_manager(&place);
                }
            }
            Healing::Mend(from, to) => {
                self.chronicle.note(format_args!("{from} reaches {to} again"));
                cloud.carrier.mend(&from, &to);
            }
            Healing::SpeedUp(node) => {
                self.chronicle.note(format_args!("{node} is as fast as before"));
                cloud.machines[&node].slow_down(1);
                cloud.carrier.speed_up(&Place::Node(node));
            }
        }
    }

    fn later(&mut self, longest_ms: u64, healing: Healing) {
        let when = Instant::now() + self.dice.millis(50, longest_ms);
        self.due.insert((when, self.count), healing);
        self.count += 1;
    }

    fn kill(&mut self, cloud: &mut SimulatedCloud) {
        let Some(place) = self.somebody(cloud) else { return };
        if cloud.runs(&place) {
            cloud.kill(&place);
            self.later(5000, Healing::Begin(place));
        }
    }

    fn somebody(&mut self, cloud: &SimulatedCloud) -> Option<Place> {
        match self.dice.below(4) {
            0 => Some(Place::Cloud),
            1 => self.dice.pick(&cloud.group_names()).cloned().map(Place::Group),
            _ => self.some_machine(cloud).map(Place::Node),
        }
    }

    fn some_machine(&mut self, cloud: &SimulatedCloud) -> Option<NodeName> {
        let living: Vec<_> = cloud.living().map(|machine| machine.name.clone()).collect();
        self.dice.pick(&living).cloned()
    }

    /// Between a manager and the one above it, in one direction or both.
    fn cut(&mut self, cloud: &mut SimulatedCloud) {
        let (above, below) = match self.dice.below(3) {
            0 => {
                let Some(group) = self.dice.pick(&cloud.group_names()).cloned() else { return };
                (Place::Cloud, Place::Group(group))
            }
            _ => {
                let Some(node) = self.some_machine(cloud) else { return };
                (Place::Group(cloud.machines[&node].group.clone()), Place::Node(node))
            }
        };
        let ways = match self.dice.below(4) {
            0 => vec![(above, below)],
            1 => vec![(below, above)],
            _ => vec![(above.clone(), below.clone()), (below, above)],
        };
        for (from, to) in ways {
            self.chronicle.note(format_args!("{from} does not reach {to}"));
            cloud.carrier.cut(&from, &to);
            self.later(9000, Healing::Mend(from, to));
        }
    }

    fn slow_down(&mut self, cloud: &mut SimulatedCloud) {
        let Some(node) = self.some_machine(cloud) else { return };
        self.chronicle.note(format_args!("{node} is slow"));
        cloud.machines[&node].slow_down(40);
        cloud.carrier.slow_down(Place::Node(node.clone()));
        self.later(12_000, Healing::SpeedUp(node));
    }

    fn guest(&mut self, cloud: &mut SimulatedCloud) {
        let Some(node) = self.some_machine(cloud) else { return };
        let machine = &cloud.machines[&node];
        let guests: Vec<_> = machine.domains().into_keys().collect();
        let Some(guest) = self.dice.pick(&guests) else { return };
        if self.dice.in_thousand(500) {
            let ran = machine.crash(guest);
            self.chronicle.note(format_args!("guest {guest} on {node} crashes (it ran: {ran})"));
        } else {
            let ran = machine.power_itself_off(guest);
            self.chronicle.note(format_args!("guest {guest} on {node} powers off (it ran: {ran})"));
        }
    }

    fn spoil_disk(&mut self, cloud: &mut SimulatedCloud) {
        let Some(place) = self.somebody(cloud) else { return };
        let why = "a simulated failure".to_owned();
        let fault = match self.dice.below(3) {
            0 => StoreFault::Full(why),
            1 => StoreFault::Io(why),
            _ => StoreFault::Unknown(why),
        };
        self.chronicle.note(format_args!("the next write of {place} fails: {fault}"));
        cloud.disk(&place).fail_next(fault);
    }

    fn lose_machine(&mut self, cloud: &mut SimulatedCloud) {
        if self.losses_left == 0 {
            return;
        }
        self.losses_left -= 1;
        if let Some(node) = self.some_machine(cloud) {
            cloud.lose(&node);
        }
    }

    fn change_weather(&mut self, cloud: &mut SimulatedCloud) {
        let weather = if self.dice.in_thousand(500) { Weather::calm() } else { Weather::rough() };
        self.chronicle.note(format_args!("the weather is {weather:?}"));
        cloud.carrier.change_weather(weather);
    }
}
