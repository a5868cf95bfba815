//! ModifyNetworkInterfaceAttribute: one attribute a request. Security groups of an instance's first
//! two interfaces are the instance's, and so is their source check; what a running guest may send
//! from follows at its next start.

use super::create_network_interface::check_description;
use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
        shapes::not_honoured::{NotHonoured, refuse_given, require},
    },
    domain::id::{AttachmentId, InterfaceId, SecurityGroupId},
    messages::cloud::interface::{InterfaceAttribute, ModifyInterface},
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyNetworkInterfaceAttribute {
    network_interface_id: InterfaceId,
    description: Option<Value<String>>,
    source_dest_check: Option<Value<bool>>,
    #[serde(default, alias = "Groups")]
    security_group_id: Vec<SecurityGroupId>,
    attachment: Option<AttachmentChange>,
    enable_primary_ipv6: Option<bool>,
    ena_srd_specification: Option<NotHonoured>,
    connection_tracking_specification: Option<NotHonoured>,
    associate_public_ip_address: Option<NotHonoured>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Value<T> {
    value: T,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AttachmentChange {
    attachment_id: AttachmentId,
    delete_on_termination: Option<bool>,
    default_ena_queue_count: Option<NotHonoured>,
    ena_queue_count: Option<NotHonoured>,
}

impl Action for ModifyNetworkInterfaceAttribute {
    const NAME: &'static str = "ModifyNetworkInterfaceAttribute";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        refuse_given(&[
            ("EnaSrdSpecification", self.ena_srd_specification),
            ("ConnectionTrackingSpecification", self.connection_tracking_specification),
            ("AssociatePublicIpAddress", self.associate_public_ip_address),
        ])?;
        require("EnablePrimaryIpv6", self.enable_primary_ipv6, false)?;
        let attachment = match self.attachment {
            None => None,
            Some(change) => {
                refuse_given(&[
                    ("Attachment.DefaultEnaQueueCount", change.default_ena_queue_count),
                    ("Attachment.EnaQueueCount", change.ena_queue_count),
                ])?;
                let deleted = change.delete_on_termination.ok_or_else(|| {
                    ApiError::missing_parameter("Attachment.DeleteOnTermination")
                })?;
                Some(InterfaceAttribute::DeletedWithInstance(change.attachment_id, deleted))
            }
        };
        if let Some(description) = &self.description {
            check_description(&description.value)?;
        }
        let groups = Some(self.security_group_id).filter(|groups| !groups.is_empty());
        let given = [
            self.description.map(|text| InterfaceAttribute::Description(text.value)),
            self.source_dest_check.map(|on| InterfaceAttribute::SourceDestCheck(on.value)),
            groups.map(InterfaceAttribute::SecurityGroups),
            attachment,
        ];
        let mut given = given.into_iter().flatten();
        let (Some(attribute), None) = (given.next(), given.next()) else {
            return Err(ApiError::invalid_combination(
                "Exactly one attribute can be modified at a time.",
            ));
        };
        let interface = self.network_interface_id;
        exchange.command(ModifyInterface { interface, attribute }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        attach_network_interface::tests::{cloud_with_both, instance},
        testing::{BOB, TestCloud},
    };
    use crate::actors::cloud::filters;

    const MODIFY: &str = "ModifyNetworkInterfaceAttribute";

    async fn modify(cloud: &TestCloud, interface: &str, change: &str) {
        let query = format!("NetworkInterfaceId={interface}&{change}");
        cloud.check(MODIFY, &query, "<return>true</return>").await;
    }

    async fn shown(cloud: &TestCloud, interface: &str, element: &str) -> Vec<String> {
        let query = format!("NetworkInterfaceId.1={interface}");
        cloud.values("DescribeNetworkInterfaces", &query, element).await
    }

    async fn new_group(cloud: &TestCloud) -> String {
        let vpc = "Filter.1.Name=is-default&Filter.1.Value.1=false";
        let vpc = cloud.value("DescribeVpcs", vpc, "vpcId").await;
        let group = format!("GroupName=web&GroupDescription=d&VpcId={vpc}");
        cloud.value("CreateSecurityGroup", &group, "groupId").await
    }

    #[actix_web::test]
    async fn an_interface_is_changed_whether_it_is_attached_or_not() {
        let (cloud, _) = cloud_with_both().await;
        let group = new_group(&cloud).await;
        for text in ["free", "attached"] {
            modify(&cloud, "eni-1", &format!("Description.Value={text}")).await;
            modify(&cloud, "eni-1", "SourceDestCheck.Value=false").await;
            modify(&cloud, "eni-1", &format!("SecurityGroupId.1={group}")).await;
            assert_eq!(shown(&cloud, "eni-1", "description").await, [text]);
            assert_eq!(shown(&cloud, "eni-1", "sourceDestCheck").await, ["false"]);
            assert_eq!(shown(&cloud, "eni-1", "groupId").await, [group.clone()]);
            if text == "free" {
                let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
                cloud.call("AttachNetworkInterface", attach).await.unwrap();
            }
        }
    }

    #[actix_web::test]
    async fn a_further_interface_has_groups_of_its_own_and_the_first_two_have_the_instances() {
        let (cloud, id) = cloud_with_both().await;
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        cloud.call("AttachNetworkInterface", attach).await.unwrap();
        let group = new_group(&cloud).await;
        modify(&cloud, "eni-1", &format!("SecurityGroupId.1={group}")).await;
        let state = cloud.state();
        let instance_before = instance(&cloud, &id);
        let [public, private, further] = &instance_before.interfaces[..] else { panic!() };
        let own = state.scope(&cloud.scope()).unwrap();
        let web = own.security_groups.values().find(|group| group.name == "web").unwrap();
        assert_eq!(instance_before.groups_of(further), [web.id.clone()]);
        assert!(!instance_before.security_groups.contains(&web.id));
        let members = filters::members(&state, &cloud.scope(), &web.id).addresses;
        assert_eq!(members, further.addresses().collect());
        let query = format!("GroupId={group}");
        cloud.check_refused("DeleteSecurityGroup", &query, "DependencyViolation", "").await;
        let filters = filters::of_scope(&state, &cloud.scope(), &instance_before.group);
        let of = |id| filters.iter().position(|filter| filter.interfaces.contains(id)).unwrap();
        assert_eq!(of(&public.id), of(&private.id));
        assert_ne!(of(&private.id), of(&further.id));

        modify(&cloud, &private.id.to_string(), &format!("SecurityGroupId.1={group}")).await;
        modify(&cloud, &private.id.to_string(), "SourceDestCheck.Value=false").await;
        let after = instance(&cloud, &id);
        assert_eq!(after.security_groups, [web.id.clone()]);
        assert!(!after.source_dest_check && after.checks_source_of(&after.interfaces[2]));
        assert_eq!(after.groups_of(&after.interfaces[0]), [web.id.clone()]);
    }

    #[actix_web::test]
    async fn an_interface_ends_with_its_instance_or_outlives_it_as_is_said() {
        let (cloud, id) = cloud_with_both().await;
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        let attachment = cloud.value("AttachNetworkInterface", attach, "attachmentId").await;
        let change = |on: bool| {
            format!("Attachment.AttachmentId={attachment}&Attachment.DeleteOnTermination={on}")
        };
        modify(&cloud, "eni-1", &change(true)).await;
        let private = instance(&cloud, &id).interfaces[1].clone();
        let keep = format!(
            "Attachment.AttachmentId={}&Attachment.DeleteOnTermination=false",
            private.attachment
        );
        modify(&cloud, &private.id.to_string(), &keep).await;
        let other = format!("NetworkInterfaceId={}&{}", private.id, change(true));
        cloud.check_refused(MODIFY, &other, "InvalidAttachmentID.NotFound", &attachment).await;
        let public = instance(&cloud, &id).interfaces[0].clone();
        let keep = format!(
            "NetworkInterfaceId={}&Attachment.AttachmentId={}&Attachment.DeleteOnTermination=false",
            public.id, public.attachment
        );
        cloud.check_refused(MODIFY, &keep, "UnsupportedOperation", "public").await;
        cloud.call("TerminateInstances", "InstanceId=i-1").await.unwrap();
        cloud.settle().await;
        let left = cloud.exchange().await.own();
        let ids: Vec<_> = left.detached_interfaces.keys().cloned().collect();
        assert_eq!(ids, [private.id.clone()]);
        let ended = instance(&cloud, &id);
        assert!(ended.interfaces.iter().all(|interface| interface.id != private.id));
        let left = &left.detached_interfaces[&private.id];
        assert_eq!((left.address, &left.security_groups), (private.address, &ended.security_groups));
        let query = format!("NetworkInterfaceId={}", private.id);
        cloud.check("DeleteNetworkInterface", &query, "<return>true</return>").await;
        cloud.call("DeleteSubnet", "SubnetId=subnet-1").await.unwrap();
    }

    #[actix_web::test]
    async fn one_attribute_is_changed_at_a_time() {
        let (cloud, _) = cloud_with_both().await;
        let long = format!("Description.Value={}", "x".repeat(256));
        for (change, code, part) in [
            ("", "InvalidParameterCombination", "one attribute"),
            ("Description.Value=a&SourceDestCheck.Value=true", "InvalidParameterCombination", ""),
            (&long, "InvalidParameterValue", "255"),
            ("SecurityGroupId.1=sg-01234567", "InvalidGroup.NotFound", ""),
            ("Attachment.AttachmentId=eni-attach-01234567", "MissingParameter", ""),
            (
                "Attachment.AttachmentId=eni-attach-01234567&Attachment.DeleteOnTermination=true",
                "InvalidAttachmentID.NotFound",
                "",
            ),
            ("AssociatePublicIpAddress=true", "UnsupportedOperation", ""),
        ] {
            let query = format!("NetworkInterfaceId=eni-1&{change}");
            cloud.check_refused(MODIFY, &query, code, part).await;
        }
        let query = "NetworkInterfaceId=eni-1&Description.Value=a";
        let code = "InvalidNetworkInterfaceID.NotFound";
        cloud.of(BOB).check_refused(MODIFY, query, code, "eni-1").await;
    }
}
