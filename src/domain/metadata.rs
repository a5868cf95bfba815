//! What an instance may learn about itself at 169.254.169.254.
//!
//! Everything the answers need, resolved by the cloud and handed to the node: the node looks
//! nothing up, so a guest's questions never travel further than its own host.

use super::{
    id::{
        AccountId, ImageId, InstanceId, InterfaceId, RegionName, ReservationId, SecurityGroupId,
        SubnetId, VpcId, ZoneName,
    },
    interface::MacAddress,
    port_filter::Cidr,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::Ipv4Addr};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceMetadata {
    pub instance: InstanceId,
    pub instance_type: String,
    pub image: ImageId,
    pub kernel: Option<ImageId>,
    pub ramdisk: Option<ImageId>,
    /// `ip-10-213-0-4.internal` and its like.
    pub local_hostname: String,
    pub public_hostname: Option<String>,
    pub local_address: Ipv4Addr,
    pub public_address: Option<Ipv4Addr>,
    /// In the order of their device numbers; the first is the primary one.
    pub interfaces: Vec<InterfaceMetadata>,
    pub key: Option<PublicKey>,
    /// The groups' names, as `security-groups` lists them.
    pub security_groups: Vec<String>,
    pub reservation: ReservationId,
    /// Place in the reservation, from 0.
    pub launch_index: u32,
    pub launched_at: Timestamp,
    pub zone: ZoneName,
    pub region: RegionName,
    pub account: AccountId,
    /// `x86_64`, as the identity document says it.
    pub architecture: String,
    /// `ami`, `root`, `ephemeral0`, `ebs1` and the device each one is.
    pub block_devices: BTreeMap<String, String>,
    /// Shown only when `options.instance_metadata_tags` is enabled.
    pub tags: BTreeMap<String, String>,
    pub user_data: Option<UserData>,
    /// The domain of the cloud's services; `amazonaws.com` in Amazon's.
    pub services_domain: String,
    pub options: MetadataOptions,
}

impl InstanceMetadata {
    /// The guest's own addresses on the public wire, whatever else the world knows it by.
    pub fn own_public_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let public = self.interfaces.iter().filter(|each| !each.public_addresses.is_empty());
        public.flat_map(|interface| interface.local_addresses.iter().copied())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceMetadata {
    pub id: InterfaceId,
    pub device_number: u32,
    pub mac: MacAddress,
    pub local_hostname: String,
    pub local_addresses: Vec<Ipv4Addr>,
    pub public_addresses: Vec<Ipv4Addr>,
    pub subnet: SubnetId,
    pub subnet_cidr: Cidr,
    pub vpc: VpcId,
    pub vpc_cidr: Cidr,
    /// Id and name of each group.
    pub security_groups: Vec<(SecurityGroupId, String)>,
    pub owner: AccountId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    pub name: String,
    /// One line of an `authorized_keys` file.
    pub openssh: String,
}

/// Whatever bytes the user gave at launch. They often hold secrets, so they are never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData(pub Vec<u8>);

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// `ModifyInstanceMetadataOptions`, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    pub http_endpoint: Availability,
    pub http_tokens: TokenDemand,
    /// How many hops the answer to a token request may travel, 1 to 64.
    pub hop_limit: u8,
    pub instance_metadata_tags: Availability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    Enabled,
    Disabled,
}

/// Whether a question without a session token is answered (IMDSv1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenDemand {
    Optional,
    Required,
}

impl Default for MetadataOptions {
    fn default() -> MetadataOptions {
        MetadataOptions {
            http_endpoint: Availability::Enabled,
            http_tokens: TokenDemand::Optional,
            hop_limit: 1,
            instance_metadata_tags: Availability::Disabled,
        }
    }
}
