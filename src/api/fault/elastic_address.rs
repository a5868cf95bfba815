//! What EC2 says when something cannot be done with an elastic address.

use crate::{
    api::error::{ApiError, Code},
    domain::elastic_address::AddressFault,
};

pub(super) fn api_error(fault: AddressFault) -> ApiError {
    let (code, message) = match fault {
        AddressFault::AllocationNotFound(id) => {
            (Code::InvalidAllocationIdNotFound, format!("The allocation ID '{id}' does not exist"))
        }
        AddressFault::AddressNotFound(address) => {
            (Code::InvalidAddressNotFound, format!("Address '{address}' not found."))
        }
        AddressFault::AnotherAccounts(address) => {
            (Code::AuthFailure, format!("The address '{address}' does not belong to you."))
        }
        AddressFault::AssociationNotFound(id) => (
            Code::InvalidAssociationIdNotFound,
            format!("The association ID '{id}' does not exist"),
        ),
        AddressFault::AlreadyAssociated { resource, association } => (
            Code::ResourceAlreadyAssociated,
            format!("resource {resource} is already associated with associate-id {association}"),
        ),
        AddressFault::InUse(address) => {
            (Code::InvalidIpAddressInUse, format!("The address '{address}' is in use."))
        }
        AddressFault::LimitExceeded => (
            Code::AddressLimitExceeded,
            "The maximum number of addresses has been reached.".to_owned(),
        ),
        AddressFault::Exhausted => (
            Code::InsufficientAddressCapacity,
            "There are not enough free addresses to satisfy your request.".to_owned(),
        ),
        AddressFault::Unavailable(address) => (
            Code::InvalidAddressNotFound,
            format!("The address '{address}' is not one that can be allocated."),
        ),
        AddressFault::InstanceNotReady { instance, state } => (
            Code::InvalidInstanceId,
            format!(
                "The {} instance '{instance}' is not in a valid state for this operation.",
                state.as_str()
            ),
        ),
        AddressFault::NotPublic(interface) => (
            Code::UnsupportedOperation,
            format!(
                "The network interface '{interface}' is on a private network only. Associate the \
                 address with the instance, or with its interface of device index 0."
            ),
        ),
        AddressFault::NotAnAddressOf { address, owner } => (
            Code::InvalidParameterValue,
            format!("The private IP address '{address}' is not assigned to '{owner}'."),
        ),
    };
    ApiError::new(code, message)
}
