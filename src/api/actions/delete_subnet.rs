//! DeleteSubnet: of a subnet in which nobody has an address. Default subnets stay.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::SubnetId,
    messages::cloud::network,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSubnet {
    subnet_id: SubnetId,
}

impl Action for DeleteSubnet {
    const NAME: &'static str = "DeleteSubnet";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        exchange.command(network::DeleteSubnet { subnet: self.subnet_id }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud, a_launch};
    use crate::messages::cloud::{LaunchReservation, TerminateInstances};

    const DELETE: &str = "DeleteSubnet";

    #[actix_web::test]
    async fn a_subnet_goes_when_its_last_instance_has() {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId").await;
        let query = format!("VpcId={vpc}&CidrBlock=10.0.0.0/24");
        cloud.call("CreateSubnet", &query).await.unwrap();
        let state = cloud.state();
        let mut subnets = state.scope(&cloud.scope()).unwrap().subnets.values();
        let subnet = subnets.find(|subnet| !subnet.is_default).unwrap().id.clone();
        let launch = LaunchReservation { subnet: Some(subnet.clone()), ..a_launch() };
        let instances = cloud.launch_as(launch).await;
        let query = format!("SubnetId={subnet}");
        cloud.check_refused(DELETE, &query, "DependencyViolation", "subnet-1").await;
        let terminate = TerminateInstances { instances };
        cloud.exchange().await.command(terminate).await.unwrap();
        cloud.check_refused(DELETE, &query, "DependencyViolation", "subnet-1").await;
        cloud.settle().await;
        let code = "InvalidSubnetID.NotFound";
        cloud.of(BOB).check_refused(DELETE, &query, code, "subnet-1").await;
        cloud.check_refused(DELETE, &format!("{query}&DryRun=true"), "DryRunOperation", "").await;
        cloud.check(DELETE, &query, "<return>true</return>").await;
        cloud.check_refused(DELETE, &query, code, "subnet-1").await;
    }

    #[actix_web::test]
    async fn a_default_subnet_stays() {
        let cloud = TestCloud::start().await;
        let subnet = cloud.value("DescribeSubnets", "", "subnetId").await;
        let query = format!("SubnetId={subnet}");
        cloud.check_refused(DELETE, &query, "OperationNotPermitted", &subnet).await;
    }
}
