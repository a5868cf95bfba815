//! UpdateSecurityGroupRuleDescriptionsIngress: what is said of rules that let traffic in.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
        shapes::rule_change::Redescription,
    },
    domain::port_filter::Direction,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct UpdateSecurityGroupRuleDescriptionsIngress(Redescription);

impl Action for UpdateSecurityGroupRuleDescriptionsIngress {
    const NAME: &'static str = "UpdateSecurityGroupRuleDescriptionsIngress";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        self.0.perform(Direction::Ingress, exchange).await
    }
}
