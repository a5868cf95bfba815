//! The names that a SOAP request has for Query's parameters.
//!
//! They follow from the parameters' own by a rule: the first letter is small, and a list `Thing`
//! of values is `thingSet/item/thing`, one of structures `thingSet`. What does not follow stands in the tables below, by the end
//! of the dotted path that leads to it, the action's name first.

/// Parameters that hold one value or one structure.
const VALUES: &[(&str, &str)] = &[("RunInstances.UserData", "userData/data")];

/// Parameters that are lists of values.
const VALUE_LISTS: &[(&str, &str)] = &[
    ("AllocationId", "allocationIdsSet/item/allocationId"),
    ("AssignPrivateIpAddresses.PrivateIpAddress", "privateIpAddressesSet/item/privateIpAddress"),
    ("AttributeName", "accountAttributeNameSet/item/attributeName"),
    ("DescribeSecurityGroups.GroupId", "securityGroupIdSet/item/groupId"),
    ("DescribeSecurityGroups.GroupName", "securityGroupSet/item/groupName"),
    ("ExecutableBy", "executableBySet/item/user"),
    ("ImageId", "imagesSet/item/imageId"),
    ("InstanceId", "instancesSet/item/instanceId"),
    ("KeyName", "keySet/item/keyName"),
    ("ModifyInstanceAttribute.GroupId", "groupSet/item/groupId"),
    ("Owner", "ownersSet/item/owner"),
    ("PublicIp", "publicIpsSet/item/publicIp"),
    ("RegionName", "regionSet/item/regionName"),
    ("ResourceId", "resourcesSet/item/resourceId"),
    ("SecurityGroup", "groupSet/item/groupName"),
    ("SecurityGroupId", "groupSet/item/groupId"),
    ("SubnetId", "subnetSet/item/subnetId"),
    ("UnassignPrivateIpAddresses.PrivateIpAddress", "privateIpAddressesSet/item/privateIpAddress"),
    ("VpcId", "vpcSet/item/vpcId"),
    ("ZoneName", "availabilityZoneSet/item/zoneName"),
];

/// Parameters that are lists of structures: the element that the items stand in.
const STRUCTURE_LISTS: &[(&str, &str)] = &[
    ("BlockDeviceMapping", "blockDeviceMapping"),
    ("LaunchPermission.Add", "add"),
    ("LaunchPermission.Remove", "remove"),
    ("PrivateIpAddresses", "privateIpAddressesSet"),
];

/// Parameters that say which attribute is meant: an empty element of its name.
const SIGNS: &[(&str, &[&str])] = &[
    (
        "DescribeImageAttribute.Attribute",
        &[
            "launchPermission",
            "productCodes",
            "kernel",
            "ramdisk",
            "blockDeviceMapping",
            "description",
            "sriovNetSupport",
            "bootMode",
            "tpmSupport",
            "uefiData",
            "lastLaunchedTime",
            "imdsSupport",
            "deregistrationProtection",
        ],
    ),
    (
        "DescribeInstanceAttribute.Attribute",
        &[
            "instanceType",
            "kernel",
            "ramdisk",
            "userData",
            "disableApiTermination",
            "disableApiStop",
            "instanceInitiatedShutdownBehavior",
            "rootDeviceName",
            "blockDeviceMapping",
            "sourceDestCheck",
            "groupSet",
            "productCodes",
            "ebsOptimized",
            "sriovNetSupport",
            "enaSupport",
            "enclaveOptions",
        ],
    ),
    (
        "DescribeNetworkInterfaceAttribute.Attribute",
        &["description", "groupSet", "sourceDestCheck", "attachment"],
    ),
    (
        "DescribeVpcAttribute.Attribute",
        &["enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"],
    ),
];

pub fn of_value(path: &str) -> String {
    row(VALUES, path).map_or_else(|| uncapitalized(last(path)), |place| (*place).to_owned())
}

pub fn of_value_list(path: &str) -> String {
    row(VALUE_LISTS, path).map_or_else(
        || {
            let name = uncapitalized(last(path));
            format!("{name}Set/item/{name}")
        },
        |place| (*place).to_owned(),
    )
}

/// A name that is in the plural is the set's already.
pub fn of_structure_list(path: &str) -> String {
    let name = uncapitalized(last(path));
    match row(STRUCTURE_LISTS, path) {
        Some(place) => (*place).to_owned(),
        None if name.ends_with('s') => name,
        None => format!("{name}Set"),
    }
}

pub fn signs(path: &str) -> &'static [&'static str] {
    row(SIGNS, path).copied().unwrap_or_default()
}

/// The row that says most of the path.
fn row<T>(table: &'static [(&str, T)], path: &str) -> Option<&'static T> {
    let ends = |row: &&(&str, T)| {
        path.strip_suffix(row.0).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    table.iter().filter(ends).max_by_key(|row| row.0.len()).map(|row| &row.1)
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn uncapitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
