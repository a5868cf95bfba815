//! Asked of the cloud manager: commands of users, reports of groups.
//!
//! A user's command is plain domain values; EC2's shapes were left behind in `api`. It is asked
//! wrapped in `Commanded`, which says in which region and whether only to rehearse. Whose command
//! it is stands in the call's context.

use super::{
    Ask, asks,
    report::{GroupReport, Heard},
};
use crate::domain::{
    blob::BlobId,
    fault::CloudFault,
    id::{
        AccountId, GroupName, ImageId, InstanceId, KeyPairId, NodeName, RegionName, ReservationId,
        SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId, ZoneName,
    },
    image::{DiskFormat, ImageKind},
    instance::{InstanceState, ShutdownBehavior},
    key_pair::KeyType,
    metadata::MetadataOptions,
    port_filter::{Direction, Traffic},
    security_group::{Peer, SecurityGroupRule},
    tag::Tags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// A user's command.
pub trait Command: Serialize + DeserializeOwned + Send + 'static {
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    const NAME: &'static str;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commanded<C> {
    pub region: RegionName,
    /// Decide, and do nothing: `CloudFault::DryRun` is the answer of one that would succeed.
    pub dry_run: bool,
    pub command: C,
}

impl<C: Command> Ask for Commanded<C> {
    type Reply = C::Reply;
    type Fault = CloudFault;
    const NAME: &'static str = C::NAME;
}

macro_rules! commands {
    ($($command:ty => $reply:ty, $name:literal;)+) => {$(
        impl Command for $command {
            type Reply = $reply;
            const NAME: &'static str = $name;
        }
    )+};
}

pub mod credential;
pub mod elastic_address;
pub mod interface;
pub mod network;

/// Makes the caller's resources in the region that every account has: the default VPC, a subnet a
/// zone, the default security group. Harmless when they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenScope;

// Instances.

/// How a user names a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecurityGroupName {
    Id(SecurityGroupId),
    /// In the default VPC, or in that of the subnet asked for.
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchReservation {
    pub image: ImageId,
    pub kernel: Option<ImageId>,
    pub ramdisk: Option<ImageId>,
    pub min_count: u32,
    pub max_count: u32,
    /// `None` is the cloud's default type.
    pub instance_type: Option<String>,
    pub key_name: Option<String>,
    pub security_groups: Vec<SecurityGroupName>,
    pub zone: Option<ZoneName>,
    pub subnet: Option<SubnetId>,
    pub interfaces: interface::LaunchInterfaces,
    pub user_data: Option<Vec<u8>>,
    pub shutdown_behavior: ShutdownBehavior,
    pub disable_api_termination: bool,
    pub disable_api_stop: bool,
    pub ebs_optimized: bool,
    pub monitoring: bool,
    pub metadata_options: MetadataOptions,
    /// Of the root disk, not smaller than the image's. `None` is the type's, or the image's if that
    /// is larger.
    pub root_gib: Option<u64>,
    pub instance_tags: Tags,
    pub volume_tags: Tags,
    pub interface_tags: Tags,
    pub client_token: Option<String>,
}

impl LaunchReservation {
    /// One instance, everything but the image left to the cloud.
    pub fn of(image: ImageId) -> LaunchReservation {
        LaunchReservation {
            image,
            kernel: None,
            ramdisk: None,
            min_count: 1,
            max_count: 1,
            instance_type: None,
            key_name: None,
            security_groups: Vec::new(),
            zone: None,
            subnet: None,
            interfaces: interface::LaunchInterfaces::default(),
            user_data: None,
            shutdown_behavior: ShutdownBehavior::Stop,
            disable_api_termination: false,
            disable_api_stop: false,
            ebs_optimized: false,
            monitoring: false,
            metadata_options: MetadataOptions::default(),
            root_gib: None,
            instance_tags: Tags::new(),
            volume_tags: Tags::new(),
            interface_tags: Tags::new(),
            client_token: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    pub reservation: ReservationId,
    pub instances: Vec<InstanceId>,
}

/// An instance's state before and after a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    pub instance: InstanceId,
    pub previous: InstanceState,
    pub current: InstanceState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateInstances {
    pub instances: Vec<InstanceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopInstances {
    pub instances: Vec<InstanceId>,
    pub force: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartInstances {
    pub instances: Vec<InstanceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootInstances {
    pub instances: Vec<InstanceId>,
}

/// One change of an instance's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceAttribute {
    /// Only while stopped.
    InstanceType(String),
    /// Only while stopped.
    UserData(Option<Vec<u8>>),
    ShutdownBehavior(ShutdownBehavior),
    DisableApiTermination(bool),
    DisableApiStop(bool),
    EbsOptimized(bool),
    SourceDestCheck(bool),
    SecurityGroups(Vec<SecurityGroupId>),
    MetadataOptions(MetadataOptions),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyInstance {
    pub instance: InstanceId,
    pub attribute: InstanceAttribute,
}

// Key pairs.

/// The public half of a pair, made here or imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordKeyPair {
    pub name: String,
    pub key_type: KeyType,
    pub fingerprint: String,
    pub public_key: String,
    pub tags: Tags,
}

/// A pair by name or id. Deleting one that is not there is no error, as EC2 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeleteKeyPair {
    Named(String),
    Id(KeyPairId),
}

// Security groups.

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSecurityGroup {
    pub name: String,
    pub description: String,
    /// `None` is the default VPC.
    pub vpc: Option<VpcId>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSecurityGroup {
    pub group: SecurityGroupName,
}

/// A rule as a user writes it, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub traffic: Traffic,
    pub peer: Peer,
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizeSecurityGroup {
    pub group: SecurityGroupName,
    pub direction: Direction,
    pub permissions: Vec<Permission>,
    /// Put on every rule made.
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeSecurityGroup {
    pub group: SecurityGroupName,
    pub direction: Direction,
    pub permissions: Vec<Permission>,
    pub rules: Vec<SecurityGroupRuleId>,
}

/// Replaces rules in place, keeping their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifySecurityGroupRules {
    pub group: SecurityGroupId,
    pub rules: Vec<(SecurityGroupRuleId, Permission)>,
}

/// The rules to be described are named by what they permit or by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRuleDescriptions {
    pub group: SecurityGroupName,
    pub direction: Direction,
    pub permissions: Vec<Permission>,
    pub rules: Vec<(SecurityGroupRuleId, Option<String>)>,
}

/// The rules a command made, changed or took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesChanged {
    pub group: SecurityGroupId,
    pub rules: Vec<SecurityGroupRule>,
}

// Tags.

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTags {
    pub resources: Vec<String>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTags {
    pub resources: Vec<String>,
    /// Keys, each with the value it must have to be deleted, if that matters. None at all: every
    /// tag.
    pub tags: Vec<(String, Option<String>)>,
}

// Images.

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterImage {
    pub kind: ImageKind,
    pub name: String,
    pub description: Option<String>,
    pub architecture: String,
    /// Bytes that are in the cloud's blob store already.
    pub blob: BlobId,
    pub format: DiskFormat,
    pub size_gib: u64,
    pub kernel: Option<ImageId>,
    pub ramdisk: Option<ImageId>,
    pub root_device_name: String,
    pub public: bool,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeregisterImage {
    pub image: ImageId,
}

/// `None` is everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageChange {
    Description(String),
    Launch { add: Vec<Option<AccountId>>, remove: Vec<Option<AccountId>> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyImage {
    pub image: ImageId,
    pub change: ImageChange,
}

// Accounts (administrators only).

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAccount {
    pub name: String,
}

/// A node is gone, says an administrator: whatever was there has ended, or is to run elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictNode {
    pub group: GroupName,
    pub node: NodeName,
    /// It had a certificate, though it may never have reported.
    pub was_member: bool,
}

/// What becomes of the instances of a node that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    pub ended: Vec<InstanceId>,
    /// Once their group has taken it that the node is gone.
    pub restarted: Vec<InstanceId>,
}

/// A new account and its first access key; the secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCreated {
    pub account: AccountId,
    pub access_key_id: String,
    pub secret_access_key: String,
}

// Questions that a snapshot cannot answer.

/// The end of an instance's console, read from its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadConsole {
    pub region: RegionName,
    pub instance: InstanceId,
}

/// From a group: a node's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportGroup {
    pub report: GroupReport,
}

/// From a group: what its own records say beyond the reports of its nodes. Its whole word, every
/// time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPlacements {
    pub group: GroupName,
    /// Room is kept for these, and their nodes do not speak of them.
    pub unstated: Vec<InstanceId>,
    /// Nodes that are on record to have instances and are not of this group any more.
    pub absent: BTreeSet<NodeName>,
}

commands! {
    OpenScope => (), "cloud.open_scope";
    LaunchReservation => Launched, "cloud.launch_reservation";
    TerminateInstances => Vec<StateChange>, "cloud.terminate_instances";
    StopInstances => Vec<StateChange>, "cloud.stop_instances";
    StartInstances => Vec<StateChange>, "cloud.start_instances";
    RebootInstances => (), "cloud.reboot_instances";
    ModifyInstance => (), "cloud.modify_instance";
    RecordKeyPair => KeyPairId, "cloud.record_key_pair";
    DeleteKeyPair => Option<KeyPairId>, "cloud.delete_key_pair";
    CreateSecurityGroup => SecurityGroupId, "cloud.create_security_group";
    DeleteSecurityGroup => SecurityGroupId, "cloud.delete_security_group";
    AuthorizeSecurityGroup => RulesChanged, "cloud.authorize_security_group";
    RevokeSecurityGroup => RulesChanged, "cloud.revoke_security_group";
    ModifySecurityGroupRules => RulesChanged, "cloud.modify_security_group_rules";
    UpdateRuleDescriptions => RulesChanged, "cloud.update_rule_descriptions";
    CreateTags => (), "cloud.create_tags";
    DeleteTags => (), "cloud.delete_tags";
    RegisterImage => ImageId, "cloud.register_image";
    DeregisterImage => (), "cloud.deregister_image";
    ModifyImage => (), "cloud.modify_image";
    CreateAccount => AccountCreated, "cloud.create_account";
    EvictNode => Evicted, "cloud.evict_node";
}

asks! {
    ReadConsole => super::node::ConsoleText, CloudFault, "cloud.read_console";
    ReportGroup => Heard, CloudFault, "cloud.report_group";
    ReportPlacements => (), CloudFault, "cloud.report_placements";
}
