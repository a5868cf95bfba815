//! Sends launches that ask for one zone or meta-zone, or for none, to another.

use super::{Accounts, LaunchRequest, SlaPolicy};
use crate::domain::{draft::Draft, fault::CloudFault, settings::ZoneChoice};

#[derive(Debug)]
pub struct ZoneRewrite {
    pub of: Accounts,
    /// None: requests that name no zone.
    pub from: Option<ZoneChoice>,
    pub to: ZoneChoice,
}

impl SlaPolicy for ZoneRewrite {
    fn name(&self) -> &'static str {
        "zone-rewrite"
    }

    fn request(&self, request: &mut LaunchRequest, draft: &Draft<'_>) -> Result<(), CloudFault> {
        let name = |choice| draft.settings.zone_chosen(&draft.scope.region, choice);
        let asked = match &self.from {
            None => request.zone.is_none(),
            Some(from) => request.zone.is_some() && request.zone == name(from),
        };
        if asked && self.of.include(&draft.scope.account) {
            request.zone = name(&self.to);
        }
        Ok(())
    }
}
