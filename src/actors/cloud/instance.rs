//! Terminate, stop, start, reboot, modify: decisions about instances that exist.
//!
//! A request for several instances is granted for all or refused for all.

use super::{command::Decide, security_group};
use crate::domain::{
    cloud_state::Entry,
    draft::{Draft, Effect},
    fault::{CloudFault, Wanted},
    id::{InstanceId, SecurityGroupId},
    instance::{Instance, InstanceState, LifecycleEvent, StateReason},
};
use crate::messages::cloud::{
    InstanceAttribute, ModifyInstance, RebootInstances, StartInstances, StateChange, StopInstances,
    TerminateInstances,
};
use std::{collections::BTreeSet, sync::Arc};

impl Decide for TerminateInstances {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Vec<StateChange>, CloudFault> {
        for instance in find_all(&self.instances, draft)? {
            if instance.disable_api_termination && instance.state.exists() {
                return Err(CloudFault::TerminationProtected(instance.id.clone()));
            }
        }
        change_all(&self.instances, LifecycleEvent::TerminateRequested, draft)
    }
}

impl Decide for StopInstances {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Vec<StateChange>, CloudFault> {
        for instance in find_all(&self.instances, draft)? {
            if instance.disable_api_stop && instance.state.exists() {
                return Err(CloudFault::StopProtected(instance.id.clone()));
            }
        }
        let changes = change_all(&self.instances, LifecycleEvent::StopRequested, draft)?;
        if self.force {
            for instance in find_all(&self.instances, draft)? {
                if instance.state == InstanceState::Stopping {
                    let mut forced = Instance::clone(&instance);
                    forced.stop_forced = true;
                    draft.put(Entry::Instance(Arc::new(forced)));
                    draft.effect(Effect::Drive(instance.id.clone()));
                }
            }
        }
        Ok(changes)
    }
}

impl Decide for StartInstances {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Vec<StateChange>, CloudFault> {
        change_all(&self.instances, LifecycleEvent::StartRequested, draft)
    }
}

impl Decide for RebootInstances {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        for instance in find_all(&self.instances, draft)? {
            require_in_reach(&instance, draft)?;
            match instance.state {
                InstanceState::Running => {
                    let mut rebooted = Instance::clone(&instance);
                    rebooted.revision += 1;
                    draft.put(Entry::Instance(Arc::new(rebooted)));
                    draft.effect(Effect::Reboot(instance.id.clone()));
                }
                // A guest that is starting is as good as rebooted.
                InstanceState::Pending => {}
                InstanceState::Stopping
                | InstanceState::Stopped
                | InstanceState::ShuttingDown
                | InstanceState::Terminated => return Err(refused(&instance, Wanted::Reboot)),
            }
        }
        Ok(())
    }
}

impl Decide for ModifyInstance {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let mut instance = Instance::clone(&*find(&self.instance, draft)?);
        if !instance.state.exists() {
            return Err(refused(&instance, Wanted::Change));
        }
        match self.attribute {
            InstanceAttribute::InstanceType(name) => {
                require_stopped(&instance)?;
                let resources = draft
                    .settings
                    .instance_types
                    .get(&name)
                    .ok_or_else(|| CloudFault::UnknownInstanceType(name.clone()))?;
                // The disk was made at launch; a type does not shrink or grow it.
                instance.resources.vcpus = resources.vcpus;
                instance.resources.memory_mib = resources.memory_mib;
                instance.instance_type = name;
            }
            InstanceAttribute::UserData(data) => {
                require_stopped(&instance)?;
                instance.user_data = data;
            }
            InstanceAttribute::ShutdownBehavior(behavior) => instance.shutdown_behavior = behavior,
            InstanceAttribute::DisableApiTermination(on) => instance.disable_api_termination = on,
            InstanceAttribute::DisableApiStop(on) => instance.disable_api_stop = on,
            InstanceAttribute::EbsOptimized(on) => {
                require_stopped(&instance)?;
                instance.ebs_optimized = on;
            }
            InstanceAttribute::SourceDestCheck(on) => instance.source_dest_check = on,
            InstanceAttribute::SecurityGroups(groups) => {
                draft.members_changed(&instance);
                instance.security_groups = known_security_groups(groups, &instance, draft)?;
                draft.members_changed(&instance);
                draft.effect(Effect::RefreshFilters(instance.scope.clone()));
            }
            InstanceAttribute::MetadataOptions(options) => instance.metadata_options = options,
        }
        draft.effect(Effect::Update(instance.id.clone()));
        draft.put(Entry::Instance(Arc::new(instance)));
        Ok(())
    }
}

fn require_stopped(instance: &Instance) -> Result<(), CloudFault> {
    if instance.state == InstanceState::Stopped {
        Ok(())
    } else {
        Err(refused(instance, Wanted::ChangeStopped))
    }
}

/// Nothing is granted that nobody can be asked to do. Only an administrator's word that a node is
/// gone ends its instances (`eviction`).
fn require_in_reach(instance: &Instance, draft: &Draft<'_>) -> Result<(), CloudFault> {
    let no_node = draft.state.out_of_reach_since(instance).is_some();
    let no_group = draft.settings.group(&instance.group).is_none();
    match &instance.node {
        Some(node) if instance.state.exists() && (no_node || no_group) => {
            Err(CloudFault::OutOfReach { instance: instance.id.clone(), node: node.clone() })
        }
        _ => Ok(()),
    }
}

pub(super) fn refused(instance: &Instance, wanted: Wanted) -> CloudFault {
    CloudFault::IncorrectState { instance: instance.id.clone(), state: instance.state, wanted }
}

fn find(id: &InstanceId, draft: &Draft<'_>) -> Result<Arc<Instance>, CloudFault> {
    find_all(std::slice::from_ref(id), draft)?
        .pop()
        .ok_or_else(|| CloudFault::InstancesNotFound(vec![id.clone()]))
}

/// The instances named, each once. An administrator reaches those of every account in the region;
/// to others a stranger's instance does not exist.
fn find_all(ids: &[InstanceId], draft: &Draft<'_>) -> Result<Vec<Arc<Instance>>, CloudFault> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut named = BTreeSet::new();
    for id in ids.iter().filter(|id| named.insert(*id)) {
        let reachable = |instance: &&Arc<Instance>| {
            draft.caller.may_control(&instance.scope.account)
                && instance.scope.region == draft.scope.region
        };
        match draft.state.instance(id).filter(reachable) {
            Some(instance) => found.push(instance.clone()),
            None => missing.push(id.clone()),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(CloudFault::InstancesNotFound(missing)) }
}

/// The groups of the instance's owner with these ids, each once.
fn known_security_groups(
    ids: Vec<SecurityGroupId>,
    instance: &Instance,
    draft: &Draft<'_>,
) -> Result<Vec<SecurityGroupId>, CloudFault> {
    let own = draft.state.scope(&instance.scope).cloned().unwrap_or_default();
    let mut known = Vec::new();
    for id in ids {
        if let Some(vpc) = instance.vpc() {
            security_group::find_in(&id, vpc, &own)?;
        }
        if !known.contains(&id) {
            known.push(id);
        }
    }
    Ok(known)
}

fn change_all(
    ids: &[InstanceId],
    event: LifecycleEvent,
    draft: &mut Draft<'_>,
) -> Result<Vec<StateChange>, CloudFault> {
    let mut changes = Vec::new();
    for before in find_all(ids, draft)? {
        require_in_reach(&before, draft)?;
        if event == LifecycleEvent::StartRequested && before.state == InstanceState::Stopped {
            check_room(&before, draft)?;
        }
        let mut after = Instance::clone(&before);
        let (reason, wanted) = match event {
            LifecycleEvent::StartRequested => (StateReason::pending(), Wanted::Start),
            _ => (StateReason::user_initiated_shutdown(), Wanted::Stop),
        };
        after.apply(event, Some(reason), draft.now).map_err(|_| refused(&before, wanted))?;
        changes.push(StateChange {
            instance: before.id.clone(),
            previous: before.state,
            current: after.state,
        });
        if after.state != before.state {
            after.revision += 1;
            if event == LifecycleEvent::StartRequested {
                after.launched_at = draft.now;
            }
            if after.state == InstanceState::ShuttingDown {
                draft.members_changed(&after);
            }
            draft.put(Entry::Instance(Arc::new(after)));
            draft.effect(Effect::Drive(before.id.clone()));
        }
    }
    Ok(changes)
}

/// A stopped instance starts where its disk is, so its node must have room for the rest of it.
fn check_room(instance: &Instance, draft: &Draft<'_>) -> Result<(), CloudFault> {
    let capacity = &draft.state.capacity;
    let Some(node) = &instance.node else {
        // Its node is gone, and any other will do.
        return match capacity.room(&instance.group, instance.resources, 1).placeable {
            0 => Err(no_room(instance)),
            _ => Ok(()),
        };
    };
    let free = capacity.node(&instance.group, node).map(|capacity| capacity.free());
    let mut needed = instance.resources;
    needed.disk_gib = 0;
    if free.is_some_and(|free| needed.fits_in(free)) {
        return Ok(());
    }
    Err(no_room(instance))
}

fn no_room(instance: &Instance) -> CloudFault {
    CloudFault::InsufficientCapacity {
        instance_type: instance.instance_type.clone(),
        zone: instance.zone.to_string(),
        wanted: 1,
        available: 0,
    }
}
