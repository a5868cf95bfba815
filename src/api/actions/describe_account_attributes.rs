//! DescribeAccountAttributes: what an account may have at most, and its default VPC.
//!
//! There are no quotas: the limit to instances is the number of addresses that guests can get.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        response::Set,
    },
    domain::{id::PrefixedId, port_filter::Cidr},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAccountAttributes {
    #[serde(default)]
    attribute_name: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    account_attribute_set: Set<Attribute>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    attribute_name: &'static str,
    attribute_value_set: Set<Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Value {
    attribute_value: String,
}

impl Action for DescribeAccountAttributes {
    const NAME: &'static str = "DescribeAccountAttributes";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let mut attributes = attributes(exchange);
        for name in &self.attribute_name {
            if !attributes.iter().any(|(known, _)| known == name) {
                return Err(ApiError::new(
                    Code::InvalidParameterValue,
                    format!("Invalid value '{}' for AttributeName.", echo(name)),
                ));
            }
        }
        if !self.attribute_name.is_empty() {
            attributes.retain(|(known, _)| self.attribute_name.iter().any(|name| name == known));
        }
        let attribute = |(attribute_name, attribute_value)| Attribute {
            attribute_name,
            attribute_value_set: vec![Value { attribute_value }].into(),
        };
        Ok(Response { account_attribute_set: attributes.into_iter().map(attribute).collect() })
    }
}

fn attributes(exchange: &Exchange) -> Vec<(&'static str, String)> {
    let own = exchange.own();
    let elastic_addresses = exchange.settings.elastic.per_account;
    let default_vpc = own.default_vpc().map(|vpc| vpc.id.as_str()).unwrap_or("none");
    vec![
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", default_vpc.to_owned()),
        ("max-instances", instances_max(exchange).to_string()),
        ("vpc-max-security-groups-per-interface", SECURITY_GROUPS_PER_INTERFACE.to_string()),
        ("max-elastic-ips", elastic_addresses.to_string()),
        ("vpc-max-elastic-ips", elastic_addresses.to_string()),
    ]
}

/// EC2's default.
const SECURITY_GROUPS_PER_INTERFACE: u32 = 5;

/// Of each range, the network's own address, the broadcast address and the gateway's are taken, and
/// what is kept for elastic addresses.
fn instances_max(exchange: &Exchange) -> u64 {
    let kept = exchange.settings.elastic.range;
    let usable = |range: Cidr| {
        let kept = kept.filter(|kept| kept.overlaps(range)).map_or(0, Cidr::size);
        range.size().saturating_sub(3 + kept)
    };
    exchange.settings.groups.iter().map(|group| usable(group.public_addresses)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "DescribeAccountAttributes";

    #[actix_web::test]
    async fn an_attribute_is_a_name_with_values() {
        let cloud = TestCloud::start().await;
        cloud
            .check(
                ACTION,
                "AttributeName.1=supported-platforms&AttributeName.2=default-vpc",
                "<accountAttributeSet><item><attributeName>supported-platforms</attributeName>\
                 <attributeValueSet><item><attributeValue>VPC</attributeValue></item>\
                 </attributeValueSet></item><item><attributeName>default-vpc</attributeName>\
                 <attributeValueSet><item><attributeValue>vpc-1</attributeValue></item>\
                 </attributeValueSet></item></accountAttributeSet>",
            )
            .await;
    }

    #[actix_web::test]
    async fn without_a_name_all_are_told() {
        let cloud = TestCloud::start().await;
        let names = cloud.values(ACTION, "", "attributeName").await;
        assert_eq!(
            names,
            [
                "supported-platforms",
                "default-vpc",
                "max-instances",
                "vpc-max-security-groups-per-interface",
                "max-elastic-ips",
                "vpc-max-elastic-ips"
            ]
        );
        let most = cloud.value(ACTION, "AttributeName=max-instances", "attributeValue").await;
        assert_eq!(most, "490", "two ranges of 256 addresses, 16 of them kept");
    }

    #[actix_web::test]
    async fn an_attribute_that_is_none_is_refused() {
        let cloud = TestCloud::start().await;
        let code = "InvalidParameterValue";
        cloud.check_refused(ACTION, "AttributeName.1=x", code, "'x'").await;
    }
}
