//! Nodes that fall silent, and are heard again.
//!
//! That a node says nothing ends nothing: its instances stay as last known and are shown as
//! impaired, which follows from when it was last heard. Here it is noticed as it happens, said in
//! the log once, and told to policies, since what is free there is less certain from then on.

use super::Core;
use crate::domain::{
    capacity::SILENCE_MAX,
    id::{GroupName, NodeName},
};
use std::{collections::BTreeSet, rc::Rc};

impl Core {
    pub(super) async fn notice_silence(self: &Rc<Self>) {
        let now = self.ambient.now();
        let changed: BTreeSet<GroupName> = {
            let mut book = self.book.borrow_mut();
            let silent: BTreeSet<(GroupName, NodeName)> = book
                .state
                .capacity
                .silent_nodes(now)
                .map(|(group, node)| (group.clone(), node.clone()))
                // Of those it is known why.
                .filter(|key| !book.state.absent_nodes.contains_key(key))
                .collect();
            for (group, node) in silent.difference(&book.silent) {
                log::warn!(
                    "node `{node}` of group `{group}` has said nothing for more than {} s: its \
                     instances stay as last known",
                    SILENCE_MAX.as_secs()
                );
            }
            let is_known = |(group, node): &&_| book.state.capacity.node(group, node).is_some();
            for (group, node) in book.silent.difference(&silent).filter(is_known) {
                log::info!("node `{node}` of group `{group}` is not silent any more");
            }
            let changed = silent.symmetric_difference(&book.silent);
            let changed = changed.map(|(group, _)| group.clone()).collect();
            book.silent = silent;
            changed
        };
        for group in &changed {
            self.tell_policies_of_capacity(group).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        actors::{
            address::AskError,
            testing::{Cloud, GROUP, Group, Node, a_launch, fair, wait},
        },
        domain::{
            capacity::SILENCE_MAX,
            draft::Draft,
            fault::CloudFault,
            id::GroupName,
            instance::InstanceState,
            settings::CloudSettings,
            sla::{SlaPolicy, StaleCapacity},
        },
    };
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    /// Whether the group was silent when its capacity was last said to have changed.
    #[derive(Debug, Default)]
    struct LastHeard(Mutex<Option<bool>>);

    impl SlaPolicy for LastHeard {
        fn name(&self) -> &'static str {
            "last-heard"
        }

        fn capacity_changed(&self, group: &GroupName, draft: &mut Draft<'_>) {
            let capacity = &draft.state.capacity;
            let silence = capacity.silence(capacity.quality(group), draft.now);
            *self.0.lock().unwrap() = Some(silence > SILENCE_MAX);
        }
    }

    #[actix_rt::test]
    async fn a_node_s_silence_is_noticed_by_the_clock_and_ends_nothing_of_it() {
        let heard = Arc::<LastHeard>::default();
        let policy: Arc<dyn SlaPolicy> = heard.clone();
        let settings =
            CloudSettings { sla: [policy].into_iter().collect(), ..CloudSettings::for_tests() };
        let group = Group::start(vec![Node::start("n1", 4)]).await;
        let mut cloud = Cloud::start_with(settings, group, fair()).await;
        let id = cloud.launch(1).await.remove(0);
        cloud.until(&id, |instance| instance.state == InstanceState::Running).await;
        cloud.group.nodes[0].kill();
        let was_silent = |expected| {
            let heard = heard.clone();
            async move {
                wait("policies are told", || async {
                    (*heard.0.lock().unwrap() == Some(expected)).then_some(())
                })
                .await;
            }
        };
        was_silent(false).await;
        cloud.clock.advance(SILENCE_MAX + Duration::from_secs(1));
        was_silent(true).await;
        let state = cloud.published.load();
        let group = GROUP.parse().unwrap();
        assert_eq!(cloud.instance(&id).state, InstanceState::Running);
        assert_eq!(state.capacity.nodes_of(&group).next().unwrap().1.held.vcpus, 1);
        drop(state);
        cloud.group.nodes[0].begin();
        cloud.group.introduce(&fair()).await;
        was_silent(false).await;
    }

    #[actix_rt::test]
    async fn a_zone_that_fell_silent_is_granted_nothing_new_by_the_policy_against_it() {
        let oldest = Duration::from_secs(30);
        let policy: Arc<dyn SlaPolicy> = Arc::new(StaleCapacity { oldest });
        let settings =
            CloudSettings { sla: [policy].into_iter().collect(), ..CloudSettings::for_tests() };
        let group = Group::start(vec![Node::start("n1", 4)]).await;
        let mut cloud = Cloud::start_with(settings, group, fair()).await;
        let id = cloud.launch(1).await.remove(0);
        cloud.until(&id, |instance| instance.state == InstanceState::Running).await;
        cloud.group.nodes[0].kill();
        cloud.clock.advance(oldest + Duration::from_secs(1));
        let stale =
            |refused| matches!(refused, Err(AskError::Refused(CloudFault::StaleCapacity { .. })));
        wait("it is refused", || async { stale(cloud.command(a_launch()).await).then_some(()) })
            .await;
        cloud.group.nodes[0].begin();
        cloud.group.introduce(&fair()).await;
        wait("it is granted", || async { cloud.command(a_launch()).await.ok() }).await;
        assert_eq!(cloud.instance(&id).state, InstanceState::Running);
    }

    #[actix_rt::test]
    async fn after_a_restart_of_the_cloud_a_node_that_never_speaks_is_silent_too() {
        let mut cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
        let id = cloud.launch(1).await.remove(0);
        cloud.until(&id, |instance| instance.state == InstanceState::Running).await;
        let _gone = cloud.restart_without(0).await;
        let now = crate::domain::time::Timestamp(0) + Duration::from_secs(3600);
        let silent = |at| {
            let state = cloud.published.load();
            let silent: Vec<String> =
                state.capacity.silent_nodes(at).map(|(_, node)| node.to_string()).collect();
            silent
        };
        assert_eq!(silent(now), ["n1"]);
        assert_eq!(silent(crate::domain::time::Timestamp(0)), [] as [&str; 0]);
    }
}
