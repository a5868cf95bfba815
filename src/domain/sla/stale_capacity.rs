//! Keeps launches out of zones whose figures are too old to be believed.
//!
//! Silence is not death: the zone's instances stay as they are. But room that nobody has confirmed
//! for long is not granted.

use super::{LaunchRequest, SlaPolicy};
use crate::domain::{draft::Draft, fault::CloudFault, id::GroupName};
use std::time::Duration;

#[derive(Debug)]
pub struct StaleCapacity {
    pub oldest: Duration,
}

impl StaleCapacity {
    /// Whether no node of the group has spoken lately.
    fn is_stale(&self, group: &GroupName, draft: &Draft<'_>) -> bool {
        let newest = draft.state.capacity.quality(group).and_then(|quality| quality.reported_at);
        newest.is_none_or(|at| draft.now.since(at) > self.oldest)
    }
}

impl SlaPolicy for StaleCapacity {
    fn name(&self) -> &'static str {
        "stale-capacity"
    }

    fn request(&self, request: &mut LaunchRequest, draft: &Draft<'_>) -> Result<(), CloudFault> {
        if request.keep_out_of(|group| self.is_stale(group, draft), draft) {
            return Ok(());
        }
        let zone = request.zone_asked_for(draft);
        Err(CloudFault::StaleCapacity { zone, seconds: self.oldest.as_secs() })
    }
}
