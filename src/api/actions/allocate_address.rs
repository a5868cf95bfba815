//! AllocateAddress: an elastic address from the cloud's pool, the account's until it is released.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        shapes::{
            elastic_address::{POOL, public_address},
            tag::{SpecifiedTags, TagSpecification},
        },
    },
    domain::{
        elastic_address::AddressDomain,
        id::{AllocationId, PrefixedId},
    },
    messages::cloud::elastic_address as command,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AllocateAddress {
    domain: Option<AddressDomain>,
    /// This one, and no other.
    address: Option<String>,
    public_ipv4_pool: Option<String>,
    network_border_group: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    public_ip: Ipv4Addr,
    domain: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_id: Option<AllocationId>,
    public_ipv4_pool: &'static str,
    network_border_group: String,
}

impl Action for AllocateAddress {
    const NAME: &'static str = "AllocateAddress";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        if let Some(pool) = self.public_ipv4_pool.filter(|pool| pool != POOL) {
            let message = format!("The public IPv4 pool ID '{}' does not exist", echo(&pool));
            return Err(ApiError::new(Code::InvalidPublicIpv4PoolIdNotFound, message));
        }
        let region = exchange.scope.region.as_str();
        if let Some(border) = self.network_border_group.filter(|border| border != region) {
            let reason = format!("Addresses here are of the group '{region}'.");
            return Err(ApiError::invalid_value("NetworkBorderGroup", &border, &reason));
        }
        let kind = AllocationId::KIND;
        let tags = SpecifiedTags::read(&self.tag_specification, &[kind])?.take(kind);
        let domain = self.domain.unwrap_or_default();
        let address = self.address.as_deref().map(public_address).transpose()?;
        let command = command::AllocateAddress { domain, address, tags };
        let allocated = exchange.command(command).await?;
        Ok(Response {
            public_ip: exchange.settings.reach.shown(allocated.address),
            domain: domain.as_str(),
            allocation_id: Some(allocated.id).filter(|_| domain == AddressDomain::Vpc),
            public_ipv4_pool: POOL,
            network_border_group: region.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const ALLOCATE: &str = "AllocateAddress";

    #[actix_web::test]
    async fn an_address_of_the_pool_is_the_accounts_with_its_tags() {
        let cloud = TestCloud::start().await;
        let tags = "TagSpecification.1.ResourceType=elastic-ip\
                    &TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=a";
        let query = format!("Domain=vpc&Address=198.51.100.242&{tags}");
        cloud
            .check(
                ALLOCATE,
                &query,
                "<publicIp>198.51.100.242</publicIp><domain>vpc</domain>\
                 <allocationId>eipalloc-1</allocationId><publicIpv4Pool>amazon</publicIpv4Pool>\
                 <networkBorderGroup>us-east-1</networkBorderGroup>",
            )
            .await;
        let tagged = "Filter.1.Name=resource-type&Filter.1.Value.1=elastic-ip";
        assert_eq!(cloud.values("DescribeTags", tagged, "key").await, ["team"]);
        let again = "Address=198.51.100.242";
        cloud.of(BOB).check_refused(ALLOCATE, again, "InvalidAddress.NotFound", "").await;
    }

    #[actix_web::test]
    async fn one_of_the_older_kind_is_named_by_itself() {
        let cloud = TestCloud::start().await;
        let answer = cloud.call(ALLOCATE, "Domain=standard").await.unwrap();
        assert!(answer.contains("<domain>standard</domain>"), "{answer}");
        assert!(!answer.contains("allocationId"), "{answer}");
    }

    #[actix_web::test]
    async fn an_account_gets_so_many_in_a_region_and_no_more() {
        let cloud = TestCloud::start().await;
        for _ in 0..5 {
            cloud.call(ALLOCATE, "").await.unwrap();
        }
        let refused = "The maximum number of addresses has been reached.";
        cloud.check_refused(ALLOCATE, "", "AddressLimitExceeded", refused).await;
        cloud.of(BOB).call(ALLOCATE, "").await.unwrap();
        cloud.in_region("eu-west-1").call(ALLOCATE, "").await.unwrap();
    }

    #[actix_web::test]
    async fn the_pool_has_an_end_and_none_is_given_out_twice() {
        let cloud = TestCloud::start().await;
        let mut given = std::collections::BTreeSet::new();
        // 198.51.100.240/28 but for the broadcast address.
        for region in ["a", "b", "c"] {
            for _ in 0..5 {
                let cloud = cloud.in_region(region);
                given.insert(cloud.value(ALLOCATE, "", "publicIp").await);
            }
        }
        assert_eq!(given.len(), 15);
        let code = "InsufficientAddressCapacity";
        cloud.check_refused(ALLOCATE, "", code, "not enough free addresses").await;
    }

    #[actix_web::test]
    async fn what_cannot_be_had_is_refused_and_a_dry_run_gives_nothing() {
        let cloud = TestCloud::start().await;
        for (query, code) in [
            ("Address=192.0.2.1", "InvalidAddress.NotFound"),
            ("Address=198.51.100.9", "InvalidAddress.NotFound"),
            ("Address=nonsense", "InvalidParameterValue"),
            ("Domain=nonsense", "InvalidParameterValue"),
            ("NetworkBorderGroup=us-east-1-bos-1", "InvalidParameterValue"),
            ("PublicIpv4Pool=ipv4pool-ec2-1", "InvalidPublicIpv4PoolID.NotFound"),
            ("CustomerOwnedIpv4Pool=coip-1", "UnknownParameter"),
            ("DryRun=true", "DryRunOperation"),
        ] {
            cloud.check_refused(ALLOCATE, query, code, "").await;
        }
        cloud.check("DescribeAddresses", "", "<addressesSet/>").await;
    }
}
