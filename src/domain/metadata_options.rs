//! How a guest may read its own metadata (EC2's `MetadataOptions`).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// IMDSv2 only.
    pub tokens_required: bool,
    /// How many hops the answer that carries a token may travel: 1 to 64.
    pub hop_limit: u8,
    pub endpoint_enabled: bool,
    pub instance_tags_enabled: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        MetadataOptions {
            tokens_required: false,
            hop_limit: 1,
            endpoint_enabled: true,
            instance_tags_enabled: false,
        }
    }
}
