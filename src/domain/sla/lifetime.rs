//! Time-limited allocations: an instance is granted for so long, counted from its first launch.
//!
//! The end is part of the instance's record, so it comes though the cloud was down meanwhile, and a
//! grant that was given stays as it was when the configuration changes.

use super::{Accounts, SlaPolicy, end};
use crate::domain::{
    draft::Draft,
    instance::{Instance, StateReason},
};
use std::time::Duration;

#[derive(Debug)]
pub struct Lifetime {
    pub of: Accounts,
    pub granted: Duration,
}

impl SlaPolicy for Lifetime {
    fn name(&self) -> &'static str {
        "lifetime"
    }

    fn commit(&self, instance: &mut Instance, _: &Draft<'_>) {
        if self.of.include(&instance.scope.account) {
            let ends = instance.launched_at + self.granted;
            // Of several grants the shortest counts.
            instance.ends_at = Some(instance.ends_at.map_or(ends, |earlier| earlier.min(ends)));
        }
    }

    fn timer(&self, draft: &mut Draft<'_>) {
        for instance in draft.state.overdue(draft.now) {
            let granted = instance.ends_at.map(|end| end.since(instance.attached_at()));
            let seconds = granted.unwrap_or_default().as_secs();
            end(&instance, StateReason::lifetime_over(seconds), draft);
        }
    }
}
