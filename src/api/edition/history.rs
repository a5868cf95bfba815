//! What there was of today's actions in 2008, as Amazon's WSDLs of the time had it.
//!
//! A row of a request says where a value stands and, after `=`, which parameter it is given to:
//! none if it says nothing that is not known, `Attribute:kernel` if the element's name is the
//! value. A row of a reply says where something stands, with all that is in it, and after `=`
//! where it is found today if that is elsewhere: with a `/`, in the first item of a list. Security
//! groups had no ids then: what is called `groupId` is the group's name. They were a reservation's,
//! and are its instances' today. A user had no groups but their own, so whose group a rule is
//! given to went without saying, and was said nevertheless.

use super::{
    Edition::{self, December2008, February2008},
    Operation,
    form::{Form, Particle, of_answer, put},
};
use crate::api::{
    service::Service,
    shape::{self, ActionShape, Member, Shape},
};

struct Row {
    since: Edition,
    name: &'static str,
    request: &'static [&'static str],
    reply: &'static [&'static str],
}

const RETURN: &[&str] = &["return"];

const RULES: &[&str] = &[
    "userId=",
    "groupName=GroupName",
    "ipPermissions/item/ipProtocol=IpPermissions.IpProtocol",
    "ipPermissions/item/fromPort=IpPermissions.FromPort",
    "ipPermissions/item/toPort=IpPermissions.ToPort",
    "ipPermissions/item/groups/item/userId=IpPermissions.Groups.UserId",
    "ipPermissions/item/groups/item/groupName=IpPermissions.Groups.GroupName",
    "ipPermissions/item/ipRanges/item/cidrIp=IpPermissions.IpRanges.CidrIp",
];

/// By today's order of actions.
const TABLE: &[Row] = &[
    Row { since: February2008, name: "AllocateAddress", request: &[], reply: &["publicIp"] },
    Row {
        since: February2008,
        name: "AssociateAddress",
        request: &["publicIp=PublicIp", "instanceId=InstanceId"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "DescribeAddresses",
        request: &["publicIpsSet/item/publicIp=PublicIp"],
        reply: &["addressesSet/item/publicIp", "addressesSet/item/instanceId"],
    },
    Row {
        since: February2008,
        name: "DisassociateAddress",
        request: &["publicIp=PublicIp"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "ReleaseAddress",
        request: &["publicIp=PublicIp"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "DeregisterImage",
        request: &["imageId=ImageId"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "DescribeImageAttribute",
        request: &[
            "imageId=ImageId",
            "launchPermission=Attribute:launchPermission",
            "productCodes=Attribute:productCodes",
            "kernel=Attribute:kernel",
            "ramdisk=Attribute:ramdisk",
        ],
        reply: &["imageId", "launchPermission", "productCodes", "kernel", "ramdisk"],
    },
    Row {
        since: February2008,
        name: "DescribeImages",
        request: &[
            "executableBySet/item/user=ExecutableBy",
            "imagesSet/item/imageId=ImageId",
            "ownersSet/item/owner=Owner",
        ],
        reply: &[
            "imagesSet/item/imageId",
            "imagesSet/item/imageLocation",
            "imagesSet/item/imageState",
            "imagesSet/item/imageOwnerId",
            "imagesSet/item/isPublic",
            "imagesSet/item/productCodes",
            "imagesSet/item/architecture",
            "imagesSet/item/imageType",
            "imagesSet/item/kernelId",
            "imagesSet/item/ramdiskId",
        ],
    },
    Row {
        since: February2008,
        name: "ModifyImageAttribute",
        request: &[
            "imageId=ImageId",
            "launchPermission/add/item/userId=LaunchPermission.Add.UserId",
            "launchPermission/add/item/group=LaunchPermission.Add.Group",
            "launchPermission/remove/item/userId=LaunchPermission.Remove.UserId",
            "launchPermission/remove/item/group=LaunchPermission.Remove.Group",
        ],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "RegisterImage",
        request: &["imageLocation=ImageLocation"],
        reply: &["imageId"],
    },
    Row {
        since: February2008,
        name: "DescribeInstances",
        request: &["instancesSet/item/instanceId=InstanceId"],
        reply: &[
            "reservationSet/item/reservationId",
            "reservationSet/item/ownerId",
            "reservationSet/item/groupSet/item/groupId\
             =reservationSet.instancesSet/item/groupSet.groupName",
            "reservationSet/item/instancesSet/item/instanceId",
            "reservationSet/item/instancesSet/item/imageId",
            "reservationSet/item/instancesSet/item/instanceState",
            "reservationSet/item/instancesSet/item/privateDnsName",
            "reservationSet/item/instancesSet/item/dnsName",
            "reservationSet/item/instancesSet/item/reason",
            "reservationSet/item/instancesSet/item/keyName",
            "reservationSet/item/instancesSet/item/amiLaunchIndex",
            "reservationSet/item/instancesSet/item/productCodes",
            "reservationSet/item/instancesSet/item/instanceType",
            "reservationSet/item/instancesSet/item/launchTime",
            "reservationSet/item/instancesSet/item/placement/availabilityZone",
            "reservationSet/item/instancesSet/item/kernelId",
            "reservationSet/item/instancesSet/item/ramdiskId",
        ],
    },
    Row {
        since: February2008,
        name: "GetConsoleOutput",
        request: &["instanceId=InstanceId"],
        reply: &["instanceId", "timestamp", "output"],
    },
    Row {
        since: February2008,
        name: "RebootInstances",
        request: &["instancesSet/item/instanceId=InstanceId"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "RunInstances",
        request: &[
            "imageId=ImageId",
            "minCount=MinCount",
            "maxCount=MaxCount",
            "keyName=KeyName",
            "groupSet/item/groupId=SecurityGroup",
            "additionalInfo=AdditionalInfo",
            "userData/data=UserData",
            "addressingType=AddressingType",
            "instanceType=InstanceType",
            "placement/availabilityZone=Placement.AvailabilityZone",
            "kernelId=KernelId",
            "ramdiskId=RamdiskId",
            "blockDeviceMapping/item/virtualName=BlockDeviceMapping.VirtualName",
            "blockDeviceMapping/item/deviceName=BlockDeviceMapping.DeviceName",
        ],
        reply: &[
            "reservationId",
            "ownerId",
            "groupSet/item/groupId=instancesSet/item/groupSet.groupName",
            "instancesSet/item/instanceId",
            "instancesSet/item/imageId",
            "instancesSet/item/instanceState",
            "instancesSet/item/privateDnsName",
            "instancesSet/item/dnsName",
            "instancesSet/item/reason",
            "instancesSet/item/keyName",
            "instancesSet/item/amiLaunchIndex",
            "instancesSet/item/productCodes",
            "instancesSet/item/instanceType",
            "instancesSet/item/launchTime",
            "instancesSet/item/placement/availabilityZone",
            "instancesSet/item/kernelId",
            "instancesSet/item/ramdiskId",
        ],
    },
    Row {
        since: February2008,
        name: "TerminateInstances",
        request: &["instancesSet/item/instanceId=InstanceId"],
        reply: &[
            "instancesSet/item/instanceId",
            "instancesSet/item/shutdownState=instancesSet.currentState",
            "instancesSet/item/previousState",
        ],
    },
    Row {
        since: February2008,
        name: "CreateKeyPair",
        request: &["keyName=KeyName"],
        reply: &["keyName", "keyFingerprint", "keyMaterial"],
    },
    Row {
        since: February2008,
        name: "DeleteKeyPair",
        request: &["keyName=KeyName"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "DescribeKeyPairs",
        request: &["keySet/item/keyName=KeyName"],
        reply: &["keySet/item/keyName", "keySet/item/keyFingerprint"],
    },
    Row {
        since: February2008,
        name: "DescribeAvailabilityZones",
        request: &["availabilityZoneSet/item/zoneName=ZoneName"],
        reply: &["availabilityZoneInfo/item/zoneName", "availabilityZoneInfo/item/zoneState"],
    },
    Row {
        since: December2008,
        name: "DescribeAvailabilityZones",
        request: &["availabilityZoneSet/item/zoneName=ZoneName"],
        reply: &[
            "availabilityZoneInfo/item/zoneName",
            "availabilityZoneInfo/item/zoneState",
            "availabilityZoneInfo/item/regionName",
        ],
    },
    Row {
        since: December2008,
        name: "DescribeRegions",
        request: &["regionSet/item/regionName=RegionName"],
        reply: &["regionInfo/item/regionName", "regionInfo/item/regionEndpoint"],
    },
    Row {
        since: February2008,
        name: "CreateSecurityGroup",
        request: &["groupName=GroupName", "groupDescription=GroupDescription"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "DeleteSecurityGroup",
        request: &["groupName=GroupName"],
        reply: RETURN,
    },
    Row {
        since: February2008,
        name: "DescribeSecurityGroups",
        request: &["securityGroupSet/item/groupName=GroupName"],
        reply: &[
            "securityGroupInfo/item/ownerId",
            "securityGroupInfo/item/groupName",
            "securityGroupInfo/item/groupDescription",
            "securityGroupInfo/item/ipPermissions/item/ipProtocol",
            "securityGroupInfo/item/ipPermissions/item/fromPort",
            "securityGroupInfo/item/ipPermissions/item/toPort",
            "securityGroupInfo/item/ipPermissions/item/groups/item/userId",
            // A rule names its peers by their ids.
            "securityGroupInfo/item/ipPermissions/item/groups/item/groupName\
             =securityGroupInfo.ipPermissions.groups.groupId",
            "securityGroupInfo/item/ipPermissions/item/ipRanges/item/cidrIp",
        ],
    },
    Row {
        since: February2008,
        name: "AuthorizeSecurityGroupIngress",
        request: RULES,
        reply: RETURN,
    },
    Row { since: February2008, name: "RevokeSecurityGroupIngress", request: RULES, reply: RETURN },
];

/// The operations of a historic edition.
pub fn operations(edition: Edition) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for row in TABLE.iter().filter(|row| edition == December2008 || row.since == February2008) {
        let action = shape::find(Service::Ec2, row.name);
        let action = action.expect("every row is of an action that there is, as tests see");
        let mut reply = edition.head();
        reply.extend(reply_of(action, row.reply));
        let operation =
            Operation { name: row.name, request: request_of(action, row.request), reply };
        // A later row of the same action is how it was from then on.
        match operations.iter_mut().find(|operation| operation.name == row.name) {
            Some(earlier) => *earlier = operation,
            None => operations.push(operation),
        }
    }
    operations
}

fn request_of(action: &ActionShape, rows: &[&str]) -> Vec<Particle> {
    let mut particles = Vec::new();
    for row in rows {
        let (place, parameter) = row.split_once('=').expect("rows of requests name a parameter");
        if parameter.is_empty() {
            particles.push(Particle::optional(place, "", Form::PassedOver));
        } else if let Some((parameter, _)) = parameter.split_once(':') {
            particles.push(Particle::optional(place, parameter, Form::Sign));
        } else {
            let found = find(&action.request, parameter);
            let form = match found.shape {
                Shape::Value(kind) => Form::Value(*kind),
                _ => Form::NotHonoured,
            };
            let (required, origin) = (found.required, found.numbered);
            put(&mut particles, place, Particle { name: String::new(), required, origin, form });
        }
    }
    particles
}

fn reply_of(action: &ActionShape, rows: &[&str]) -> Vec<Particle> {
    let mut particles = Vec::new();
    for row in rows {
        let (place, today) = match row.split_once('=') {
            Some((place, today)) => (place, today.to_owned()),
            None => (*row, row.replace("/item/", ".").replace('/', ".")),
        };
        put_reply(&mut particles, place, &action.answer, &today);
    }
    particles
}

/// As [`put`], but with each element's name of today, and required where it is today.
fn put_reply(particles: &mut Vec<Particle>, place: &str, members: &[Member], today: &str) {
    let (origin, rest_of_today) = today.split_once('.').unwrap_or((today, ""));
    let member = find_today(members, origin);
    let member = member.expect("every row is of something there is today, as tests see");
    let (name, rest) = place.split_once('/').unwrap_or((place, ""));
    let in_list = matches!(member.shape, Shape::List(_));
    let rest = if in_list { rest.strip_prefix("item/").unwrap_or(rest) } else { rest };
    if rest.is_empty() {
        particles.push(Particle {
            name: name.to_owned(),
            required: member.required,
            origin: origin.to_owned(),
            form: of_answer(&member.shape),
        });
        return;
    }
    let at = particles.iter().position(|other| other.name == name).unwrap_or_else(|| {
        let fields = Form::Fields(Vec::new());
        particles.push(Particle {
            name: name.to_owned(),
            required: member.required,
            origin: origin.to_owned(),
            form: if in_list { Form::Items(Box::new(fields)) } else { fields },
        });
        particles.len() - 1
    });
    let mut form = &mut particles[at].form;
    if let Form::Items(of) = form {
        form = of;
    }
    let inner = match &member.shape {
        Shape::List(of) => &**of,
        shape => shape,
    };
    match (form, inner) {
        (Form::Fields(fields), Shape::Structure(members)) => {
            put_reply(fields, rest, members, rest_of_today);
        }
        _ => unreachable!("`{place}` is in something that is no structure today"),
    }
}

fn find_today<'a>(members: &'a [Member], origin: &str) -> Option<&'a Member> {
    let (name, rest) = origin.split_once("/item/").unwrap_or((origin, ""));
    let member = members.iter().find(|member| member.name == name)?;
    match &member.shape {
        _ if rest.is_empty() => Some(member),
        Shape::List(of) => match &**of {
            Shape::Structure(members) => find_today(members, rest),
            _ => None,
        },
        _ => None,
    }
}

struct Found<'a> {
    shape: &'a Shape,
    required: bool,
    /// The parameter with a `#` for every number in it.
    numbered: String,
}

fn find<'a>(members: &'a [Member], parameter: &str) -> Found<'a> {
    let (name, rest) = parameter.split_once('.').unwrap_or((parameter, ""));
    let member = members.iter().find(|member| member.name == name);
    let member = member.expect("every row is of a parameter that there is, as tests see");
    let (shape, numbered) = match &member.shape {
        Shape::List(of) => (&**of, format!("{name}.#")),
        shape => (shape, name.to_owned()),
    };
    match shape {
        Shape::Structure(members) if !rest.is_empty() => {
            let found = find(members, rest);
            Found { numbered: format!("{numbered}.{}", found.numbered), ..found }
        }
        shape => Found { shape, required: member.required, numbered },
    }
}
