//! DeleteNetworkInterface: of an interface that is nobody's.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::InterfaceId,
    messages::cloud::interface::DeleteInterface,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteNetworkInterface {
    network_interface_id: InterfaceId,
}

impl Action for DeleteNetworkInterface {
    const NAME: &'static str = "DeleteNetworkInterface";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        exchange.command(DeleteInterface { interface: self.network_interface_id }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        create_network_interface::tests::cloud_with_a_subnet,
        testing::BOB,
    };

    const DELETE: &str = "DeleteNetworkInterface";

    #[actix_web::test]
    async fn an_interface_goes_with_its_tags_unless_it_is_somebodys() {
        let cloud = cloud_with_a_subnet().await;
        let query = "SubnetId=subnet-1&TagSpecification.1.ResourceType=network-interface\
             &TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b";
        cloud.call("CreateNetworkInterface", query).await.unwrap();
        let query = "NetworkInterfaceId=eni-1";
        let code = "InvalidNetworkInterfaceID.NotFound";
        cloud.of(BOB).check_refused(DELETE, query, code, "eni-1").await;
        cloud.check_refused(DELETE, &format!("{query}&DryRun=true"), "DryRunOperation", "").await;
        cloud.check(DELETE, query, "<return>true</return>").await;
        cloud.check_refused(DELETE, query, code, "eni-1").await;
        assert_eq!(cloud.state().scope(&cloud.scope()).unwrap().tags.size(), 0);
        let id = cloud.launch(1).await.remove(0);
        let port = cloud.state().instance(&id).unwrap().interfaces[1].id.clone();
        let query = format!("NetworkInterfaceId={port}");
        cloud.check_refused(DELETE, &query, "InvalidNetworkInterface.InUse", "in use").await;
    }
}
