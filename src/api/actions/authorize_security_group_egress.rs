//! AuthorizeSecurityGroupEgress: rules that let traffic out, all of them or none.
//!
//! What a request may say is `shapes::rule_change`'s, what may be permitted the cloud's.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::rule_change::{Authorization, Authorized},
    },
    domain::port_filter::Direction,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct AuthorizeSecurityGroupEgress(Authorization);

impl Action for AuthorizeSecurityGroupEgress {
    const NAME: &'static str = "AuthorizeSecurityGroupEgress";
    type Response = Authorized;

    async fn perform(self, exchange: &Exchange) -> Result<Authorized, ApiError> {
        self.0.perform(Direction::Egress, exchange).await
    }
}
