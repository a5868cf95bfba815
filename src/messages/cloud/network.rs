//! Asked of the cloud manager about private networks.

use super::Command;
use crate::domain::{
    id::{SubnetId, VpcId, ZoneName},
    port_filter::Cidr,
    tag::Tags,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVpc {
    pub cidr: Cidr,
    pub tags: Tags,
}

/// With its default security group; nothing else may be in it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVpc {
    pub vpc: VpcId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VpcAttribute {
    DnsSupport(bool),
    DnsHostnames(bool),
    AddressUsageMetrics(bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyVpc {
    pub vpc: VpcId,
    pub attribute: VpcAttribute,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSubnet {
    pub vpc: VpcId,
    pub cidr: Cidr,
    /// `None` leaves it to the cloud.
    pub zone: Option<ZoneName>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSubnet {
    pub subnet: SubnetId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifySubnet {
    pub subnet: SubnetId,
    pub maps_public_address: bool,
}

commands! {
    CreateVpc => VpcId, "cloud.create_vpc";
    DeleteVpc => (), "cloud.delete_vpc";
    ModifyVpc => (), "cloud.modify_vpc";
    CreateSubnet => SubnetId, "cloud.create_subnet";
    DeleteSubnet => (), "cloud.delete_subnet";
    ModifySubnet => (), "cloud.modify_subnet";
}
