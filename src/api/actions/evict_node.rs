//! EvictNode: an administrator's word that a node is gone for good.
//!
//! Mallee's own. The node's certificate is revoked first; then its instances end, or run on another
//! node if they are tagged `mallee:restart-elsewhere=true`.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        response::Set,
    },
    domain::id::InstanceId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EvictNode {
    group_name: String,
    node_name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    terminated_set: Set<InstanceId>,
    restarted_set: Set<InstanceId>,
}

impl Action for EvictNode {
    const NAME: &'static str = "EvictNode";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let invalid = |what: &str, value: &str| {
            let message = format!("Invalid {what}: [{}]", echo(value));
            ApiError::new(Code::InvalidParameterValue, message)
        };
        let group = self.group_name.parse().map_err(|_| invalid("group name", &self.group_name))?;
        let node = self.node_name.parse().map_err(|_| invalid("node name", &self.node_name))?;
        let evicted = exchange.evict(group, node).await?;
        Ok(Response {
            terminated_set: evicted.ended.into_iter().collect(),
            restarted_set: evicted.restarted.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn only_an_administrator_evicts_and_only_what_is_known() {
        let cloud = TestCloud::start().await;
        let query = "GroupName=zone-one&NodeName=n9";
        cloud.check_refused("EvictNode", query, "UnauthorizedOperation", "").await;
        let root = cloud.administrator();
        root.check_refused("EvictNode", query, "InvalidParameterValue", "n9").await;
        for (query, part) in [
            ("GroupName=No+Good&NodeName=n1", "Invalid group name"),
            ("GroupName=zone-one&NodeName=No+Good", "Invalid node name"),
        ] {
            root.check_refused("EvictNode", query, "InvalidParameterValue", part).await;
        }
    }
}
