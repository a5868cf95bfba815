//! DescribeVpcAttribute: what its owner says of a VPC, one attribute at a time.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        fault,
    },
    domain::{fault::CloudFault, id::VpcId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVpcAttribute {
    vpc_id: VpcId,
    attribute: String,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    vpc_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_dns_support: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_dns_hostnames: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_network_address_usage_metrics: Option<Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Value {
    value: bool,
}

impl Action for DescribeVpcAttribute {
    const NAME: &'static str = "DescribeVpcAttribute";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let mut response = Response { vpc_id: self.vpc_id.to_string(), ..Response::default() };
        let own = exchange.own();
        let vpc = own.vpcs.get(&self.vpc_id);
        let vpc =
            vpc.ok_or_else(|| fault::api_error(CloudFault::VpcNotFound(self.vpc_id.clone())))?;
        let known = vpc.attributes;
        let value = |value| Some(Value { value });
        match self.attribute.as_str() {
            "enableDnsSupport" => response.enable_dns_support = value(known.dns_support),
            "enableDnsHostnames" => response.enable_dns_hostnames = value(known.dns_hostnames),
            "enableNetworkAddressUsageMetrics" => {
                response.enable_network_address_usage_metrics = value(known.address_usage_metrics);
            }
            other => {
                let other = echo(other);
                return Err(ApiError::new(
                    Code::InvalidParameterValue,
                    format!(
                        "Value ({other}) for parameter attribute is invalid. Unknown vpc attribute"
                    ),
                ));
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn one_attribute_is_told_at_a_time_and_others_are_refused() {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value("DescribeVpcs", "", "vpcId").await;
        let describe = "DescribeVpcAttribute";
        for (attribute, value) in [
            ("enableDnsSupport", true),
            ("enableDnsHostnames", false),
            ("enableNetworkAddressUsageMetrics", false),
        ] {
            let answer = format!(
                "<vpcId>{vpc}</vpcId><{attribute}><value>{value}</value></{attribute}>"
            );
            let query = format!("VpcId={vpc}&Attribute={attribute}");
            cloud.check(describe, &query, &answer).await;
        }
        let unknown = format!("VpcId={vpc}&Attribute=colour");
        cloud.check_refused(describe, &unknown, "InvalidParameterValue", "colour").await;
        let nowhere = "VpcId=vpc-01234567&Attribute=enableDnsSupport";
        cloud.check_refused(describe, nowhere, "InvalidVpcID.NotFound", "").await;
        cloud.check_refused(describe, "Attribute=x", "MissingParameter", "VpcId").await;
    }
}
