//! AuthorizeSecurityGroupIngress: rules that let traffic in, all of them or none.
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
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct AuthorizeSecurityGroupIngress(Authorization);

impl Action for AuthorizeSecurityGroupIngress {
    const NAME: &'static str = "AuthorizeSecurityGroupIngress";
    type Response = Authorized;

    async fn perform(self, exchange: &Exchange) -> Result<Authorized, ApiError> {
        self.0.perform(Direction::Ingress, exchange).await
    }
}
