//! What RunInstances says of networks: of the instance, or of its interfaces one by one.
//!
//! Instances show their public interface as device 0 and their private one as device 1. Clients
//! know one, and mean it by `DeviceIndex` 0: in a request that describes the instance's own two,
//! where subnet, addresses and an existing interface are the private one's. What the request
//! describes beyond begins with 2, as it is shown.

use super::{
    addresses_wanted::{self, PrivateAddressParameter},
    not_honoured::{NotHonoured, refuse_count, refuse_given, require, require_one_of, unsupported},
};
use crate::{
    api::error::ApiError,
    domain::{
        id::{InterfaceId, SecurityGroupId, SubnetId},
        interface::FURTHER_FROM,
    },
    messages::cloud::{
        SecurityGroupName,
        interface::{
            FurtherInterface, InterfaceSource, LaunchInterfaces, NewInterface, PrivateInterface,
        },
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

/// An element of `NetworkInterface`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInterfaceParameter {
    device_index: Option<u32>,
    subnet_id: Option<SubnetId>,
    #[serde(default, alias = "Groups")]
    security_group_id: Vec<SecurityGroupId>,
    associate_public_ip_address: Option<bool>,
    delete_on_termination: Option<bool>,
    interface_type: Option<String>,
    network_card_index: Option<u32>,
    description: Option<String>,
    network_interface_id: Option<InterfaceId>,
    private_ip_address: Option<String>,
    #[serde(default)]
    private_ip_addresses: Vec<PrivateAddressParameter>,
    secondary_private_ip_address_count: Option<u32>,
    ipv6_address_count: Option<u32>,
    ipv6_addresses: Option<NotHonoured>,
}

/// Where the instances are to be, and behind which rules.
#[derive(Debug)]
pub struct LaunchNetwork {
    pub security_groups: Vec<SecurityGroupName>,
    pub subnet: Option<SubnetId>,
    pub interfaces: LaunchInterfaces,
}

impl LaunchNetwork {
    /// With what was said of interfaces: EC2 refuses both at once.
    pub fn read(
        mut self,
        private_address: Option<&str>,
        parameters: Vec<NetworkInterfaceParameter>,
    ) -> Result<LaunchNetwork, ApiError> {
        if parameters.is_empty() {
            self.interfaces.private.addresses = addresses_wanted::read(private_address, &[], None)?;
            return Ok(self);
        }
        for (is_said, what) in [
            (!self.security_groups.is_empty(), "security groups"),
            (self.subnet.is_some(), "subnet ID"),
            (private_address.is_some(), "private IP address"),
        ] {
            if is_said {
                return Err(ApiError::invalid_combination(format!(
                    "Network interfaces and an instance-level {what} may not be specified on the \
                     same request"
                )));
            }
        }
        let (own, further): (Vec<_>, Vec<_>) =
            parameters.into_iter().enumerate().partition(|(_, it)| it.device_index == Some(0));
        let mut own = own.into_iter();
        if let Some((_, parameter)) = own.next() {
            self.take_own(parameter)?;
        }
        if own.next().is_some() {
            return Err(ApiError::invalid_combination(
                "Several network interfaces are specified for device index '0'",
            ));
        }
        for (number, parameter) in further {
            let name = |field: &str| format!("NetworkInterface.{}.{field}", number + 1);
            let interface = further_one(parameter, self.subnet.as_ref(), name)?;
            self.interfaces.further.push(interface);
        }
        Ok(self)
    }

    fn take_own(&mut self, parameter: NetworkInterfaceParameter) -> Result<(), ApiError> {
        check(&parameter)?;
        require("AssociatePublicIpAddress", parameter.associate_public_ip_address, true)?;
        let deleted = parameter.delete_on_termination;
        self.interfaces.private = match parameter.existing()? {
            Some(existing) => PrivateInterface {
                existing: Some(existing),
                outlives_instance: true,
                ..PrivateInterface::default()
            },
            None => PrivateInterface {
                existing: None,
                addresses: parameter.addresses()?,
                description: parameter.description.unwrap_or_default(),
                outlives_instance: deleted == Some(false),
            },
        };
        let groups = parameter.security_group_id.into_iter();
        self.security_groups = groups.map(SecurityGroupName::Id).collect();
        self.subnet = parameter.subnet_id;
        Ok(())
    }
}

fn further_one(
    parameter: NetworkInterfaceParameter,
    own_subnet: Option<&SubnetId>,
    name: impl Fn(&str) -> String,
) -> Result<FurtherInterface, ApiError> {
    let index = parameter.device_index;
    let device_index = index.ok_or_else(|| ApiError::missing_parameter(&name("DeviceIndex")))?;
    if device_index < FURTHER_FROM {
        return Err(unsupported(
            "DeviceIndex 0 describes the public and the private interface that every instance has \
             in this cloud. Further ones begin with DeviceIndex 2.",
        ));
    }
    check(&parameter)?;
    require("AssociatePublicIpAddress", parameter.associate_public_ip_address, false)?;
    if let Some(existing) = parameter.existing()? {
        let interface = InterfaceSource::Existing(existing);
        return Ok(FurtherInterface { device_index, interface, outlives_instance: true });
    }
    let addresses = parameter.addresses()?;
    let subnet = parameter.subnet_id.or_else(|| own_subnet.cloned());
    Ok(FurtherInterface {
        device_index,
        outlives_instance: parameter.delete_on_termination == Some(false),
        interface: InterfaceSource::New(NewInterface {
            subnet: subnet.ok_or_else(|| ApiError::missing_parameter(&name("SubnetId")))?,
            addresses,
            description: parameter.description.unwrap_or_default(),
            security_groups: parameter.security_group_id,
        }),
    })
}

fn check(parameter: &NetworkInterfaceParameter) -> Result<(), ApiError> {
    refuse_given(&[("Ipv6Addresses", parameter.ipv6_addresses)])?;
    require_one_of("InterfaceType", parameter.interface_type.as_deref(), &["interface"])?;
    refuse_count("NetworkCardIndex", parameter.network_card_index)?;
    refuse_count("Ipv6AddressCount", parameter.ipv6_address_count)
}

impl NetworkInterfaceParameter {
    fn addresses(&self) -> Result<crate::messages::cloud::interface::AddressesWanted, ApiError> {
        let primary = self.private_ip_address.as_deref();
        let count = self.secondary_private_ip_address_count;
        addresses_wanted::read(primary, &self.private_ip_addresses, count)
    }

    /// One that is there already has all that could be said of it.
    fn existing(&self) -> Result<Option<InterfaceId>, ApiError> {
        let Some(id) = &self.network_interface_id else { return Ok(None) };
        for (is_said, what) in [
            (self.subnet_id.is_some(), "a subnet ID"),
            (!self.security_group_id.is_empty(), "security groups"),
            (self.description.is_some(), "a description"),
            (self.private_ip_address.is_some(), "a private IP address"),
            (!self.private_ip_addresses.is_empty(), "private IP addresses"),
            (self.secondary_private_ip_address_count.is_some(), "a number of private IP addresses"),
            (self.delete_on_termination == Some(true), "delete on termination as true"),
        ] {
            if is_said {
                return Err(ApiError::invalid_combination(format!(
                    "A network interface may not specify a network interface ID and {what}"
                )));
            }
        }
        Ok(Some(id.clone()))
    }
}
