//! ModifySubnetAttribute: whether instances are to have a public address, which is kept and shown,
//! and changes nothing: every instance has a public interface. Of the other attributes none can be
//! had, and asking for their absence is granted.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        fault,
        response::Return,
        shapes::not_honoured::{NotHonoured, refuse_given, require, require_one_of},
    },
    domain::{fault::CloudFault, id::SubnetId},
    messages::cloud::network::ModifySubnet,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifySubnetAttribute {
    subnet_id: SubnetId,
    map_public_ip_on_launch: Option<Value>,
    assign_ipv6_address_on_creation: Option<Value>,
    map_customer_owned_ip_on_launch: Option<Value>,
    enable_dns64: Option<Value>,
    private_dns_hostname_type_on_launch: Option<String>,
    #[serde(rename = "EnableResourceNameDnsARecordOnLaunch")]
    enable_resource_name_dns_a_record: Option<Value>,
    #[serde(rename = "EnableResourceNameDnsAAAARecordOnLaunch")]
    enable_resource_name_dns_aaaa_record: Option<Value>,
    disable_lni_at_device_index: Option<Value>,
    customer_owned_ipv4_pool: Option<NotHonoured>,
    enable_lni_at_device_index: Option<NotHonoured>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Value {
    value: bool,
}

impl Action for ModifySubnetAttribute {
    const NAME: &'static str = "ModifySubnetAttribute";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        refuse_given(&[
            ("CustomerOwnedIpv4Pool", self.customer_owned_ipv4_pool),
            ("EnableLniAtDeviceIndex", self.enable_lni_at_device_index),
        ])?;
        let hostnames = self.private_dns_hostname_type_on_launch;
        require_one_of("PrivateDnsHostnameTypeOnLaunch", hostnames.as_deref(), &["ip-name"])?;
        let absent = [
            ("AssignIpv6AddressOnCreation", self.assign_ipv6_address_on_creation),
            ("MapCustomerOwnedIpOnLaunch", self.map_customer_owned_ip_on_launch),
            ("EnableDns64", self.enable_dns64),
            ("EnableResourceNameDnsARecordOnLaunch", self.enable_resource_name_dns_a_record),
            ("EnableResourceNameDnsAAAARecordOnLaunch", self.enable_resource_name_dns_aaaa_record),
            ("DisableLniAtDeviceIndex", self.disable_lni_at_device_index),
        ];
        let given = absent.iter().filter(|(_, value)| value.is_some()).count()
            + usize::from(hostnames.is_some())
            + usize::from(self.map_public_ip_on_launch.is_some());
        if given != 1 {
            return Err(ApiError::invalid_combination(
                "Exactly one attribute can be modified at a time.",
            ));
        }
        for (name, value) in absent {
            require(name, value.map(|value| value.value), false)?;
        }
        match self.map_public_ip_on_launch {
            Some(Value { value: maps_public_address }) => {
                let subnet = self.subnet_id;
                exchange.command(ModifySubnet { subnet, maps_public_address }).await?;
            }
            None if !exchange.own().subnets.contains_key(&self.subnet_id) => {
                return Err(fault::api_error(CloudFault::SubnetNotFound(self.subnet_id)));
            }
            None => {}
        }
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const MODIFY: &str = "ModifySubnetAttribute";

    #[actix_web::test]
    async fn what_is_said_of_public_addresses_is_shown() {
        let cloud = TestCloud::start().await;
        let subnet = cloud.value("DescribeSubnets", "", "subnetId").await;
        let shown = async || {
            let query = format!("SubnetId.1={subnet}");
            cloud.value("DescribeSubnets", &query, "mapPublicIpOnLaunch").await
        };
        assert_eq!(shown().await, "true");
        for value in ["false", "true"] {
            let query = format!("SubnetId={subnet}&MapPublicIpOnLaunch.Value={value}");
            cloud.check(MODIFY, &query, "<return>true</return>").await;
            assert_eq!(shown().await, value);
        }
        let query = format!("SubnetId={subnet}&MapPublicIpOnLaunch.Value=false");
        let code = "InvalidSubnetID.NotFound";
        cloud.of(BOB).check_refused(MODIFY, &query, code, &subnet).await;
    }

    #[actix_web::test]
    async fn the_absence_of_what_cannot_be_had_is_granted() {
        let cloud = TestCloud::start().await;
        let subnet = cloud.value("DescribeSubnets", "", "subnetId").await;
        for absent in ["AssignIpv6AddressOnCreation", "EnableDns64", "MapCustomerOwnedIpOnLaunch"] {
            let query = format!("SubnetId={subnet}&{absent}.Value=false");
            cloud.check(MODIFY, &query, "<return>true</return>").await;
            let query = format!("SubnetId={subnet}&{absent}.Value=true");
            cloud.check_refused(MODIFY, &query, "UnsupportedOperation", absent).await;
        }
        for nothing in ["", "&EnableDns64.Value=false&MapPublicIpOnLaunch.Value=true"] {
            let query = format!("SubnetId={subnet}{nothing}");
            cloud.check_refused(MODIFY, &query, "InvalidParameterCombination", "one").await;
        }
        let nowhere = "SubnetId=subnet-01234567&EnableDns64.Value=false";
        cloud.check_refused(MODIFY, nowhere, "InvalidSubnetID.NotFound", "").await;
    }
}
