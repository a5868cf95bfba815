//! DescribeInstanceAttribute: one attribute, in an element of its name, with a `value` even when
//! that is `false`. An attribute that an instance does not have (a kernel, user data) is an empty
//! element.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Set,
        shapes::{
            instance::{InstanceElement, RootDevice, own_instance, root_device},
            security_group::GroupIdentifier,
            user_data,
        },
    },
    domain::{
        id::{ImageId, InstanceId},
        instance::Instance,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstanceAttribute {
    instance_id: InstanceId,
    attribute: AttributeName,
}

/// EC2's names of an instance's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AttributeName {
    InstanceType,
    Kernel,
    Ramdisk,
    UserData,
    DisableApiTermination,
    DisableApiStop,
    InstanceInitiatedShutdownBehavior,
    RootDeviceName,
    BlockDeviceMapping,
    ProductCodes,
    SourceDestCheck,
    GroupSet,
    EbsOptimized,
    SriovNetSupport,
    EnaSupport,
    EnclaveOptions,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    instance_id: String,
    #[serde(flatten)]
    attribute: Attribute,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Attribute {
    InstanceType(Value<String>),
    Kernel(Value<String>),
    Ramdisk(Value<String>),
    UserData(Value<String>),
    DisableApiTermination(Value<bool>),
    DisableApiStop(Value<bool>),
    InstanceInitiatedShutdownBehavior(Value<String>),
    RootDeviceName(Value<String>),
    BlockDeviceMapping(Set<RootDevice<String>>),
    ProductCodes(Set<()>),
    SourceDestCheck(Value<bool>),
    GroupSet(Set<GroupIdentifier<String>>),
    EbsOptimized(Value<bool>),
    SriovNetSupport(Value<String>),
    EnaSupport(Value<bool>),
    EnclaveOptions(Enabled),
}

/// `<value>…</value>`, or nothing inside the attribute's element.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Value<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<T>,
}

impl<T> Value<T> {
    pub fn some(value: impl Into<T>) -> Value<T> {
        Value { value: Some(value.into()) }
    }

    pub fn none() -> Value<T> {
        Value { value: None }
    }
}

impl<S: Into<T>, T> From<Option<S>> for Value<T> {
    fn from(value: Option<S>) -> Value<T> {
        Value { value: value.map(Into::into) }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Enabled {
    enabled: bool,
}

impl Action for DescribeInstanceAttribute {
    const NAME: &'static str = "DescribeInstanceAttribute";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let instance = own_instance(&self.instance_id, exchange)?;
        let element = InstanceElement {
            instance,
            state: exchange.state.clone(),
            reach: exchange.settings.reach,
        };
        let attribute = attribute(self.attribute, &element);
        Ok(Response { instance_id: self.instance_id.to_string(), attribute })
    }
}

fn attribute(name: AttributeName, element: &InstanceElement) -> Attribute {
    let instance: &Instance = &element.instance;
    let image = |id: &Option<ImageId>| {
        Value::from(id.as_ref().map(|image| image.as_str()))
    };
    match name {
        AttributeName::InstanceType => {
            Attribute::InstanceType(Value::some(&*instance.instance_type))
        }
        AttributeName::Kernel => Attribute::Kernel(image(&instance.kernel)),
        AttributeName::Ramdisk => Attribute::Ramdisk(image(&instance.ramdisk)),
        AttributeName::UserData => {
            Attribute::UserData(instance.user_data.as_deref().map(user_data::write).into())
        }
        AttributeName::DisableApiTermination => {
            Attribute::DisableApiTermination(Value::some(instance.disable_api_termination))
        }
        AttributeName::DisableApiStop => {
            Attribute::DisableApiStop(Value::some(instance.disable_api_stop))
        }
        AttributeName::InstanceInitiatedShutdownBehavior => {
            let behavior = instance.shutdown_behavior.as_str();
            Attribute::InstanceInitiatedShutdownBehavior(Value::some(behavior))
        }
        AttributeName::RootDeviceName => {
            Attribute::RootDeviceName(Value::some(&*instance.root_device_name))
        }
        AttributeName::BlockDeviceMapping => {
            let root = root_device(instance).map(RootDevice::to_owned);
            Attribute::BlockDeviceMapping(root.into_iter().collect())
        }
        AttributeName::ProductCodes => Attribute::ProductCodes(Set::default()),
        AttributeName::SourceDestCheck => {
            Attribute::SourceDestCheck(Value::some(instance.source_dest_check))
        }
        AttributeName::GroupSet => {
            Attribute::GroupSet(element.groups().into_iter().map(GroupIdentifier::to_owned).collect())
        }
        AttributeName::EbsOptimized => Attribute::EbsOptimized(Value::some(instance.ebs_optimized)),
        AttributeName::SriovNetSupport => Attribute::SriovNetSupport(Value::none()),
        AttributeName::EnaSupport => Attribute::EnaSupport(Value::some(false)),
        AttributeName::EnclaveOptions => Attribute::EnclaveOptions(Enabled { enabled: false }),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::{BOB, TestCloud, a_launch};
    use crate::messages::cloud::LaunchReservation;

    #[actix_web::test]
    async fn every_attribute_stands_in_an_element_of_its_name() {
        let cloud = TestCloud::start().await;
        let user_data = Some(b"hello".to_vec());
        cloud.launch_as(LaunchReservation { user_data, ..a_launch() }).await;
        cloud.call("DescribeInstances", "").await.unwrap();
        for (name, element) in [
            ("instanceType", "<value>m1.small</value>"),
            ("userData", "<value>aGVsbG8=</value>"),
            ("disableApiTermination", "<value>false</value>"),
            ("disableApiStop", "<value>false</value>"),
            ("instanceInitiatedShutdownBehavior", "<value>stop</value>"),
            ("rootDeviceName", "<value>/dev/sda1</value>"),
            ("sourceDestCheck", "<value>true</value>"),
            ("ebsOptimized", "<value>false</value>"),
            ("enaSupport", "<value>false</value>"),
            ("enclaveOptions", "<enabled>false</enabled>"),
            (
                "groupSet",
                "<item><groupId>sg-1</groupId><groupName>default</groupName></item>",
            ),
            (
                "blockDeviceMapping",
                "<item><deviceName>/dev/sda1</deviceName><ebs><volumeId>vol-1</volumeId>\
                 <status>attached</status><attachTime>2026-01-02T03:04:05.000Z</attachTime>\
                 <deleteOnTermination>true</deleteOnTermination></ebs></item>",
            ),
        ] {
            let query = format!("InstanceId=i-1&Attribute={name}");
            let answer = format!("<instanceId>i-1</instanceId><{name}>{element}</{name}>");
            cloud.check("DescribeInstanceAttribute", &query, &answer).await;
        }
        for name in ["kernel", "ramdisk", "productCodes", "sriovNetSupport"] {
            let query = format!("InstanceId=i-1&Attribute={name}");
            let answer = format!("<instanceId>i-1</instanceId><{name}/>");
            cloud.check("DescribeInstanceAttribute", &query, &answer).await;
        }
    }

    #[actix_web::test]
    async fn an_unknown_attribute_or_instance_is_refused() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.call("DescribeInstances", "").await.unwrap();
        for (query, code) in [
            ("InstanceId=i-1&Attribute=colour", "InvalidParameterValue"),
            ("InstanceId=i-1", "MissingParameter"),
            ("InstanceId=i-00000000&Attribute=kernel", "InvalidInstanceID.NotFound"),
        ] {
            cloud.check_refused("DescribeInstanceAttribute", query, code, "").await;
        }
        let query = "InstanceId=i-1&Attribute=userData";
        let code = "InvalidInstanceID.NotFound";
        cloud.of(BOB).check_refused("DescribeInstanceAttribute", query, code, "").await;
    }
}
