//! DescribeNetworkInterfaceAttribute: one attribute of an interface, in an element of its name.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        fault,
        response::Set,
        shapes::{
            network_interface::{Attachment, NetworkInterface},
            security_group::GroupIdentifier,
        },
    },
    domain::{fault::CloudFault, id::InterfaceId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNetworkInterfaceAttribute {
    network_interface_id: InterfaceId,
    attribute: String,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    network_interface_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Value<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_set: Option<Set<GroupIdentifier<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_dest_check: Option<Value<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Value<T> {
    value: T,
}

impl Action for DescribeNetworkInterfaceAttribute {
    const NAME: &'static str = "DescribeNetworkInterfaceAttribute";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let id = &self.network_interface_id;
        let found = NetworkInterface::find(id, &exchange.own(), exchange.settings.reach);
        let found = found.ok_or_else(|| fault::api_error(CloudFault::InterfaceNotFound(id.clone())))?;
        let mut response = Response { network_interface_id: id.to_string(), ..Response::default() };
        match self.attribute.as_str() {
            "description" => response.description = Some(Value { value: found.description }),
            "groupSet" => response.group_set = Some(found.group_set),
            "sourceDestCheck" => {
                response.source_dest_check = Some(Value { value: found.source_dest_check });
            }
            "attachment" => response.attachment = found.attachment,
            other => {
                return Err(ApiError::new(
                    Code::InvalidParameterValue,
                    format!(
                        "Value ({}) for parameter attribute is invalid. Unknown network interface \
                         attribute",
                        echo(other)
                    ),
                ));
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{attach_network_interface::tests::cloud_with_both, testing::BOB};

    const DESCRIBE: &str = "DescribeNetworkInterfaceAttribute";

    #[actix_web::test]
    async fn one_attribute_is_told_at_a_time() {
        let (cloud, _) = cloud_with_both().await;
        let query = |attribute: &str| format!("NetworkInterfaceId=eni-1&Attribute={attribute}");
        let id = "<networkInterfaceId>eni-1</networkInterfaceId>";
        for (attribute, shown) in [
            ("description", "<description><value/></description>"),
            ("sourceDestCheck", "<sourceDestCheck><value>true</value></sourceDestCheck>"),
            ("attachment", ""),
        ] {
            cloud.check(DESCRIBE, &query(attribute), &format!("{id}{shown}")).await;
        }
        assert_eq!(cloud.values(DESCRIBE, &query("groupSet"), "groupName").await, ["default"]);
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        cloud.call("AttachNetworkInterface", attach).await.unwrap();
        let of = cloud.value(DESCRIBE, &query("attachment"), "instanceId").await;
        assert_eq!(of, "i-1");
        cloud.check_refused(DESCRIBE, &query("colour"), "InvalidParameterValue", "colour").await;
        let code = "InvalidNetworkInterfaceID.NotFound";
        cloud.of(BOB).check_refused(DESCRIBE, &query("description"), code, "eni-1").await;
    }
}
