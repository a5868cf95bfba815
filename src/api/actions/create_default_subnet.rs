//! CreateDefaultSubnet: refused, since every zone that the default VPC has room for has one.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        fault,
        response::Return,
        shapes::{not_honoured::unsupported, zone::zones},
    },
    domain::{fault::CloudFault, id::ZoneName},
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDefaultSubnet {
    availability_zone: Option<ZoneName>,
    availability_zone_id: Option<String>,
    ipv6_native: Option<bool>,
}

impl Action for CreateDefaultSubnet {
    const NAME: &'static str = "CreateDefaultSubnet";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        if self.ipv6_native == Some(true) {
            return Err(unsupported("Ipv6Native is not supported by this cloud."));
        }
        let asked = match (self.availability_zone, self.availability_zone_id) {
            (Some(name), _) => name.to_string(),
            (None, Some(id)) => id,
            (None, None) => return Err(ApiError::missing_parameter("AvailabilityZone")),
        };
        let mut zones = zones(exchange).into_iter();
        let zone = zones.find(|zone| zone.name.as_str() == asked || zone.id == asked);
        let zone = zone.ok_or_else(|| fault::api_error(CloudFault::UnknownZone(asked)))?.name;
        let own = exchange.own();
        let mut subnets = own.subnets.values();
        match subnets.find(|subnet| subnet.is_default && subnet.zone == zone) {
            Some(subnet) => Err(ApiError::new(
                Code::DefaultSubnetAlreadyExists,
                format!("'{}' is already the default subnet in {zone}.", subnet.id),
            )),
            None => Err(unsupported(format!("The default VPC has no room for a subnet in {zone}."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn every_zone_has_one_already() {
        let cloud = TestCloud::start().await;
        for (query, code, part) in [
            (
                "AvailabilityZone=us-east-1a",
                "DefaultSubnetAlreadyExistsInAvailabilityZone",
                "is already the default subnet in us-east-1a",
            ),
            (
                "AvailabilityZoneId=use1-az2",
                "DefaultSubnetAlreadyExistsInAvailabilityZone",
                "in us-east-1b",
            ),
            ("AvailabilityZone=us-east-1z", "InvalidParameterValue", "us-east-1z"),
            ("", "MissingParameter", "AvailabilityZone"),
        ] {
            cloud.check_refused("CreateDefaultSubnet", query, code, part).await;
        }
    }
}
