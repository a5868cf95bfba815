//! DisassociateAddress: an elastic address leads nowhere any more, and stays the account's.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        shapes::elastic_address::public_address,
    },
    domain::id::AssociationId,
    messages::cloud::elastic_address as command,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DisassociateAddress {
    association_id: Option<AssociationId>,
    public_ip: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Response {
    #[serde(rename = "return")]
    done: bool,
}

impl Action for DisassociateAddress {
    const NAME: &'static str = "DisassociateAddress";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let command = match (self.association_id, self.public_ip) {
            (Some(id), None) => command::DisassociateAddress::Association(id),
            (None, Some(text)) => command::DisassociateAddress::Address(public_address(&text)?),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "You may specify public IP or association id, but not both in the same call",
                ));
            }
            (None, None) => {
                return Err(ApiError::new(
                    Code::MissingParameter,
                    "Either public IP or association id must be specified",
                ));
            }
        };
        exchange.command(command).await?;
        Ok(Response { done: true })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const DISASSOCIATE: &str = "DisassociateAddress";
    const DONE: &str = "<return>true</return>";

    /// `eipassoc-1` is of `eipalloc-1`, which is 198.51.100.242.
    async fn cloud() -> TestCloud {
        let cloud = TestCloud::start().await;
        let instance = cloud.launch(1).await.remove(0);
        cloud.settle().await;
        cloud.call("AllocateAddress", "Address=198.51.100.242").await.unwrap();
        let query = format!("AllocationId=eipalloc-1&InstanceId={instance}");
        cloud.call("AssociateAddress", &query).await.unwrap();
        cloud
    }

    #[actix_web::test]
    async fn an_association_ends_once() {
        let cloud = cloud().await;
        cloud.check(DISASSOCIATE, "AssociationId=eipassoc-1", DONE).await;
        let code = "InvalidAssociationID.NotFound";
        cloud.check_refused(DISASSOCIATE, "AssociationId=eipassoc-1", code, "eipassoc-1").await;
        let shown = cloud.call("DescribeAddresses", "").await.unwrap();
        assert!(shown.contains("<instanceId/>"), "{shown}");
    }

    #[actix_web::test]
    async fn an_address_is_left_leading_nowhere_however_often() {
        let cloud = cloud().await;
        for _ in 0..2 {
            cloud.check(DISASSOCIATE, "PublicIp=198.51.100.242", DONE).await;
        }
    }

    #[actix_web::test]
    async fn what_is_not_ones_own_stays_as_it_is() {
        let cloud = cloud().await;
        for (query, code) in [
            ("AssociationId=eipassoc-1", "InvalidAssociationID.NotFound"),
            ("AssociationId=nonsense", "InvalidAssociationID.NotFound"),
            ("PublicIp=198.51.100.242", "AuthFailure"),
            ("PublicIp=192.0.2.1", "InvalidAddress.NotFound"),
            ("PublicIp=192.0.2", "InvalidParameterValue"),
            ("", "MissingParameter"),
            ("AssociationId=eipassoc-1&PublicIp=198.51.100.242", "InvalidParameterCombination"),
        ] {
            cloud.of(BOB).check_refused(DISASSOCIATE, query, code, "").await;
        }
        let dry = "AssociationId=eipassoc-1&DryRun=true";
        cloud.check_refused(DISASSOCIATE, dry, "DryRunOperation", "").await;
        assert_eq!(cloud.value("DescribeAddresses", "", "associationId").await, "eipassoc-1");
    }
}
