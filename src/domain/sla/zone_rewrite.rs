//! Sends launches that ask for one zone, or for none, to another.

use super::{Accounts, LaunchRequest, SlaPolicy};
use crate::domain::{draft::Draft, fault::CloudFault, id::GroupName};

#[derive(Debug)]
pub struct ZoneRewrite {
    pub of: Accounts,
    /// None: requests that name no zone.
    pub from: Option<GroupName>,
    pub to: GroupName,
}

impl SlaPolicy for ZoneRewrite {
    fn name(&self) -> &'static str {
        "zone-rewrite"
    }

    fn request(&self, request: &mut LaunchRequest, draft: &Draft<'_>) -> Result<(), CloudFault> {
        let region = &draft.scope.region;
        let asked = match &request.zone {
            None => None,
            Some(zone) => match draft.settings.group_of_zone(region, zone) {
                Some(group) => Some(&group.name),
                // It is refused as what it is.
                None => return Ok(()),
            },
        };
        if self.of.include(&draft.scope.account) && asked == self.from.as_ref() {
            let mut zones = draft.settings.zones(region);
            request.zone = zones.find(|(_, group)| group.name == self.to).map(|(zone, _)| zone);
        }
        Ok(())
    }
}
