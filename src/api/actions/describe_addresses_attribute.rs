//! DescribeAddressesAttribute: the names that addresses have in reverse DNS, which are none.
//!
//! There is no name service that would answer with one, so none can be set either.

use super::describe_addresses::selected;
use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        pagination::PageRequest,
        response::Set,
        selection::Selection,
    },
    domain::id::{AllocationId, PrefixedId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, ops::RangeInclusive};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAddressesAttribute {
    #[serde(default)]
    allocation_id: Vec<String>,
    attribute: Option<String>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    address_set: Set<AddressAttribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AddressAttribute {
    public_ip: Ipv4Addr,
    allocation_id: String,
}

/// The one attribute there is.
const DOMAIN_NAME: &str = "domain-name";
const RESULTS: RangeInclusive<u32> = 1..=1000;

impl Action for DescribeAddressesAttribute {
    const NAME: &'static str = "DescribeAddressesAttribute";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        if let Some(attribute) = self.attribute.filter(|name| name != DOMAIN_NAME) {
            let reason = format!("It must be {DOMAIN_NAME}.");
            return Err(ApiError::invalid_value("Attribute", &attribute, &reason));
        }
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let selection = Selection::<AllocationId>::read(&self.allocation_id, exchange)?;
        let addresses = selected(&selection)?.into_iter().map(|address| {
            let shown = AddressAttribute {
                public_ip: exchange.settings.reach.shown(address.address),
                allocation_id: address.id.as_str().to_owned(),
            };
            (address.id.clone(), shown)
        });
        let page = page.cut(addresses);
        Ok(Response { address_set: page.results.into(), next_token: page.next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const DESCRIBE: &str = "DescribeAddressesAttribute";

    #[actix_web::test]
    async fn addresses_are_listed_in_pages_and_have_no_names() {
        let cloud = TestCloud::start().await;
        for address in ["198.51.100.242", "198.51.100.243"] {
            cloud.call("AllocateAddress", &format!("Address={address}")).await.unwrap();
        }
        let query = "AllocationId.1=eipalloc-1&Attribute=domain-name";
        let answer = "<addressSet><item><publicIp>198.51.100.242</publicIp>\
                      <allocationId>eipalloc-1</allocationId></item></addressSet>";
        cloud.check(DESCRIBE, query, answer).await;
        let token = cloud.value(DESCRIBE, "MaxResults=1", "nextToken").await;
        let rest = format!("MaxResults=1&NextToken={token}");
        assert_eq!(cloud.values(DESCRIBE, &rest, "publicIp").await.len(), 1);
    }

    #[actix_web::test]
    async fn what_is_not_there_is_refused() {
        let cloud = TestCloud::start().await;
        let code = "InvalidAllocationID.NotFound";
        cloud.check_refused(DESCRIBE, "AllocationId.1=eipalloc-12345678", code, "").await;
        let query = "Attribute=colour";
        cloud.check_refused(DESCRIBE, query, "InvalidParameterValue", DESCRIBE_ONLY).await;
    }

    const DESCRIBE_ONLY: &str = "domain-name";
}
