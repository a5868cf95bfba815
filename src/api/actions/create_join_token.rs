//! CreateJoinToken: invites one host to be a node of a group, or its manager.
//!
//! Mallee's own: EC2's hosts are nobody's business. The token is told this once; whoever has it
//! before it is used or expires can join in the host's stead, and nothing else.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
    },
    domain::membership::{Invitation, JoiningRole},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A day.
const VALID_SECONDS: u64 = 24 * 3600;
/// Tokens are for hosts that are being set up, not for a drawer.
const VALID_SECONDS_MAX: u64 = 30 * 24 * 3600;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateJoinToken {
    role: String,
    group_name: String,
    /// `host:port` of the parent as that host reaches it. None: where the configuration says.
    #[serde(default)]
    address: Vec<String>,
    #[serde(default)]
    valid_seconds: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    role: String,
    group_name: String,
    token: String,
}

impl Action for CreateJoinToken {
    const NAME: &'static str = "CreateJoinToken";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let token = exchange.invite(self.invitation()?).await?;
        Ok(Response { role: self.role, group_name: self.group_name, token })
    }
}

impl CreateJoinToken {
    fn invitation(&self) -> Result<Invitation, ApiError> {
        let invalid = |what: &str, value: &str| {
            let message = format!("Invalid {what}: [{}]", echo(value));
            ApiError::new(Code::InvalidParameterValue, message)
        };
        let role = match self.role.as_str() {
            "node" => JoiningRole::Node,
            "group" => JoiningRole::Group,
            other => return Err(invalid("role", other)),
        };
        let group = self.group_name.parse().map_err(|_| invalid("group name", &self.group_name))?;
        for address in &self.address {
            let proper = address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !proper {
                return Err(invalid("address, HOST:PORT is wanted", address));
            }
        }
        let seconds = self.valid_seconds.unwrap_or(VALID_SECONDS);
        if !(1..=VALID_SECONDS_MAX).contains(&seconds) {
            return Err(invalid("number of seconds", &seconds.to_string()));
        }
        let valid_for = Duration::from_secs(seconds);
        Ok(Invitation { role, group, addresses: self.address.clone(), valid_for })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn only_an_administrator_invites_and_only_where_somebody_listens() {
        let cloud = TestCloud::start().await;
        let query = "Role=node&GroupName=zone-one";
        cloud.check_refused("CreateJoinToken", query, "UnauthorizedOperation", "").await;
        let root = cloud.administrator();
        let code = "InvalidParameterValue";
        root.check_refused("CreateJoinToken", query, code, "no `links`").await;
        for (query, part) in [
            ("Role=king&GroupName=zone-one", "Invalid role: [king]"),
            ("Role=node&GroupName=No+Good", "Invalid group name"),
            ("Role=node&GroupName=zone-one&Address.1=nowhere", "HOST:PORT"),
            ("Role=node&GroupName=zone-one&Address.1=h:0", "HOST:PORT"),
            ("Role=node&GroupName=zone-one&ValidSeconds=0", "seconds: [0]"),
        ] {
            root.check_refused("CreateJoinToken", query, code, part).await;
        }
        let query = "Role=node&GroupName=zone-one&DryRun=true";
        root.check_refused("CreateJoinToken", query, "DryRunOperation", "").await;
        root.check_refused("CreateJoinToken", "Role=node", "MissingParameter", "GroupName").await;
    }
}
