//! DetachNetworkInterface: takes an interface off a stopped instance. The two that an instance was
//! launched with stay.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::AttachmentId,
    messages::cloud::interface::DetachInterface,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DetachNetworkInterface {
    attachment_id: AttachmentId,
    /// Of a stopped instance nobody has to be asked, let alone forced.
    #[serde(default, rename = "Force")]
    _force: Option<bool>,
}

impl Action for DetachNetworkInterface {
    const NAME: &'static str = "DetachNetworkInterface";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        exchange.command(DetachInterface { attachment: self.attachment_id }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        attach_network_interface::tests::{cloud_with_both, instance},
        create_network_interface::tests::detached,
        testing::{BOB, TestCloud},
    };
    use crate::{actors::cloud::records, domain::cloud_state::CloudState};

    const DETACH: &str = "DetachNetworkInterface";

    #[actix_web::test]
    async fn an_interface_comes_off_as_it_went_on() {
        let (cloud, id) = cloud_with_both().await;
        let before = detached(&cloud);
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=5";
        let attachment = cloud.value("AttachNetworkInterface", attach, "attachmentId").await;
        let query = format!("AttachmentId={attachment}");
        let code = "InvalidAttachmentID.NotFound";
        cloud.of(BOB).check_refused(DETACH, &query, code, &attachment).await;
        cloud.call("StartInstances", "InstanceId=i-1").await.unwrap();
        cloud.settle().await;
        let running = format!("{query}&Force=true");
        cloud.check_refused(DETACH, &running, "UnsupportedOperation", "running").await;
        cloud.call("StopInstances", "InstanceId=i-1").await.unwrap();
        cloud.check_refused(DETACH, &query, "IncorrectInstanceState", "").await;
        cloud.settle().await;
        cloud.check(DETACH, &query, "<return>true</return>").await;
        assert_eq!((instance(&cloud, &id).interfaces.len(), &*detached(&cloud)), (2, &*before));
        cloud.check_refused(DETACH, &query, code, &attachment).await;
    }

    /// Who holds what, as the records say it and as it is known.
    fn check_records(cloud: &TestCloud) {
        let known = cloud.state();
        let recorded = records::load(&*cloud.store).unwrap();
        let facts = |state: &CloudState| {
            let own = state.scope(&cloud.scope()).unwrap();
            (
                own.private_addresses.clone(),
                own.interfaces.clone(),
                own.detached_interfaces.clone(),
                state.public_addresses.clone(),
                state.networks.clone(),
            )
        };
        assert_eq!(facts(&recorded), facts(&known));
    }

    #[actix_web::test]
    async fn the_records_say_who_holds_what_at_every_step() {
        let (cloud, _) = cloud_with_both().await;
        check_records(&cloud);
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        let assign = "NetworkInterfaceId=eni-1&SecondaryPrivateIpAddressCount=2";
        let unassign = "NetworkInterfaceId=eni-1&PrivateIpAddress.1=10.0.1.10";
        for (action, query) in [
            ("AttachNetworkInterface", attach),
            ("AssignPrivateIpAddresses", assign),
            (DETACH, "AttachmentId=eni-attach-3"),
            ("UnassignPrivateIpAddresses", unassign),
            ("AttachNetworkInterface", attach),
            ("TerminateInstances", "InstanceId=i-1"),
        ] {
            cloud.call(action, query).await.unwrap();
            check_records(&cloud);
        }
        cloud.settle().await;
        check_records(&cloud);
        assert_eq!(cloud.state().scope(&cloud.scope()).unwrap().private_addresses.size(), 3);
        cloud.call("DeleteNetworkInterface", "NetworkInterfaceId=eni-1").await.unwrap();
        check_records(&cloud);
        assert_eq!(cloud.state().scope(&cloud.scope()).unwrap().private_addresses.size(), 0);
    }

    #[actix_web::test]
    async fn the_interfaces_of_a_launch_stay() {
        let (cloud, _) = cloud_with_both().await;
        for index in [0, 1] {
            let filter =
                format!("Filter.1.Name=attachment.device-index&Filter.1.Value.1={index}");
            let describe = "DescribeNetworkInterfaces";
            let attachment = cloud.value(describe, &filter, "attachmentId").await;
            let query = format!("AttachmentId={attachment}");
            let part = format!("device index {index}");
            cloud.check_refused(DETACH, &query, "OperationNotPermitted", &part).await;
        }
    }
}
