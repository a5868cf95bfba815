//! RevokeSecurityGroupIngress: takes away rules that let traffic in, all of them or none.
//!
//! In a VPC EC2 refuses to revoke what is not there, and everything here is in a VPC.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::rule_change::{Revocation, Revoked},
    },
    domain::port_filter::Direction,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct RevokeSecurityGroupIngress(Revocation);

impl Action for RevokeSecurityGroupIngress {
    const NAME: &'static str = "RevokeSecurityGroupIngress";
    type Response = Revoked;

    async fn perform(self, exchange: &Exchange) -> Result<Revoked, ApiError> {
        self.0.perform(Direction::Ingress, exchange).await
    }
}
