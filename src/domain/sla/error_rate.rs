//! Keeps launches out of zones that too often do not do what their figures promise.
//!
//! What is observed is forgotten after a while (`Observed`), so such a zone is tried again.

use super::{LaunchRequest, SlaPolicy};
use crate::domain::{draft::Draft, fault::CloudFault, id::GroupName};

/// Fewer observations are no rate.
const FEWEST: u64 = 5;

#[derive(Debug)]
pub struct ErrorRate {
    /// The highest that is borne.
    pub percent: u64,
}

impl ErrorRate {
    fn is_unreliable(&self, group: &GroupName, draft: &Draft<'_>) -> bool {
        let Some(quality) = draft.state.capacity.quality(group) else { return false };
        let record = quality.observed.record(draft.now);
        record.in_all() >= FEWEST && record.error_percent().is_some_and(|rate| rate > self.percent)
    }
}

impl SlaPolicy for ErrorRate {
    fn name(&self) -> &'static str {
        "error-rate"
    }

    fn request(&self, request: &mut LaunchRequest, draft: &Draft<'_>) -> Result<(), CloudFault> {
        if request.keep_out_of(|group| self.is_unreliable(group, draft), draft) {
            return Ok(());
        }
        let zone = request.zone_asked_for(draft);
        Err(CloudFault::UnreliableCapacity { zone, percent: self.percent })
    }
}
