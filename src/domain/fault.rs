//! Why the cloud refuses, in the domain's words. `api::error` alone turns these into EC2's codes.

use super::{
    credential::CredentialFault,
    elastic_address::AddressFault,
    id::{
        AccountId, AttachmentId, GroupName, ImageId, InstanceId, InterfaceId, NodeName,
        SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId,
    },
    instance::InstanceState,
    interface::{ADDRESSES_MAX, INTERFACES_MAX},
    port_filter::Cidr,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CloudFault {
    /// Everything was checked and nothing was done, as asked.
    #[error("the request would have succeeded")]
    DryRun,
    #[error("not allowed: {0}")]
    NotAuthorized(String),

    #[error("no instance `{}`", list(.0))]
    InstancesNotFound(Vec<InstanceId>),
    #[error("no image `{}`", list(.0))]
    ImagesNotFound(Vec<ImageId>),
    /// It was there once.
    #[error("image `{0}` is not available")]
    ImageUnavailable(ImageId),
    #[error("image `{image}` is named `{name}` already")]
    ImageNameExists { name: String, image: ImageId },
    #[error("no key pair `{0}`")]
    KeyPairNotFound(String),
    #[error("key pair `{0}` exists already")]
    KeyPairExists(String),
    #[error("no security group `{0}`")]
    SecurityGroupNotFound(SecurityGroupId),
    #[error("no security group named `{0}`")]
    SecurityGroupNameNotFound(String),
    #[error("security group `{name}` exists already in `{vpc}`")]
    SecurityGroupExists { name: String, vpc: VpcId },
    #[error("the security group name `{0}` is reserved")]
    SecurityGroupNameReserved(String),
    /// It is in another VPC than what it is to be for.
    #[error("security group `{group}` is not in `{vpc}`")]
    SecurityGroupElsewhere { group: SecurityGroupId, vpc: VpcId },
    #[error("security group `{0}` is in use")]
    SecurityGroupInUse(SecurityGroupId),
    #[error("the default security group cannot be deleted")]
    DefaultSecurityGroup(SecurityGroupId),
    #[error("no security group rules `{}`", list(.0))]
    SecurityGroupRulesNotFound(Vec<SecurityGroupRuleId>),
    /// The rule, as EC2 spells it.
    #[error("the rule exists already: {0}")]
    PermissionExists(String),
    #[error("no such rule: {0}")]
    PermissionNotFound(String),
    #[error("bad rule: {0}")]
    PermissionMalformed(String),
    #[error("security group `{0}` has as many rules as it may")]
    RuleLimitExceeded(SecurityGroupId),
    #[error("no vpc `{0}`")]
    VpcNotFound(VpcId),
    /// Of a VPC.
    #[error("`{0}` cannot be the range of a vpc")]
    VpcRange(Cidr),
    #[error("every number of a network is taken")]
    NetworksExhausted,
    #[error("no subnet `{0}`")]
    SubnetNotFound(SubnetId),
    #[error("`{0}` cannot be the range of a subnet there")]
    SubnetRange(Cidr),
    #[error("`{0}` overlaps another subnet")]
    SubnetConflict(Cidr),
    /// Of a VPC or subnet that something is in, which is first to go.
    #[error("{kind} `{id}` is in use")]
    NetworkInUse { kind: NetworkKind, id: String },
    /// Every account has these at every moment.
    #[error("the default {kind} `{id}` cannot be deleted")]
    DefaultNetwork { kind: NetworkKind, id: String },
    #[error("no network interface `{0}`")]
    InterfaceNotFound(InterfaceId),
    #[error("no attachment `{0}`")]
    AttachmentNotFound(AttachmentId),
    /// It is attached, or was to be used twice.
    #[error("network interface `{0}` is in use")]
    InterfaceInUse(InterfaceId),
    /// An instance cannot be without it.
    #[error("the network interface at device index {0} cannot be detached")]
    InterfaceIndispensable(u32),
    #[error("an instance has at most {INTERFACES_MAX} network interfaces")]
    InterfaceLimitExceeded,
    #[error("address `{0}` is in use")]
    AddressInUse(Ipv4Addr),
    #[error("a network interface has at most {ADDRESSES_MAX} addresses")]
    InterfaceAddressesExceeded,
    #[error("no account `{0}`")]
    AccountNotFound(AccountId),
    #[error("there is an account named `{0}` already")]
    AccountExists(String),
    /// The id of something that is not there or is not taggable.
    #[error("no resource `{0}`")]
    ResourceNotFound(String),
    #[error("too many tags")]
    TagLimitExceeded,

    #[error("there is no instance type `{0}`")]
    UnknownInstanceType(String),
    #[error("there is no availability zone `{0}`")]
    UnknownZone(String),
    #[error("no room for {wanted} of `{instance_type}` in `{zone}`, {available} fit")]
    InsufficientCapacity { instance_type: String, zone: String, wanted: u32, available: u64 },
    /// A policy of the cloud's administrator.
    #[error("{wanted} more would exceed the account's limit of {limit} {}", .quantity.as_str())]
    QuotaExceeded { quantity: Quantity, limit: u64, wanted: u32 },
    #[error("what is free in `{zone}` was last heard of more than {seconds} s ago")]
    StaleCapacity { zone: String, seconds: u64 },
    #[error("more than {percent} % of what was started in `{zone}` lately did not come to run")]
    UnreliableCapacity { zone: String, percent: u64 },
    #[error(transparent)]
    Address(#[from] AddressFault),
    #[error(transparent)]
    Credential(#[from] CredentialFault),
    #[error("no free addresses in `{0}`")]
    AddressesExhausted(String),
    #[error("instance `{instance}` is `{state}`", state = .state.as_str())]
    IncorrectState { instance: InstanceId, state: InstanceState, wanted: Wanted },
    #[error("no node `{node}` is known in group `{group}`")]
    NodeNotFound { group: GroupName, node: NodeName },
    /// Its node was taken out of the configuration; nobody has said that it is gone for good.
    #[error("instance `{instance}` is on node `{node}`, which is not in the configuration")]
    OutOfReach { instance: InstanceId, node: NodeName },
    #[error("instance `{0}` is protected from termination")]
    TerminationProtected(InstanceId),
    #[error("instance `{0}` is protected from being stopped")]
    StopProtected(InstanceId),
    /// A client token used before with other parameters.
    #[error("the client token was used before for something else")]
    IdempotentParameterMismatch,

    /// A value no EC2 would take, in a sentence EC2 would write.
    #[error("{0}")]
    InvalidParameter(String),
    #[error("{0}")]
    InvalidCombination(String),
    #[error("{0}")]
    MissingParameter(String),
    /// EC2 would do it, and this cloud cannot.
    #[error("{0}")]
    Unsupported(String),

    /// The state could not be recorded; nothing was done.
    #[error("the request could not be recorded: {0}")]
    NotRecorded(String),
    /// The disk of the records is full; nothing was done.
    #[error("the disk of the cloud's records is full")]
    StorageFull,
    /// The disk failed in the middle: the request was not carried out, and may be found recorded
    /// if the cloud is restarted before its disk has recovered.
    #[error("it is unknown whether the request was recorded: {0}")]
    InDoubt(String),
    /// A question to a group or node got no answer; whether it was done is unknown.
    #[error("no answer from the group of the instance")]
    Unanswered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkKind {
    Vpc,
    Subnet,
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkKind::Vpc => "vpc",
            NetworkKind::Subnet => "subnet",
        })
    }
}

/// What an account's limit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantity {
    Instances,
    Vcpus,
    MemoryMib,
}

impl Quantity {
    pub fn as_str(self) -> &'static str {
        match self {
            Quantity::Instances => "instances",
            Quantity::Vcpus => "vCPUs",
            Quantity::MemoryMib => "MiB of memory",
        }
    }
}

/// What an instance's state did not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    Start,
    Stop,
    Reboot,
    /// A change that only a stopped instance can take.
    ChangeStopped,
    /// A change of an instance whose end has come.
    Change,
}

fn list<T: fmt::Display>(ids: &[T]) -> String {
    ids.iter().map(T::to_string).collect::<Vec<_>>().join("`, `")
}
