//! From the cloud's faults to EC2's codes and texts: the one place where they meet.

mod credential;
mod elastic_address;

use super::error::{ApiError, Code, echo};
use crate::domain::{
    elastic_address::AddressFault,
    fault::{CloudFault, Quantity, Wanted},
    id::{
        AllocationId, ImageId, InstanceId, InterfaceId, KeyPairId, SecurityGroupId,
        SecurityGroupRuleId, SubnetId, VolumeId, VpcId,
    },
    instance::InstanceState,
    interface::{ADDRESSES_MAX, INTERFACES_MAX},
};

pub fn api_error(fault: CloudFault) -> ApiError {
    let (code, message) = match fault {
        CloudFault::DryRun => return ApiError::dry_run(),
        CloudFault::NotAuthorized(_) => return ApiError::unauthorized(),

        CloudFault::InstancesNotFound(ids) => (
            Code::InvalidInstanceIdNotFound,
            not_found(
                "The instance ID",
                "The instance IDs",
                "does not exist",
                "do not exist",
                &ids,
            ),
        ),
        CloudFault::ImagesNotFound(ids) => (
            Code::InvalidAmiIdNotFound,
            // In brackets, unlike the ids of anything else.
            match ids.as_slice() {
                [id] => format!("The image id '[{id}]' does not exist"),
                _ => format!("The image ids '[{}]' do not exist", joined(&ids)),
            },
        ),
        CloudFault::ImageUnavailable(id) => {
            (Code::InvalidAmiIdUnavailable, format!("The image ID '{id}' is no longer available"))
        }
        CloudFault::ImageNameExists { name, image } => (
            Code::InvalidAmiNameDuplicate,
            format!("AMI name {name} is already in use by AMI {image}"),
        ),
        CloudFault::KeyPairNotFound(name) => {
            (Code::InvalidKeyPairNotFound, format!("The key pair '{name}' does not exist"))
        }
        CloudFault::KeyPairExists(name) => {
            (Code::InvalidKeyPairDuplicate, format!("The keypair '{name}' already exists."))
        }
        CloudFault::SecurityGroupNotFound(id) => {
            (Code::InvalidGroupNotFound, format!("The security group '{id}' does not exist"))
        }
        CloudFault::SecurityGroupNameNotFound(name) => (
            Code::InvalidGroupNotFound,
            format!("The security group '{name}' does not exist in default VPC"),
        ),
        CloudFault::SecurityGroupExists { name, vpc } => (
            Code::InvalidGroupDuplicate,
            format!("The security group '{name}' already exists for VPC '{vpc}'"),
        ),
        CloudFault::SecurityGroupNameReserved(name) => {
            (Code::InvalidGroupReserved, format!("The security group '{name}' is reserved"))
        }
        CloudFault::SecurityGroupElsewhere { group, vpc } => (
            Code::InvalidParameter,
            format!("Security group {group} and VPC {vpc} belong to different networks."),
        ),
        CloudFault::SecurityGroupInUse(id) => {
            (Code::DependencyViolation, format!("resource {id} has a dependent object"))
        }
        CloudFault::DefaultSecurityGroup(id) => (
            Code::CannotDelete,
            format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
        ),
        CloudFault::SecurityGroupRulesNotFound(ids) => (
            Code::InvalidSecurityGroupRuleIdNotFound,
            not_found(
                "The security group rule ID",
                "The security group rule IDs",
                "does not exist",
                "do not exist",
                &ids,
            ),
        ),
        CloudFault::PermissionExists(rule) => (
            Code::InvalidPermissionDuplicate,
            format!("the specified rule \"{rule}\" already exists"),
        ),
        CloudFault::PermissionNotFound(_) => (
            Code::InvalidPermissionNotFound,
            "The specified rule does not exist in this security group.".to_owned(),
        ),
        CloudFault::PermissionMalformed(why) => (Code::InvalidPermissionMalformed, why),
        CloudFault::RuleLimitExceeded(_) => (
            Code::RulesPerSecurityGroupLimitExceeded,
            "The maximum number of rules per security group has been reached.".to_owned(),
        ),
        CloudFault::VpcNotFound(id) => {
            (Code::InvalidVpcIdNotFound, format!("The vpc ID '{id}' does not exist"))
        }
        CloudFault::VpcRange(cidr) => {
            (Code::InvalidVpcRange, format!("The CIDR '{cidr}' is invalid."))
        }
        CloudFault::NetworksExhausted => (
            Code::VpcLimitExceeded,
            "The maximum number of VPCs of this cloud has been reached.".to_owned(),
        ),
        CloudFault::SubnetRange(cidr) => {
            (Code::InvalidSubnetRange, format!("The CIDR '{cidr}' is invalid."))
        }
        CloudFault::SubnetConflict(cidr) => (
            Code::InvalidSubnetConflict,
            format!("The CIDR '{cidr}' conflicts with another subnet"),
        ),
        CloudFault::NetworkInUse { kind, id } => (
            Code::DependencyViolation,
            format!("The {kind} '{id}' has dependencies and cannot be deleted."),
        ),
        CloudFault::DefaultNetwork { kind, id } => (
            Code::OperationNotPermitted,
            format!("The default {kind} '{id}' cannot be deleted: every account has it."),
        ),
        CloudFault::SubnetNotFound(id) => {
            (Code::InvalidSubnetIdNotFound, format!("The subnet ID '{id}' does not exist"))
        }
        CloudFault::InterfaceNotFound(id) => (
            Code::InvalidNetworkInterfaceIdNotFound,
            format!("The networkInterface ID '{id}' does not exist"),
        ),
        CloudFault::AttachmentNotFound(id) => (
            Code::InvalidAttachmentIdNotFound,
            format!("The networkInterfaceAttachment ID '{id}' does not exist"),
        ),
        CloudFault::InterfaceInUse(id) => {
            (Code::InvalidNetworkInterfaceInUse, format!("Interface: [{id}] in use."))
        }
        CloudFault::InterfaceIndispensable(index) => (
            Code::OperationNotPermitted,
            format!("The network interface at device index {index} cannot be detached."),
        ),
        CloudFault::InterfaceLimitExceeded => (
            Code::AttachmentLimitExceeded,
            format!("An instance has at most {INTERFACES_MAX} network interfaces."),
        ),
        CloudFault::AddressInUse(address) => {
            (Code::InvalidIpAddressInUse, format!("Address {address} is in use."))
        }
        CloudFault::InterfaceAddressesExceeded => (
            Code::PrivateIpAddressLimitExceeded,
            format!("A network interface has at most {ADDRESSES_MAX} private addresses."),
        ),
        CloudFault::AccountNotFound(id) => {
            (Code::InvalidParameterValue, format!("There is no account '{id}'"))
        }
        CloudFault::AccountExists(name) => {
            (Code::InvalidParameterValue, format!("There is an account named '{name}' already"))
        }
        CloudFault::ResourceNotFound(id) => return resource_not_found(&id),
        CloudFault::TagLimitExceeded => (
            Code::TagLimitExceeded,
            "The maximum number of Tags for a resource has been reached.".to_owned(),
        ),

        CloudFault::UnknownInstanceType(name) => {
            (Code::InvalidParameterValue, format!("Invalid value '{name}' for InstanceType."))
        }
        CloudFault::UnknownZone(name) => {
            (Code::InvalidParameterValue, format!("Invalid availability zone: [{name}]"))
        }
        CloudFault::QuotaExceeded { quantity, limit, wanted } => match quantity {
            Quantity::Vcpus => (
                Code::VcpuLimitExceeded,
                format!(
                    "You have requested more vCPU capacity than your current vCPU limit of {limit} \
                     allows for the instance bucket that the specified instance type belongs to."
                ),
            ),
            Quantity::Instances => (
                Code::InstanceLimitExceeded,
                format!(
                    "You have requested more instances ({wanted}) than your current instance limit \
                     of {limit} allows for the specified instance type."
                ),
            ),
            Quantity::MemoryMib => (
                Code::InstanceLimitExceeded,
                format!(
                    "You have requested more instances ({wanted}) than your current limit of \
                     {limit} MiB of memory allows for the specified instance type."
                ),
            ),
        },
        CloudFault::StaleCapacity { zone, seconds } => (
            Code::InsufficientInstanceCapacity,
            format!(
                "Nothing has been heard of the free capacity of '{zone}' for more than {seconds} \
                 seconds. Please try again later."
            ),
        ),
        CloudFault::UnreliableCapacity { zone, percent } => (
            Code::InsufficientInstanceCapacity,
            format!(
                "More than {percent} % of the instances launched in '{zone}' lately could not be \
                 started. Please try again later."
            ),
        ),
        CloudFault::InsufficientCapacity { instance_type, zone, wanted, available } => (
            Code::InsufficientInstanceCapacity,
            format!(
                "We currently do not have sufficient {instance_type} capacity in the Availability \
                 Zone you requested ({zone}): {wanted} wanted, {available} available."
            ),
        ),
        CloudFault::Address(fault) => return elastic_address::api_error(fault),
        CloudFault::Credential(fault) => return credential::api_error(fault),
        CloudFault::AddressesExhausted(range) => (
            Code::InsufficientFreeAddressesInSubnet,
            format!("There are not enough free addresses in '{range}'."),
        ),
        CloudFault::IncorrectState { instance, state, wanted } => {
            (Code::IncorrectInstanceState, incorrect_state(&instance, state, wanted))
        }
        CloudFault::NodeNotFound { group, node } => (
            Code::InvalidParameterValue,
            format!("The group '{group}' has no node '{node}' that this cloud knows."),
        ),
        CloudFault::OutOfReach { instance, node } => (
            Code::IncorrectInstanceState,
            format!(
                "The instance '{instance}' cannot be reached: its node '{node}' is not in the \
                 cloud's configuration any more. It stays as last known until the administrator \
                 puts the node back or evicts it."
            ),
        ),
        CloudFault::TerminationProtected(id) => (
            Code::OperationNotPermitted,
            format!(
                "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' \
                 instance attribute and try again."
            ),
        ),
        CloudFault::StopProtected(id) => (
            Code::OperationNotPermitted,
            format!(
                "The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance \
                 attribute and try again."
            ),
        ),
        CloudFault::IdempotentParameterMismatch => (
            Code::IdempotentParameterMismatch,
            "Arguments on this idempotent request are inconsistent with arguments used in \
             previous request(s)."
                .to_owned(),
        ),

        CloudFault::InvalidParameter(message) => (Code::InvalidParameterValue, message),
        CloudFault::InvalidCombination(message) => (Code::InvalidParameterCombination, message),
        CloudFault::MissingParameter(message) => (Code::MissingParameter, message),
        CloudFault::Unsupported(message) => (Code::UnsupportedOperation, message),

        // The cause is the operator's business and stands in the log.
        CloudFault::NotRecorded(why) | CloudFault::InDoubt(why) => {
            log::error!("not recorded: {why}");
            return ApiError::internal();
        }
        CloudFault::StorageFull => (
            Code::Unavailable,
            "The disk that holds the cloud's records is full. Nothing was done; requests are taken \
             again when the disk has room."
                .to_owned(),
        ),
        CloudFault::Unanswered => {
            (Code::Unavailable, "The server is overloaded and can't handle the request.".to_owned())
        }
    };
    ApiError::new(code, message)
}

/// EC2 says which kind of resource is missing, where the id tells.
fn resource_not_found(id: &str) -> ApiError {
    if let Ok(id) = id.parse::<InstanceId>() {
        api_error(CloudFault::InstancesNotFound(vec![id]))
    } else if let Ok(id) = id.parse::<ImageId>() {
        api_error(CloudFault::ImagesNotFound(vec![id]))
    } else if let Ok(id) = id.parse::<SecurityGroupId>() {
        api_error(CloudFault::SecurityGroupNotFound(id))
    } else if let Ok(id) = id.parse::<SecurityGroupRuleId>() {
        api_error(CloudFault::SecurityGroupRulesNotFound(vec![id]))
    } else if let Ok(id) = id.parse::<VpcId>() {
        api_error(CloudFault::VpcNotFound(id))
    } else if let Ok(id) = id.parse::<SubnetId>() {
        api_error(CloudFault::SubnetNotFound(id))
    } else if let Ok(id) = id.parse::<InterfaceId>() {
        api_error(CloudFault::InterfaceNotFound(id))
    } else if let Ok(id) = id.parse::<AllocationId>() {
        api_error(AddressFault::AllocationNotFound(id).into())
    } else if let Ok(id) = id.parse::<KeyPairId>() {
        api_error(CloudFault::KeyPairNotFound(id.to_string()))
    } else if let Ok(id) = id.parse::<VolumeId>() {
        let message = format!("The volume '{id}' does not exist.");
        ApiError::new(Code::InvalidVolumeNotFound, message)
    } else {
        let message = format!("The ID '{}' is not valid", echo(id));
        ApiError::new(Code::InvalidId, message)
    }
}

fn not_found<T: std::fmt::Display>(
    one: &str,
    many: &str,
    is_not: &str,
    are_not: &str,
    ids: &[T],
) -> String {
    match ids {
        [id] => format!("{one} '{id}' {is_not}"),
        _ => {
            format!("{many} '{}' {are_not}", joined(ids))
        }
    }
}

fn incorrect_state(instance: &InstanceId, state: InstanceState, wanted: Wanted) -> String {
    let not = |what: &str| {
        format!("The instance '{instance}' is not in a state from which it can be {what}.")
    };
    match wanted {
        Wanted::Start => not("started"),
        Wanted::Stop => not("stopped"),
        Wanted::Reboot => not("rebooted"),
        Wanted::ChangeStopped => {
            format!("The instance '{instance}' is not in the 'stopped' state.")
        }
        Wanted::Change => {
            format!("The instance '{instance}' is '{}' and cannot be modified.", state.as_str())
        }
    }
}

fn joined<T: std::fmt::Display>(ids: &[T]) -> String {
    ids.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
