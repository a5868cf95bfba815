//! UpdateSecurityGroupRuleDescriptionsEgress: what is said of rules that let traffic out.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
        shapes::rule_change::Redescription,
    },
    domain::port_filter::Direction,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateSecurityGroupRuleDescriptionsEgress(Redescription);

impl Action for UpdateSecurityGroupRuleDescriptionsEgress {
    const NAME: &'static str = "UpdateSecurityGroupRuleDescriptionsEgress";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        self.0.perform(Direction::Egress, exchange).await
    }
}
