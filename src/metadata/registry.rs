//! Whose metadata this host's guests are: the instances with a port here, by public address.

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
    /// From now on, questions from the instance's public address are answered with this.
    pub fn insert(&self, metadata: &InstanceMetadata) {
        if let Some(address) = metadata.public_address {
            let mut by_address = self.by_address.write().unwrap_or_else(PoisonError::into_inner);
            by_address.insert(address, Arc::new(metadata.clone()));
        }
    }

    /// Takes the instance's answers away, unless the address is another's by now.
    pub fn remove(&self, metadata: &InstanceMetadata) {
        let Some(address) = metadata.public_address else { return };
        let mut by_address = self.by_address.write().unwrap_or_else(PoisonError::into_inner);
        if by_address.get(&address).is_some_and(|known| known.instance == metadata.instance) {
            by_address.remove(&address);
        }
    }
}

impl MetadataSource for MetadataRegistry {
    fn by_address(&self, address: Ipv4Addr) -> Option<Arc<InstanceMetadata>> {
        let by_address = self.by_address.read().unwrap_or_else(PoisonError::into_inner);
        by_address.get(&address).cloned()
    }
}
