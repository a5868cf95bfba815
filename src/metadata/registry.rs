//! Whose metadata this host's guests are: the instances with a port here, by the address that each
//! has on the public wire itself.

use super::MetadataSource;
use crate::domain::metadata::InstanceMetadata;
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, PoisonError, RwLock},
};

#[derive(Debug, Default)]
pub struct MetadataRegistry {
    by_address: RwLock<HashMap<Ipv4Addr, Arc<InstanceMetadata>>>,
}

impl MetadataRegistry {
    /// From now on, questions from the instance's own address are answered with this.
    pub fn insert(&self, metadata: &InstanceMetadata) {
        let mut by_address = self.by_address.write().unwrap_or_else(PoisonError::into_inner);
        let metadata = Arc::new(metadata.clone());
        for address in metadata.own_public_addresses() {
            by_address.insert(address, metadata.clone());
        }
    }

    /// Takes the instance's answers away, unless the address is another's by now.
    pub fn remove(&self, metadata: &InstanceMetadata) {
        let mut by_address = self.by_address.write().unwrap_or_else(PoisonError::into_inner);
        for address in metadata.own_public_addresses() {
            if by_address.get(&address).is_some_and(|known| known.instance == metadata.instance) {
                by_address.remove(&address);
            }
        }
    }
}

impl MetadataSource for MetadataRegistry {
    fn by_address(&self, address: Ipv4Addr) -> Option<Arc<InstanceMetadata>> {
        let by_address = self.by_address.read().unwrap_or_else(PoisonError::into_inner);
        by_address.get(&address).cloned()
    }
}
