//! RevokeSecurityGroupEgress: takes away rules that let traffic out, all of them or none.
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
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct RevokeSecurityGroupEgress(Revocation);

impl Action for RevokeSecurityGroupEgress {
    const NAME: &'static str = "RevokeSecurityGroupEgress";
    type Response = Revoked;

    async fn perform(self, exchange: &Exchange) -> Result<Revoked, ApiError> {
        self.0.perform(Direction::Egress, exchange).await
    }
}
