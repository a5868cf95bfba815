//! DescribeAddresses: the account's elastic addresses, of which there are none.
//!
//! Nobody can allocate one in this cloud, so an address or allocation asked for by name does not
//! exist, and every other question has an empty answer. The action is here because clients ask
//! without being told to: apache-libcloud does whenever it lists instances. The addresses that
//! instances have anyway are no elastic ones, here as on EC2.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        filters::{FilterParameter, read_filters},
        response::Set,
    },
    domain::filter::Described,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAddresses {
    #[serde(default)]
    public_ip: Vec<String>,
    #[serde(default)]
    allocation_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    addresses_set: Set<ElasticAddress>,
}

/// There is no value of this type.
#[derive(Debug, Serialize)]
enum ElasticAddress {}

impl Described for ElasticAddress {
    const FILTERS: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
        "tag:",
        "tag-key",
        "tag-value",
    ];

    fn facts(&self, _name: &str) -> Option<Vec<Cow<'_, str>>> {
        match *self {}
    }
}

impl Action for DescribeAddresses {
    const NAME: &'static str = "DescribeAddresses";
    type Response = Response;

    async fn perform(self, _exchange: &Exchange) -> Result<Response, ApiError> {
        read_filters::<ElasticAddress>(&self.filter)?;
        if let Some(address) = self.public_ip.first() {
            let message = format!("Address '{}' not found.", echo(address));
            return Err(ApiError::new(Code::InvalidAddressNotFound, message));
        }
        if let Some(id) = self.allocation_id.first() {
            let message = format!("The allocation ID '{}' does not exist", echo(id));
            return Err(ApiError::new(Code::InvalidAllocationIdNotFound, message));
        }
        Ok(Response { addresses_set: Set::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn there_are_none_whatever_they_are_filtered_by() {
        let cloud = TestCloud::start().await;
        for query in ["", "Filter.1.Name=instance-id&Filter.1.Value.1=i-12345678"] {
            cloud.check("DescribeAddresses", query, "<addressesSet/>").await;
        }
    }

    #[actix_web::test]
    async fn one_asked_for_by_name_does_not_exist() {
        let cloud = TestCloud::start().await;
        let refused = |query: &'static str, code: &'static str| {
            let cloud = cloud.clone();
            async move { cloud.check_refused("DescribeAddresses", query, code, "").await }
        };
        refused("PublicIp.1=10.0.0.1", "InvalidAddress.NotFound").await;
        refused("AllocationId.1=eipalloc-12345678", "InvalidAllocationID.NotFound").await;
        refused("Filter.1.Name=colour&Filter.1.Value.1=x", "InvalidParameterValue").await;
    }
}
