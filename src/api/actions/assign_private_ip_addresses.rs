//! AssignPrivateIpAddresses: further addresses for an interface on the private wire, which its guest
//! gives itself. What a running guest may send from follows at its next start.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Set,
        shapes::{
            addresses_wanted::address,
            not_honoured::{NotHonoured, refuse_given},
        },
    },
    domain::id::InterfaceId,
    messages::cloud::interface::AssignAddresses,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssignPrivateIpAddresses {
    network_interface_id: InterfaceId,
    #[serde(default)]
    private_ip_address: Vec<String>,
    secondary_private_ip_address_count: Option<u32>,
    allow_reassignment: Option<bool>,
    ipv4_prefix: Option<NotHonoured>,
    ipv4_prefix_count: Option<NotHonoured>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    network_interface_id: String,
    assigned_private_ip_addresses_set: Set<Assigned>,
    assigned_ipv4_prefix_set: Set<String>,
    #[serde(rename = "return")]
    done: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Assigned {
    private_ip_address: String,
}

impl Action for AssignPrivateIpAddresses {
    const NAME: &'static str = "AssignPrivateIpAddresses";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        refuse_given(&[
            ("Ipv4Prefix", self.ipv4_prefix),
            ("Ipv4PrefixCount", self.ipv4_prefix_count),
        ])?;
        let count = self.secondary_private_ip_address_count.unwrap_or(0);
        if self.private_ip_address.is_empty() == (count == 0) {
            return Err(ApiError::invalid_combination(
                "Either private IP addresses or their number must be specified, and not both.",
            ));
        }
        let addresses = self.private_ip_address.iter().map(|text| address(text));
        let command = AssignAddresses {
            interface: self.network_interface_id.clone(),
            addresses: addresses.collect::<Result<_, _>>()?,
            count,
            allow_reassignment: self.allow_reassignment.unwrap_or(false),
        };
        let assigned = exchange.command(command).await?;
        let assigned = assigned
            .into_iter()
            .map(|address| Assigned { private_ip_address: address.to_string() });
        Ok(Response {
            network_interface_id: self.network_interface_id.into(),
            assigned_private_ip_addresses_set: assigned.collect(),
            assigned_ipv4_prefix_set: Set::default(),
            done: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{attach_network_interface::tests::cloud_with_both, testing::BOB};

    const ASSIGN: &str = "AssignPrivateIpAddresses";
    const UNASSIGN: &str = "UnassignPrivateIpAddresses";

    #[actix_web::test]
    async fn addresses_are_assigned_by_name_or_number_and_unassigned() {
        let (cloud, _) = cloud_with_both().await;
        let shown = async || {
            let query = "NetworkInterfaceId.1=eni-1";
            let mut all =
                cloud.values("DescribeNetworkInterfaces", query, "privateIpAddress").await;
            // The first is said twice: of the interface, and in its list.
            all.remove(0);
            all
        };
        assert_eq!(shown().await, ["10.0.1.9", "10.0.1.10"]);
        let query = "NetworkInterfaceId=eni-1&PrivateIpAddress.1=10.0.1.11";
        let answer = "<networkInterfaceId>eni-1</networkInterfaceId>\
             <assignedPrivateIpAddressesSet><item><privateIpAddress>10.0.1.11</privateIpAddress>\
             </item></assignedPrivateIpAddressesSet><assignedIpv4PrefixSet/><return>true</return>";
        cloud.check(ASSIGN, query, answer).await;
        assert_eq!(cloud.values(ASSIGN, query, "privateIpAddress").await, [] as [&str; 0]);
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        cloud.call("AttachNetworkInterface", attach).await.unwrap();
        let query = "NetworkInterfaceId=eni-1&SecondaryPrivateIpAddressCount=2";
        assert_eq!(cloud.values(ASSIGN, query, "privateIpAddress").await.len(), 2);
        assert_eq!(shown().await.len(), 5);
        let query = "NetworkInterfaceId=eni-1&PrivateIpAddress.1=10.0.1.10\
                     &PrivateIpAddress.2=10.0.1.11";
        cloud.check(UNASSIGN, query, "<return>true</return>").await;
        assert_eq!(shown().await.len(), 3);
        cloud.check_refused(UNASSIGN, query, "InvalidParameterValue", "10.0.1.10").await;
        let first = "NetworkInterfaceId=eni-1&PrivateIpAddress.1=10.0.1.9";
        cloud.check_refused(UNASSIGN, first, "InvalidParameterValue", "10.0.1.9").await;
    }

    #[actix_web::test]
    async fn a_further_address_of_another_interface_is_taken_where_that_is_allowed() {
        let (cloud, id) = cloud_with_both().await;
        let private = cloud.state().instance(&id).unwrap().interfaces[1].clone();
        let query = format!("NetworkInterfaceId={}&PrivateIpAddress.1=10.0.1.10", private.id);
        cloud.check_refused(ASSIGN, &query, "InvalidIPAddress.InUse", "10.0.1.10").await;
        cloud.call(ASSIGN, &format!("{query}&AllowReassignment=true")).await.unwrap();
        let own = cloud.exchange().await.own();
        assert!(own.detached_interfaces.values().all(|free| free.secondary.is_empty()));
        let after = cloud.state().instance(&id).unwrap().interfaces[1].clone();
        assert_eq!(after.secondary.len(), 1);
        // Its first one stays with it.
        let first = format!(
            "NetworkInterfaceId={}&PrivateIpAddress.1=10.0.1.9&AllowReassignment=true",
            private.id
        );
        cloud.check_refused(ASSIGN, &first, "InvalidIPAddress.InUse", "10.0.1.9").await;
    }

    #[actix_web::test]
    async fn what_cannot_be_assigned_is_refused() {
        let (cloud, id) = cloud_with_both().await;
        for (more, code) in [
            ("", "InvalidParameterCombination"),
            ("PrivateIpAddress.1=10.0.1.5&SecondaryPrivateIpAddressCount=1", "InvalidParameterCombination"),
            ("PrivateIpAddress.1=10.0.2.5", "InvalidParameterValue"),
            ("PrivateIpAddress.1=10.0.1.1", "InvalidParameterValue"),
            ("PrivateIpAddress.1=x", "InvalidParameterValue"),
            ("PrivateIpAddress.1=10.0.1.9", "InvalidIPAddress.InUse"),
            ("SecondaryPrivateIpAddressCount=15", "PrivateIpAddressLimitExceeded"),
            ("SecondaryPrivateIpAddressCount=11", "InsufficientFreeAddressesInSubnet"),
            ("Ipv4PrefixCount=1", "UnsupportedOperation"),
        ] {
            let query = format!("NetworkInterfaceId=eni-1&{more}");
            cloud.check_refused(ASSIGN, &query, code, "").await;
        }
        let public = cloud.state().instance(&id).unwrap().interfaces[0].id.clone();
        let query = format!("NetworkInterfaceId={public}&SecondaryPrivateIpAddressCount=1");
        cloud.check_refused(ASSIGN, &query, "UnsupportedOperation", "public").await;
        let query = "NetworkInterfaceId=eni-1&SecondaryPrivateIpAddressCount=1";
        let code = "InvalidNetworkInterfaceID.NotFound";
        cloud.of(BOB).check_refused(ASSIGN, query, code, "eni-1").await;
    }
}
