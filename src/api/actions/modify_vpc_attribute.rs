//! ModifyVpcAttribute: one attribute a request. What is said is kept and shown; guests are given a
//! name server in any case, and no name that it knows.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::VpcId,
    messages::cloud::network::{ModifyVpc, VpcAttribute},
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyVpcAttribute {
    vpc_id: VpcId,
    enable_dns_support: Option<Value>,
    enable_dns_hostnames: Option<Value>,
    enable_network_address_usage_metrics: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Value {
    value: bool,
}

impl Action for ModifyVpcAttribute {
    const NAME: &'static str = "ModifyVpcAttribute";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        let given = [
            self.enable_dns_support.map(|on| VpcAttribute::DnsSupport(on.value)),
            self.enable_dns_hostnames.map(|on| VpcAttribute::DnsHostnames(on.value)),
            self.enable_network_address_usage_metrics
                .map(|on| VpcAttribute::AddressUsageMetrics(on.value)),
        ];
        let mut given = given.into_iter().flatten();
        let (Some(attribute), None) = (given.next(), given.next()) else {
            return Err(ApiError::invalid_combination(
                "Exactly one attribute can be modified at a time.",
            ));
        };
        exchange.command(ModifyVpc { vpc: self.vpc_id, attribute }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const MODIFY: &str = "ModifyVpcAttribute";

    #[actix_web::test]
    async fn one_attribute_is_changed_at_a_time_and_shown() {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId").await;
        for (name, shown) in [
            ("EnableDnsSupport", "enableDnsSupport"),
            ("EnableDnsHostnames", "enableDnsHostnames"),
            ("EnableNetworkAddressUsageMetrics", "enableNetworkAddressUsageMetrics"),
        ] {
            for value in ["true", "false"] {
                let query = format!("VpcId={vpc}&{name}.Value={value}");
                cloud.check(MODIFY, &query, "<return>true</return>").await;
                let query = format!("VpcId={vpc}&Attribute={shown}");
                assert_eq!(cloud.value("DescribeVpcAttribute", &query, "value").await, value);
            }
        }
        let both = format!("VpcId={vpc}&EnableDnsSupport.Value=true&EnableDnsHostnames.Value=true");
        let code = "InvalidParameterCombination";
        cloud.check_refused(MODIFY, &both, code, "one attribute").await;
        cloud.check_refused(MODIFY, &format!("VpcId={vpc}"), code, "").await;
        let one = format!("VpcId={vpc}&EnableDnsSupport.Value=true");
        cloud.of(BOB).check_refused(MODIFY, &one, "InvalidVpcID.NotFound", &vpc).await;
    }
}
