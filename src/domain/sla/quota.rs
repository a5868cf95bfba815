//! How much the instances of one account may hold, over all regions.

use super::{Accounts, LaunchRequest, SlaPolicy};
use crate::domain::{
    draft::Draft,
    fault::{CloudFault, Quantity},
    resources::Resources,
};

#[derive(Debug)]
pub struct Quota {
    pub of: Accounts,
    pub instances: Option<u64>,
    pub vcpus: Option<u32>,
    pub memory_mib: Option<u64>,
}

impl SlaPolicy for Quota {
    fn name(&self) -> &'static str {
        "quota"
    }

    /// As many as the quota has room for are granted, if they are enough.
    fn request(&self, request: &mut LaunchRequest, draft: &Draft<'_>) -> Result<(), CloudFault> {
        let account = &draft.scope.account;
        if !self.of.include(account) {
            return Ok(());
        }
        let (mut instances, mut held) = (0, Resources::NONE);
        for instance in draft.state.instances_of(account) {
            if let Some(holding) = instance.holding() {
                instances += 1;
                held += holding;
            }
        }
        let rooms = [
            (Quantity::Instances, self.instances, instances, 1),
            (
                Quantity::Vcpus,
                self.vcpus.map(u64::from),
                held.vcpus.into(),
                request.each.vcpus.into(),
            ),
            (Quantity::MemoryMib, self.memory_mib, held.memory_mib, request.each.memory_mib),
        ];
        for (quantity, limit, held, each) in rooms {
            let Some(limit) = limit else { continue };
            let room = limit.saturating_sub(held) / each.max(1);
            if room < request.min_count.into() {
                let wanted = request.min_count;
                return Err(CloudFault::QuotaExceeded { quantity, limit, wanted });
            }
            request.max_count = request.max_count.min(u32::try_from(room).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}
