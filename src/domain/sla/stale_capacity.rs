//! Refuses launches into a zone whose figures are too old to be believed.
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
        let newest = draft.state.capacity.nodes_of(group).filter_map(|(_, node)| node.reported_at);
        newest.max().is_none_or(|at| draft.now.since(at) > self.oldest)
    }
}

impl SlaPolicy for StaleCapacity {
    fn name(&self) -> &'static str {
        "stale-capacity"
    }

    fn request(&self, request: &mut LaunchRequest, draft: &Draft<'_>) -> Result<(), CloudFault> {
        let region = &draft.scope.region;
        let mut asked = draft
            .settings
            .zones(region)
            .filter(|(zone, _)| request.zone.as_ref().is_none_or(|wanted| wanted == zone));
        // Without a zone there must be one with figures; which one it is going to be is decided by
        // the figures there are.
        if asked.by_ref().any(|(_, group)| !self.is_stale(&group.name, draft)) {
            return Ok(());
        }
        let zone =
            request.zone.as_ref().map_or_else(|| region.to_string(), |zone| zone.to_string());
        Err(CloudFault::StaleCapacity { zone, seconds: self.oldest.as_secs() })
    }
}
