//! Raw resources, as the PRS counts them: never slots.

use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, SubAssign};

/// An amount of each thing a guest holds on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

impl Resources {
    pub const NONE: Resources = Resources { vcpus: 0, memory_mib: 0, disk_gib: 0 };

    pub fn fits_in(self, free: Resources) -> bool {
        self.vcpus <= free.vcpus
            && self.memory_mib <= free.memory_mib
            && self.disk_gib <= free.disk_gib
    }

    /// What is left after taking `other`; a figure that would go below zero stays at zero, since a
    /// foreign guest may hold more than a node declares.
    pub fn less(self, other: Resources) -> Resources {
        Resources {
            vcpus: self.vcpus.saturating_sub(other.vcpus),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            disk_gib: self.disk_gib.saturating_sub(other.disk_gib),
        }
    }

    /// The part a stopped instance keeps: its root disk.
    pub fn while_stopped(self) -> Resources {
        Resources { vcpus: 0, memory_mib: 0, ..self }
    }

    /// How many of `each` fit into this amount at once.
    pub fn count_of(self, each: Resources) -> u64 {
        let fits = |free: u64, each: u64| if each == 0 { u64::MAX } else { free / each };
        fits(self.vcpus.into(), each.vcpus.into())
            .min(fits(self.memory_mib, each.memory_mib))
            .min(fits(self.disk_gib, each.disk_gib))
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Resources) {
        self.vcpus += other.vcpus;
        self.memory_mib += other.memory_mib;
        self.disk_gib += other.disk_gib;
    }
}

impl SubAssign for Resources {
    fn sub_assign(&mut self, other: Resources) {
        *self = self.less(other);
    }
}

impl std::iter::Sum for Resources {
    fn sum<I: Iterator<Item = Resources>>(amounts: I) -> Resources {
        amounts.fold(Resources::NONE, |mut sum, amount| {
            sum += amount;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_resource_decides_how_many_fit() {
        let node = Resources { vcpus: 4, memory_mib: 4096, disk_gib: 100 };
        let small = Resources { vcpus: 2, memory_mib: 1024, disk_gib: 10 };
        assert_eq!(node.count_of(small), 2);
        assert_eq!(Resources { vcpus: 1, ..node }.count_of(small), 0);
    }
}
