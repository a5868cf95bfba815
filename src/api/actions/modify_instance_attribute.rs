//! ModifyInstanceAttribute: one attribute a request, in either of EC2's forms: `Attribute` and
//! `Value`, or the attribute's own parameter (`DisableApiTermination.Value`).

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        response::Return,
        shapes::{
            instance::own_instance,
            not_honoured::{require, unsupported},
            user_data,
        },
    },
    domain::{
        id::{InstanceId, SecurityGroupId},
        instance::ShutdownBehavior,
    },
    messages::cloud::{InstanceAttribute, ModifyInstance},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::describe_instance_attribute::AttributeName;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyInstanceAttribute {
    instance_id: InstanceId,
    attribute: Option<AttributeName>,
    value: Option<String>,
    instance_type: Option<Value<String>>,
    user_data: Option<Value<String>>,
    instance_initiated_shutdown_behavior: Option<Value<String>>,
    disable_api_termination: Option<Value<bool>>,
    disable_api_stop: Option<Value<bool>>,
    ebs_optimized: Option<Value<bool>>,
    source_dest_check: Option<Value<bool>>,
    ena_support: Option<Value<bool>>,
    sriov_net_support: Option<Value<String>>,
    kernel: Option<Value<String>>,
    ramdisk: Option<Value<String>>,
    enclave_options: Option<Enabled>,
    #[serde(default)]
    group_id: Vec<SecurityGroupId>,
    #[serde(default)]
    block_device_mapping: Vec<BlockDevice>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Value<T> {
    value: Option<T>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Enabled {
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct BlockDevice {
    device_name: String,
    ebs: Option<Volume>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    delete_on_termination: Option<bool>,
    volume_id: Option<String>,
}

/// What a request comes to.
#[derive(Debug)]
enum Change {
    Record(InstanceAttribute),
    /// It asks for what is the case anyway.
    Nothing,
}

impl Action for ModifyInstanceAttribute {
    const NAME: &'static str = "ModifyInstanceAttribute";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        let instance = self.instance_id.clone();
        match self.change(exchange)? {
            Change::Record(attribute) => {
                exchange.command(ModifyInstance { instance, attribute }).await?;
            }
            Change::Nothing => _ = own_instance(&instance, exchange)?,
        }
        Ok(Return::TRUE)
    }
}

impl ModifyInstanceAttribute {
    fn change(self, exchange: &Exchange) -> Result<Change, ApiError> {
        let mut changes = Vec::new();
        if let Some(name) = self.attribute {
            let value = self.value.ok_or_else(|| ApiError::missing_parameter("Value"))?;
            changes.push(named(name, &value)?);
        } else if self.value.is_some() {
            return Err(ApiError::missing_parameter("Attribute"));
        }
        let record = |attribute| Ok(Change::Record(attribute));
        let typed: [Option<Result<Change, ApiError>>; 11] = [
            text(self.instance_type, "InstanceType", |name| {
                record(InstanceAttribute::InstanceType(name.to_owned()))
            }),
            text(self.user_data, "UserData", |text| {
                record(InstanceAttribute::UserData(user_data::read(text)?))
            }),
            text(
                self.instance_initiated_shutdown_behavior,
                "InstanceInitiatedShutdownBehavior",
                |text| record(InstanceAttribute::ShutdownBehavior(shutdown_behavior(text)?)),
            ),
            truth(self.disable_api_termination, "DisableApiTermination", |on| {
                record(InstanceAttribute::DisableApiTermination(on))
            }),
            truth(self.disable_api_stop, "DisableApiStop", |on| {
                record(InstanceAttribute::DisableApiStop(on))
            }),
            truth(self.ebs_optimized, "EbsOptimized", |on| {
                record(InstanceAttribute::EbsOptimized(on))
            }),
            truth(self.source_dest_check, "SourceDestCheck", |on| {
                record(InstanceAttribute::SourceDestCheck(on))
            }),
            truth(self.ena_support, "EnaSupport", |on| {
                require("EnaSupport", Some(on), false).map(|()| Change::Nothing)
            }),
            text(self.sriov_net_support, "SriovNetSupport", |_| Err(fixed("SriovNetSupport"))),
            text(self.kernel, "Kernel", |_| Err(fixed("Kernel"))),
            text(self.ramdisk, "Ramdisk", |_| Err(fixed("Ramdisk"))),
        ];
        for change in typed.into_iter().flatten() {
            changes.push(change?);
        }
        if let Some(options) = self.enclave_options {
            require("EnclaveOptions.Enabled", options.enabled, false)?;
            changes.push(Change::Nothing);
        }
        if !self.group_id.is_empty() {
            changes.push(Change::Record(InstanceAttribute::SecurityGroups(self.group_id)));
        }
        if !self.block_device_mapping.is_empty() {
            check_devices(&self.block_device_mapping, &self.instance_id, exchange)?;
            changes.push(Change::Nothing);
        }
        one(changes)
    }
}

fn one(mut changes: Vec<Change>) -> Result<Change, ApiError> {
    match (changes.pop(), changes.is_empty()) {
        (Some(change), true) => Ok(change),
        (Some(_), false) => Err(ApiError::invalid_combination(
            "Fields for multiple attribute types specified: one attribute can be modified at a \
             time.",
        )),
        (None, _) => Err(ApiError::invalid_combination("No attributes specified.")),
    }
}

fn text(
    given: Option<Value<String>>,
    name: &str,
    change: impl FnOnce(&str) -> Result<Change, ApiError>,
) -> Option<Result<Change, ApiError>> {
    given.map(|given| match given.value {
        Some(value) => change(&value),
        None => Err(ApiError::missing_parameter(&format!("{name}.Value"))),
    })
}

fn truth(
    given: Option<Value<bool>>,
    name: &str,
    change: impl FnOnce(bool) -> Result<Change, ApiError>,
) -> Option<Result<Change, ApiError>> {
    given.map(|given| match given.value {
        Some(value) => change(value),
        None => Err(ApiError::missing_parameter(&format!("{name}.Value"))),
    })
}

/// The older form.
fn named(name: AttributeName, value: &str) -> Result<Change, ApiError> {
    let truth = || match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ApiError::invalid_value("Value", value, "It must be true or false.")),
    };
    let attribute = match name {
        AttributeName::InstanceType => InstanceAttribute::InstanceType(value.to_owned()),
        AttributeName::UserData => InstanceAttribute::UserData(user_data::read(value)?),
        AttributeName::InstanceInitiatedShutdownBehavior => {
            InstanceAttribute::ShutdownBehavior(shutdown_behavior(value)?)
        }
        AttributeName::DisableApiTermination => InstanceAttribute::DisableApiTermination(truth()?),
        AttributeName::DisableApiStop => InstanceAttribute::DisableApiStop(truth()?),
        AttributeName::EbsOptimized => InstanceAttribute::EbsOptimized(truth()?),
        AttributeName::SourceDestCheck => InstanceAttribute::SourceDestCheck(truth()?),
        AttributeName::GroupSet => InstanceAttribute::SecurityGroups(vec![value.parse()?]),
        AttributeName::EnaSupport => {
            return require("EnaSupport", Some(truth()?), false).map(|()| Change::Nothing);
        }
        AttributeName::Kernel => return Err(fixed("Kernel")),
        AttributeName::Ramdisk => return Err(fixed("Ramdisk")),
        AttributeName::SriovNetSupport => return Err(fixed("SriovNetSupport")),
        AttributeName::RootDeviceName
        | AttributeName::BlockDeviceMapping
        | AttributeName::ProductCodes
        | AttributeName::EnclaveOptions => {
            return Err(ApiError::new(
                Code::InvalidParameterCombination,
                "This attribute cannot be given by Attribute and Value.",
            ));
        }
    };
    Ok(Change::Record(attribute))
}

/// What an instance boots from is settled at its launch.
fn fixed(name: &str) -> ApiError {
    unsupported(format!("{name} of an instance cannot be modified in this cloud."))
}

fn shutdown_behavior(text: &str) -> Result<ShutdownBehavior, ApiError> {
    match text {
        "stop" => Ok(ShutdownBehavior::Stop),
        "terminate" => Ok(ShutdownBehavior::Terminate),
        _ => Err(ApiError::invalid_value(
            "InstanceInitiatedShutdownBehavior",
            text,
            "Valid values are: stop, terminate.",
        )),
    }
}

/// The root disk goes with its instance, whatever is asked; asking for that is granted.
fn check_devices(
    devices: &[BlockDevice],
    instance: &InstanceId,
    exchange: &Exchange,
) -> Result<(), ApiError> {
    let instance = own_instance(instance, exchange)?;
    for device in devices {
        if device.device_name != instance.root_device_name {
            return Err(ApiError::new(
                Code::InvalidInstanceAttributeValue,
                format!("No device is currently mapped at {}", device.device_name),
            ));
        }
        let volume = device.ebs.as_ref();
        require("DeleteOnTermination", volume.and_then(|v| v.delete_on_termination), true)?;
        if let Some(other) = volume.and_then(|v| v.volume_id.as_ref())
            && *other != instance.root_volume.to_string()
        {
            return Err(unsupported("The volume of the root device cannot be replaced."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::TestCloud;
    use crate::domain::instance::{Instance, ShutdownBehavior};
    use std::sync::Arc;

    async fn cloud_with_an_instance() -> TestCloud {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.call("DescribeInstances", "").await.unwrap();
        cloud
    }

    async fn modify(cloud: &TestCloud, change: &str) {
        let request = format!("InstanceId=i-1&{change}");
        cloud.check("ModifyInstanceAttribute", &request, "<return>true</return>").await;
    }

    fn instance(cloud: &TestCloud) -> Arc<Instance> {
        cloud.state().instances().next().unwrap().clone()
    }

    #[actix_web::test]
    async fn either_form_changes_the_attribute() {
        let cloud = cloud_with_an_instance().await;
        modify(&cloud, "DisableApiTermination.Value=true").await;
        modify(&cloud, "Attribute=disableApiStop&Value=true").await;
        modify(&cloud, "InstanceInitiatedShutdownBehavior.Value=terminate").await;
        modify(&cloud, "SourceDestCheck.Value=false").await;
        let instance = instance(&cloud);
        assert!(instance.disable_api_termination && instance.disable_api_stop);
        assert_eq!(instance.shutdown_behavior, ShutdownBehavior::Terminate);
        assert!(!instance.source_dest_check);
    }

    #[actix_web::test]
    async fn type_and_user_data_change_only_while_stopped() {
        let cloud = cloud_with_an_instance().await;
        for change in ["InstanceType.Value=t3.micro", "UserData.Value=aGVsbG8="] {
            let request = format!("InstanceId=i-1&{change}");
            let part = "is not in the 'stopped' state";
            cloud
                .check_refused("ModifyInstanceAttribute", &request, "IncorrectInstanceState", part)
                .await;
        }
        cloud.call("StopInstances", "InstanceId=i-1").await.unwrap();
        cloud.settle().await;
        modify(&cloud, "InstanceType.Value=t3.micro").await;
        modify(&cloud, "UserData.Value=aGVsbG8=").await;
        let instance = instance(&cloud);
        assert_eq!((&*instance.instance_type, instance.resources.vcpus), ("t3.micro", 2));
        assert_eq!(instance.user_data.as_deref(), Some(&b"hello"[..]));
    }

    #[actix_web::test]
    async fn one_attribute_is_changed_at_a_time_and_only_to_what_can_be_had() {
        let cloud = cloud_with_an_instance().await;
        for (change, code) in [
            ("", "InvalidParameterCombination"),
            ("EbsOptimized.Value=true&DisableApiStop.Value=true", "InvalidParameterCombination"),
            ("Attribute=disableApiStop", "MissingParameter"),
            ("Attribute=disableApiStop&Value=maybe", "InvalidParameterValue"),
            ("Attribute=colour&Value=red", "InvalidParameterValue"),
            ("InstanceInitiatedShutdownBehavior.Value=explode", "InvalidParameterValue"),
            ("GroupId.1=sg-00000000", "InvalidGroup.NotFound"),
            ("Kernel.Value=aki-00000000", "UnsupportedOperation"),
            ("EnaSupport.Value=true", "UnsupportedOperation"),
            (
                "BlockDeviceMapping.1.DeviceName=/dev/sda1\
                 &BlockDeviceMapping.1.Ebs.DeleteOnTermination=false",
                "UnsupportedOperation",
            ),
        ] {
            let request = format!("InstanceId=i-1&{change}");
            cloud.check_refused("ModifyInstanceAttribute", &request, code, "").await;
        }
        modify(
            &cloud,
            "BlockDeviceMapping.1.DeviceName=/dev/sda1\
             &BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
        )
        .await;
    }

    #[actix_web::test]
    async fn a_stranger_s_instance_does_not_exist() {
        let cloud = cloud_with_an_instance().await;
        for change in ["DisableApiStop.Value=true", "EnaSupport.Value=false"] {
            let request = format!("InstanceId=i-1&{change}");
            let bob = cloud.of(crate::api::actions::testing::BOB);
            bob.check_refused("ModifyInstanceAttribute", &request, "InvalidInstanceID.NotFound", "")
                .await;
        }
    }
}
