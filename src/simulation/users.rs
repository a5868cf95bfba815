//! What users do: launch, stop, start, reboot, terminate, change rules, in an order of the seed's.
//! Nobody waits for an answer before doing something else.

use super::{
    chronicle::Chronicle,
    cloud::{IMAGE, REGION, SimulatedCloud, parsed},
    dice::Dice,
};
use crate::{
    actors::{
        address::{AskError, Serves},
        cloud::{CloudManager, command::Decide},
    },
    domain::{
        id::{AccountId, InstanceId},
        instance::{InstanceState, ShutdownBehavior},
        port_filter::{Direction, Traffic},
        security_group::{DEFAULT_GROUP_NAME, Peer},
    },
    messages::cloud::{
        AuthorizeSecurityGroup, Commanded, InstanceAttribute, LaunchReservation, ModifyInstance,
        Permission, RebootInstances, RevokeSecurityGroup, SecurityGroupName, StartInstances,
        StopInstances, TerminateInstances,
    },
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    rc::Rc,
};
use tokio::task::spawn_local;

/// What was asked, and what was promised.
#[derive(Debug, Default)]
pub struct Dealings {
    /// Launches that were acknowledged, and whose they are.
    pub launched: BTreeMap<InstanceId, AccountId>,
    /// Asked to be terminated, whether or not that was answered.
    pub to_be_terminated: BTreeSet<InstanceId>,
    /// Commands that were granted, refused, or of which nobody knows.
    pub granted: usize,
    pub refused: usize,
    pub unanswered: usize,
}

#[derive(Debug)]
pub struct Users {
    accounts: Vec<AccountId>,
    dice: Dice,
    dealings: Rc<RefCell<Dealings>>,
    chronicle: Chronicle,
    tokens: u32,
}

impl Users {
    pub fn new(seed: u64, accounts: usize, chronicle: Chronicle) -> Users {
        let account =
            |number| parsed(&format!("{:012}", 111_111_111_111_u64 * (number as u64 + 1)));
        Users {
            accounts: (0..accounts).map(account).collect(),
            dice: Dice::new(seed, "users"),
            dealings: Rc::default(),
            chronicle,
            tokens: 0,
        }
    }

    pub fn dealings(&self) -> std::cell::Ref<'_, Dealings> {
        self.dealings.borrow()
    }

    /// Somebody does something.
    pub fn act(&mut self, cloud: &SimulatedCloud) {
        let Some(account) = self.dice.pick(&self.accounts).cloned() else { return };
        match self.dice.below(100) {
            0..34 => self.launch(cloud, &account),
            34..58 => self.terminate(cloud, &account),
            58..70 => self.stop(cloud, &account),
            70..84 => self.start(cloud, &account),
            84..90 => self.reboot(cloud, &account),
            90..94 => self.modify(cloud, &account),
            _ => self.change_rules(cloud, &account),
        }
    }

    fn launch(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let min_count = 1 + self.dice.below(3) as u32;
        let zones: Vec<_> = cloud.settings.zones(&parsed(REGION)).map(|(zone, _)| zone).collect();
        let zone = self.dice.pick(&zones).cloned().filter(|_| self.dice.in_thousand(400));
        let large = self.dice.in_thousand(250);
        let ends_with_itself = self.dice.in_thousand(300);
        let client_token = self.dice.in_thousand(300).then(|| {
            // Now and then the same request once more.
            self.tokens += u32::from(!self.dice.in_thousand(300));
            format!("token-{}", self.tokens)
        });
        let asked = LaunchReservation {
            min_count,
            max_count: min_count + self.dice.below(3) as u32,
            instance_type: large.then(|| "m1.large".to_owned()),
            zone,
            shutdown_behavior: match ends_with_itself {
                true => ShutdownBehavior::Terminate,
                false => ShutdownBehavior::Stop,
            },
            client_token,
            ..LaunchReservation::of(parsed(IMAGE))
        };
        let what = format!("{account} launches {}..={}", asked.min_count, asked.max_count);
        let (dealings, of) = (self.dealings.clone(), account.clone());
        self.tell(what, cloud, account, asked, move |launched| {
            let launched = launched.instances.iter().map(|id| (id.clone(), of.clone()));
            dealings.borrow_mut().launched.extend(launched);
        });
    }

    fn terminate(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let instances = self.some_of(cloud, account, 3, |_| true);
        self.end(cloud, account, instances);
    }

    /// Everybody ends whatever they have.
    pub fn terminate_all(&mut self, cloud: &SimulatedCloud) {
        for account in self.accounts.clone() {
            let state = cloud.state();
            let own = state.instances_of(&account);
            let left = own.filter(|i| i.state.exists() && i.state != InstanceState::ShuttingDown);
            let left: Vec<_> = left.map(|instance| instance.id.clone()).collect();
            self.end(cloud, &account, left);
        }
    }

    fn end(&mut self, cloud: &SimulatedCloud, account: &AccountId, instances: Vec<InstanceId>) {
        if instances.is_empty() {
            return;
        }
        self.dealings.borrow_mut().to_be_terminated.extend(instances.iter().cloned());
        let what = format!("{account} terminates {}", listed(&instances));
        self.tell(what, cloud, account, TerminateInstances { instances }, |_| {});
    }

    fn stop(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let force = self.dice.in_thousand(300);
        let stoppable = |state| matches!(state, InstanceState::Running | InstanceState::Stopping);
        let instances = self.some_of(cloud, account, 2, stoppable);
        if !instances.is_empty() {
            let what = format!("{account} stops {} (force: {force})", listed(&instances));
            self.tell(what, cloud, account, StopInstances { instances, force }, |_| {});
        }
    }

    fn start(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let instances = self.some_of(cloud, account, 2, |state| state == InstanceState::Stopped);
        if !instances.is_empty() {
            let what = format!("{account} starts {}", listed(&instances));
            self.tell(what, cloud, account, StartInstances { instances }, |_| {});
        }
    }

    fn reboot(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let instances = self.some_of(cloud, account, 2, |state| state == InstanceState::Running);
        if !instances.is_empty() {
            let what = format!("{account} reboots {}", listed(&instances));
            self.tell(what, cloud, account, RebootInstances { instances }, |_| {});
        }
    }

    fn modify(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let instances = self.some_of(cloud, account, 1, |_| true);
        let behavior = match self.dice.in_thousand(500) {
            true => ShutdownBehavior::Terminate,
            false => ShutdownBehavior::Stop,
        };
        if let Some(instance) = instances.into_iter().next() {
            let what = format!("{account}: {instance} is to {} by itself", behavior.as_str());
            let attribute = InstanceAttribute::ShutdownBehavior(behavior);
            self.tell(what, cloud, account, ModifyInstance { instance, attribute }, |_| {});
        }
    }

    fn change_rules(&mut self, cloud: &SimulatedCloud, account: &AccountId) {
        let port = 1000 + self.dice.below(4) as u16;
        let permission = Permission {
            traffic: Traffic::Tcp { from: port, to: port },
            peer: Peer::Range(parsed("0.0.0.0/0")),
            description: None,
        };
        let group = SecurityGroupName::Name(DEFAULT_GROUP_NAME.to_owned());
        let (direction, permissions) = (Direction::Ingress, vec![permission]);
        if self.dice.in_thousand(600) {
            let tags = Default::default();
            let asked = AuthorizeSecurityGroup { group, direction, permissions, tags };
            self.tell(format!("{account} opens {port}"), cloud, account, asked, |_| {});
        } else {
            let asked = RevokeSecurityGroup { group, direction, permissions, rules: Vec::new() };
            self.tell(format!("{account} closes {port}"), cloud, account, asked, |_| {});
        }
    }

    /// Up to so many of an account's instances, seen where describing shows them.
    fn some_of(
        &mut self,
        cloud: &SimulatedCloud,
        account: &AccountId,
        most: usize,
        which: impl Fn(InstanceState) -> bool,
    ) -> Vec<InstanceId> {
        let state = cloud.state();
        let own = state.instances_of(account);
        let of_state = own.filter(|i| i.state != InstanceState::Terminated && which(i.state));
        let mut ids: Vec<_> = of_state.map(|instance| instance.id.clone()).collect();
        let count = 1 + self.dice.below(most);
        let mut some = Vec::new();
        while some.len() < count && !ids.is_empty() {
            some.push(ids.swap_remove(self.dice.below(ids.len())));
        }
        some
    }

    /// Notes what was asked, and what came of it when that is known.
    fn tell<C: Decide>(
        &self,
        what: String,
        cloud: &SimulatedCloud,
        account: &AccountId,
        command: C,
        granted: impl FnOnce(C::Reply) + 'static,
    ) where
        CloudManager: Serves<Commanded<C>>,
        C::Reply: Debug,
    {
        let Some(answer) = cloud.command(account, command) else {
            self.chronicle.note(format_args!("{what}: there is no cloud to ask"));
            return;
        };
        self.chronicle.note(format_args!("{what}"));
        let (chronicle, dealings) = (self.chronicle.clone(), self.dealings.clone());
        spawn_local(async move {
            let answer = answer.await;
            match answer {
                Ok(reply) => {
                    chronicle.note(format_args!("{what}: granted, {reply:?}"));
                    dealings.borrow_mut().granted += 1;
                    granted(reply);
                }
                Err(AskError::Refused(why)) => {
                    chronicle.note(format_args!("{what}: refused, {why}"));
                    dealings.borrow_mut().refused += 1;
                }
                Err(fault) => {
                    chronicle.note(format_args!("{what}: {fault}"));
                    dealings.borrow_mut().unanswered += 1;
                }
            }
        });
    }
}

fn listed(instances: &[InstanceId]) -> String {
    let ids: Vec<_> = instances.iter().map(InstanceId::to_string).collect();
    ids.join(" ")
}
