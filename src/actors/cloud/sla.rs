//! Policies hear of time and of capacity; what they make of it is recorded like any decision.

use super::Core;
use crate::domain::{draft::Decision, id::GroupName};
use std::rc::Rc;

impl Core {
    pub(super) async fn tell_policies_the_time(self: &Rc<Self>) {
        let decision = self.decide(|draft| self.settings.sla.timer(draft));
        self.keep_if_any(decision, "timer").await;
    }

    pub(super) async fn tell_policies_of_capacity(self: &Rc<Self>, group: &GroupName) {
        let decision = self.decide(|draft| self.settings.sla.capacity_changed(group, draft));
        self.keep_if_any(decision, "capacity").await;
    }

    async fn keep_if_any(self: &Rc<Self>, decision: Decision, what: &str) {
        if !decision.changes.is_empty() {
            self.keep_own(decision, what).await;
        }
    }
}
