//! ReleaseAddress: gives an elastic address back to the pool. One that is associated stays.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::elastic_address::address_named,
    },
    domain::id::AllocationId,
    messages::cloud::elastic_address as command,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReleaseAddress {
    allocation_id: Option<AllocationId>,
    public_ip: Option<String>,
    /// Addresses are all of one border group, so naming it changes nothing.
    #[serde(rename = "NetworkBorderGroup")]
    _network_border_group: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Response {
    #[serde(rename = "return")]
    done: bool,
}

impl Action for ReleaseAddress {
    const NAME: &'static str = "ReleaseAddress";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let address = address_named(self.allocation_id, self.public_ip.as_deref())?;
        exchange.command(command::ReleaseAddress { address }).await?;
        Ok(Response { done: true })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};
    use crate::messages::cloud::TerminateInstances;

    const RELEASE: &str = "ReleaseAddress";
    const DONE: &str = "<return>true</return>";

    #[actix_web::test]
    async fn an_address_goes_back_to_the_pool_with_its_tags() {
        let cloud = TestCloud::start().await;
        let tags = "TagSpecification.1.ResourceType=elastic-ip&TagSpecification.1.Tag.1.Key=k";
        let allocate = format!("Address=198.51.100.242&{tags}");
        cloud.call("AllocateAddress", &allocate).await.unwrap();
        cloud.check(RELEASE, "AllocationId=eipalloc-1", DONE).await;
        let code = "InvalidAllocationID.NotFound";
        cloud.check_refused(RELEASE, "AllocationId=eipalloc-1", code, "eipalloc-1").await;
        cloud.check("DescribeAddresses", "", "<addressesSet/>").await;
        cloud.check("DescribeTags", "", "<tagSet/>").await;
        cloud.of(BOB).call("AllocateAddress", "Address=198.51.100.242").await.unwrap();
        cloud.check_refused(RELEASE, "PublicIp=198.51.100.242", "AuthFailure", "belong").await;
        cloud.of(BOB).check(RELEASE, "PublicIp=198.51.100.242", DONE).await;
    }

    #[actix_web::test]
    async fn one_in_use_stays_until_its_instance_has_ended() {
        let cloud = TestCloud::start().await;
        let instance = cloud.launch(1).await.remove(0);
        cloud.settle().await;
        cloud.call("AllocateAddress", "").await.unwrap();
        let query = format!("AllocationId=eipalloc-1&InstanceId={instance}");
        cloud.call("AssociateAddress", &query).await.unwrap();
        let code = "InvalidIPAddress.InUse";
        cloud.check_refused(RELEASE, "AllocationId=eipalloc-1", code, "in use").await;
        cloud.call("StopInstances", &format!("InstanceId.1={instance}")).await.unwrap();
        cloud.settle().await;
        cloud.check_refused(RELEASE, "AllocationId=eipalloc-1", code, "in use").await;
        let terminate = TerminateInstances { instances: vec![instance] };
        cloud.exchange().await.command(terminate).await.unwrap();
        cloud.settle().await;
        let shown = cloud.call("DescribeAddresses", "").await.unwrap();
        assert!(shown.contains("<instanceId/>"), "{shown}");
        cloud.check(RELEASE, "AllocationId=eipalloc-1", DONE).await;
    }

    #[actix_web::test]
    async fn one_address_is_named_once() {
        let cloud = TestCloud::start().await;
        cloud.check_refused(RELEASE, "", "MissingParameter", "").await;
        let both = "AllocationId=eipalloc-12345678&PublicIp=198.51.100.242";
        cloud.check_refused(RELEASE, both, "InvalidParameterCombination", "").await;
    }
}
