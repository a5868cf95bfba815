//! UnassignPrivateIpAddresses: takes further addresses from an interface. Its first one stays.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
        shapes::{
            addresses_wanted::address,
            not_honoured::{NotHonoured, refuse_given},
        },
    },
    domain::id::InterfaceId,
    messages::cloud::interface::UnassignAddresses,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UnassignPrivateIpAddresses {
    network_interface_id: InterfaceId,
    #[serde(default)]
    private_ip_address: Vec<String>,
    ipv4_prefix: Option<NotHonoured>,
}

impl Action for UnassignPrivateIpAddresses {
    const NAME: &'static str = "UnassignPrivateIpAddresses";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        refuse_given(&[("Ipv4Prefix", self.ipv4_prefix)])?;
        if self.private_ip_address.is_empty() {
            return Err(ApiError::missing_parameter("PrivateIpAddress"));
        }
        let addresses = self.private_ip_address.iter().map(|text| address(text));
        let command = UnassignAddresses {
            interface: self.network_interface_id,
            addresses: addresses.collect::<Result<_, _>>()?,
        };
        exchange.command(command).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach_network_interface::tests::cloud_with_both;

    #[actix_web::test]
    async fn one_that_is_none_of_the_interfaces_is_refused_and_nothing_is_taken() {
        let (cloud, _) = cloud_with_both().await;
        for (more, code) in [
            ("", "MissingParameter"),
            ("PrivateIpAddress.1=10.0.1.10&PrivateIpAddress.2=10.0.1.11", "InvalidParameterValue"),
            ("Ipv4Prefix.1=10.0.1.0/28", "UnsupportedOperation"),
        ] {
            let query = format!("NetworkInterfaceId=eni-1&{more}");
            cloud.check_refused("UnassignPrivateIpAddresses", &query, code, "").await;
        }
        let own = cloud.exchange().await.own();
        assert!(own.detached_interfaces.values().all(|free| free.secondary.len() == 1));
    }
}
