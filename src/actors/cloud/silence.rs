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
            for (group, node) in book.silent.difference(&silent) {
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
