//! The names that members have in JSON, as the AWS CLI and the SDKs write them.
//!
//! They follow from the names of parameters and elements by a rule: a list is named in the plural.
//! What does not follow stands in two tables, by the end of the dotted path that leads to it, the
//! action's name first.

use super::{Member, Shape};

/// Parameters whose JSON name does not follow from their own.
const REQUEST: &[(&str, &str)] = &[
    ("BillingProduct", "BillingProducts"),
    ("CreateNetworkInterface.Ipv4Prefix", "Ipv4Prefixes"),
    ("CreateNetworkInterface.Ipv6Prefix", "Ipv6Prefixes"),
    ("CreateNetworkInterface.SecurityGroupId", "Groups"),
    ("AssignPrivateIpAddresses.Ipv4Prefix", "Ipv4Prefixes"),
    ("UnassignPrivateIpAddresses.Ipv4Prefix", "Ipv4Prefixes"),
    ("ElasticInferenceAccelerator", "ElasticInferenceAccelerators"),
    ("ExecutableBy", "ExecutableUsers"),
    ("GroupDescription", "Description"),
    ("Groups", "UserIdGroupPairs"),
    ("LaunchPermission.Add", "Add"),
    ("LaunchPermission.Remove", "Remove"),
    ("LicenseSpecification", "LicenseSpecifications"),
    ("ModifyImageAttribute.OrganizationArn", "OrganizationArns"),
    ("ModifyImageAttribute.OrganizationalUnitArn", "OrganizationalUnitArns"),
    ("ModifyImageAttribute.ProductCode", "ProductCodes"),
    ("ModifyInstanceAttribute.GroupId", "Groups"),
    ("ModifyNetworkInterfaceAttribute.SecurityGroupId", "Groups"),
    ("NetworkInterface.SecurityGroupId", "Groups"),
    ("ResourceId", "Resources"),
    ("RunInstances.Ipv6Address", "Ipv6Addresses"),
    ("SecondaryInterface", "SecondaryInterfaces"),
];

/// Elements whose JSON name does not follow from their own.
const ANSWER: &[(&str, &str)] = &[
    ("availabilityZoneInfo", "AvailabilityZones"),
    ("availabilityZoneInfo.zoneState", "State"),
    ("blockDeviceMapping", "BlockDeviceMappings"),
    ("cidrBlockAssociationSet", "CidrBlockAssociationSet"),
    ("groupDescription", "Description"),
    ("groups", "UserIdGroupPairs"),
    ("imageOwnerId", "OwnerId"),
    ("imageState", "State"),
    ("instanceStatusSet", "InstanceStatuses"),
    ("instancesSet.dnsName", "PublicDnsName"),
    ("instancesSet.groupSet", "SecurityGroups"),
    ("instancesSet.instanceState", "State"),
    ("instancesSet.ipAddress", "PublicIpAddress"),
    ("instancesSet.reason", "StateTransitionReason"),
    ("ipv6CidrBlockAssociationSet", "Ipv6CidrBlockAssociationSet"),
    ("isPublic", "Public"),
    ("DescribeImageAttribute.kernel", "KernelId"),
    ("DescribeInstanceAttribute.kernel", "KernelId"),
    ("keySet", "KeyPairs"),
    ("launchPermission", "LaunchPermissions"),
    ("networkInterface.tagSet", "TagSet"),
    ("DescribeImageAttribute.ramdisk", "RamdiskId"),
    ("DescribeInstanceAttribute.ramdisk", "RamdiskId"),
    ("DescribeNetworkInterfaces.networkInterfaceSet.tagSet", "TagSet"),
    ("regionInfo", "Regions"),
    ("regionInfo.regionEndpoint", "Endpoint"),
    ("securityGroupInfo", "SecurityGroups"),
    ("StartInstances.instancesSet", "StartingInstances"),
    ("StopInstances.instancesSet", "StoppingInstances"),
    ("TerminateInstances.instancesSet", "TerminatingInstances"),
];

pub fn name_request(action: &str, members: &mut [Member]) {
    name(action, members, &|path, member| {
        exception(REQUEST, path).unwrap_or_else(|| match member.shape {
            Shape::List(_) => plural(&member.name),
            _ => member.name.clone(),
        })
    });
}

pub fn name_answer(action: &str, members: &mut [Member]) {
    name(action, members, &|path, member| {
        let (is_list, stem) = match (&member.shape, member.name.strip_suffix("Set")) {
            (Shape::List(_), Some(stem)) => (true, stem),
            _ => (false, member.name.as_str()),
        };
        let capital = capitalized(stem);
        exception(ANSWER, path).unwrap_or_else(|| match is_list {
            true => plural(&capital),
            false => capital,
        })
    });
}

fn name(path: &str, members: &mut [Member], of: &impl Fn(&str, &Member) -> String) {
    for member in members {
        let path = format!("{path}.{}", member.name);
        member.json = of(&path, member);
        let mut shape = &mut member.shape;
        while let Shape::List(of) = shape {
            shape = of;
        }
        if let Shape::Structure(members) = shape {
            name(&path, members, of);
        }
    }
}

/// The row that says most of the path.
fn exception(table: &[(&str, &str)], path: &str) -> Option<String> {
    let ends = |row: &&(&str, &str)| {
        path.strip_suffix(row.0).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let row = table.iter().filter(ends).max_by_key(|row| row.0.len())?;
    Some(row.1.to_owned())
}

fn plural(name: &str) -> String {
    match name.as_bytes() {
        [.., b's', b's'] | [.., b'x'] => format!("{name}es"),
        [.., b's'] => name.to_owned(),
        _ => format!("{name}s"),
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
