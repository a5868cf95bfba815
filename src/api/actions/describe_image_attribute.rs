//! DescribeImageAttribute: one attribute of an image, in an element of its name. Who may launch an
//! image is told to its owner only.

use super::describe_instance_attribute::Value;
use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        fault,
        response::Set,
        shapes::image::{BlockDevice, block_devices},
    },
    domain::{
        fault::CloudFault,
        id::ImageId,
        image::{Image, ImageKind},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeImageAttribute {
    image_id: ImageId,
    attribute: AttributeName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum AttributeName {
    Description,
    Kernel,
    Ramdisk,
    LaunchPermission,
    ProductCodes,
    BlockDeviceMapping,
    SriovNetSupport,
    BootMode,
    TpmSupport,
    UefiData,
    LastLaunchedTime,
    ImdsSupport,
    DeregistrationProtection,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    image_id: String,
    #[serde(flatten)]
    attribute: Attribute,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Attribute {
    Description(Value<String>),
    Kernel(Value<String>),
    Ramdisk(Value<String>),
    LaunchPermission(Set<LaunchPermission>),
    ProductCodes(Set<()>),
    BlockDeviceMapping(Set<BlockDevice<String>>),
    SriovNetSupport(Value<String>),
    BootMode(Value<String>),
    TpmSupport(Value<String>),
    UefiData(Value<String>),
    LastLaunchedTime(Value<String>),
    ImdsSupport(Value<String>),
    DeregistrationProtection(Value<String>),
}

/// Everybody (the group `all`) or an account.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LaunchPermission {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

impl Action for DescribeImageAttribute {
    const NAME: &'static str = "DescribeImageAttribute";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let image = exchange
            .state
            .images
            .get(&self.image_id)
            .filter(|image| image.visible_to(&exchange.scope.account))
            .ok_or_else(|| {
                fault::api_error(CloudFault::ImagesNotFound(vec![self.image_id.clone()]))
            })?;
        if self.attribute == AttributeName::LaunchPermission
            && !exchange.caller.may_control(&image.owner)
        {
            return Err(ApiError::unauthorized());
        }
        let attribute = attribute(self.attribute, image);
        Ok(Response { image_id: self.image_id.to_string(), attribute })
    }
}

fn attribute(name: AttributeName, image: &Image) -> Attribute {
    match name {
        AttributeName::Description => Attribute::Description(image.description.clone().into()),
        AttributeName::Kernel => {
            Attribute::Kernel(image.kernel.as_ref().map(|kernel| kernel.as_str()).into())
        }
        AttributeName::Ramdisk => {
            Attribute::Ramdisk(image.ramdisk.as_ref().map(|ramdisk| ramdisk.as_str()).into())
        }
        AttributeName::LaunchPermission => {
            let everybody =
                image.public.then_some(LaunchPermission { group: Some("all"), user_id: None });
            let accounts = image.launch_permissions.iter().map(|account| LaunchPermission {
                group: None,
                user_id: Some(account.to_string()),
            });
            Attribute::LaunchPermission(everybody.into_iter().chain(accounts).collect())
        }
        AttributeName::ProductCodes => Attribute::ProductCodes(Set::default()),
        AttributeName::BlockDeviceMapping => {
            let devices = block_devices(image).item;
            Attribute::BlockDeviceMapping(devices.into_iter().map(BlockDevice::to_owned).collect())
        }
        AttributeName::BootMode => Attribute::BootMode(match image.kind {
            ImageKind::Machine => Value::some("legacy-bios"),
            ImageKind::Kernel | ImageKind::Ramdisk => Value::none(),
        }),
        // What no image here has.
        AttributeName::SriovNetSupport => Attribute::SriovNetSupport(Value::none()),
        AttributeName::TpmSupport => Attribute::TpmSupport(Value::none()),
        AttributeName::UefiData => Attribute::UefiData(Value::none()),
        AttributeName::LastLaunchedTime => Attribute::LastLaunchedTime(Value::none()),
        AttributeName::ImdsSupport => Attribute::ImdsSupport(Value::none()),
        AttributeName::DeregistrationProtection => {
            Attribute::DeregistrationProtection(Value::some("disabled"))
        }
    }
}
