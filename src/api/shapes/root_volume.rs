//! `BlockDeviceMapping` of a launch or of an image. The root disk is the only device there is, and
//! it goes with its instance; what asks for anything else is refused.

use super::not_honoured::{NotHonoured, refuse_given, require, require_one_of, unsupported};
use crate::api::error::{ApiError, Code};
use schemars::JsonSchema;
use serde::Deserialize;

/// The sizes EC2 has, in GiB.
const SIZES: std::ops::RangeInclusive<u64> = 1..=65_536;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct BlockDeviceParameter {
    pub device_name: Option<String>,
    pub ebs: Option<VolumeParameter>,
    virtual_name: Option<NotHonoured>,
    no_device: Option<NotHonoured>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeParameter {
    pub volume_size: Option<u64>,
    volume_type: Option<String>,
    delete_on_termination: Option<bool>,
    encrypted: Option<bool>,
    snapshot_id: Option<NotHonoured>,
    iops: Option<NotHonoured>,
    throughput: Option<NotHonoured>,
    kms_key_id: Option<NotHonoured>,
}

/// The size asked for, if any. `root_device_name` is the image's; it is not known of an image that
/// is not there, which is then the cloud's to refuse.
pub fn root_gib(
    mappings: &[BlockDeviceParameter],
    root_device_name: Option<&str>,
) -> Result<Option<u64>, ApiError> {
    let Some((mapping, others)) = mappings.split_first() else { return Ok(None) };
    let Some(device) = &mapping.device_name else {
        return Err(ApiError::missing_parameter("BlockDeviceMapping.1.DeviceName"));
    };
    let is_root = |name: &str| root_device_name.is_none_or(|root| root == name);
    if !others.is_empty() || !is_root(device) {
        return Err(unsupported(format!(
            "Only the root device ('{}') can be mapped: this cloud has no other volumes.",
            root_device_name.unwrap_or(device)
        )));
    }
    refuse_given(&[
        ("BlockDeviceMapping.1.VirtualName", mapping.virtual_name),
        ("BlockDeviceMapping.1.NoDevice", mapping.no_device),
    ])?;
    match &mapping.ebs {
        Some(volume) => check_volume(volume).map(|()| volume.volume_size),
        None => Ok(None),
    }
}

fn check_volume(volume: &VolumeParameter) -> Result<(), ApiError> {
    refuse_given(&[
        ("Ebs.SnapshotId", volume.snapshot_id),
        ("Ebs.Iops", volume.iops),
        ("Ebs.Throughput", volume.throughput),
        ("Ebs.KmsKeyId", volume.kms_key_id),
    ])?;
    // The types that promise no rate of their own.
    require_one_of("VolumeType", volume.volume_type.as_deref(), &["gp2", "gp3", "standard"])?;
    require("Ebs.DeleteOnTermination", volume.delete_on_termination, true)?;
    require("Ebs.Encrypted", volume.encrypted, false)?;
    match volume.volume_size {
        Some(gib) if !SIZES.contains(&gib) => Err(ApiError::new(
            Code::InvalidParameterValue,
            format!("Volume of {gib}GiB is out of range: it must be 1 to 65536 GiB."),
        )),
        _ => Ok(()),
    }
}
