use super::*;
use std::collections::BTreeSet;

fn action(name: &str) -> &'static ActionShape {
    all().iter().find(|action| action.name == name).unwrap()
}

fn at<'a>(members: &'a [Member], path: &str) -> &'a Member {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let member = members.iter().find(|member| member.name == first).unwrap();
    let Some(rest) = rest else { return member };
    let mut shape = &member.shape;
    while let Shape::List(of) = shape {
        shape = of;
    }
    let Shape::Structure(members) = shape else { panic!("`{path}` is no structure") };
    at(members, rest)
}

#[test]
fn every_action_has_a_shape_whose_members_have_different_names() {
    fn check(path: &str, members: &[Member]) {
        for names in [
            members.iter().map(|member| &member.name).collect::<Vec<_>>(),
            members.iter().map(|member| &member.json).collect(),
        ] {
            let different: BTreeSet<_> = names.iter().collect();
            assert_eq!(different.len(), names.len(), "{path}: {names:?}");
        }
        for member in members {
            let mut shape = &member.shape;
            while let Shape::List(of) = shape {
                shape = of;
            }
            if let Shape::Structure(members) = shape {
                check(&format!("{path}.{}", member.name), members);
            }
        }
    }
    assert_eq!(all().len(), actions::NAMES.len());
    for action in all() {
        check(action.name, &action.request);
        check(action.name, &action.answer);
    }
}

#[test]
fn what_must_be_given_and_what_may_be_left_out_is_told_apart() {
    let run = &action("RunInstances").request;
    assert!(at(run, "ImageId").required && at(run, "MinCount").required);
    for optional in ["KeyName", "SecurityGroup", "MetadataOptions", "Placement.AvailabilityZone"] {
        assert!(!at(run, optional).required, "{optional}");
    }
    assert_eq!(at(run, "MinCount").shape, Shape::Value(Kind::Integer));
    assert_eq!(at(run, "LaunchTemplate").shape, Shape::NotHonoured);
    let answer = &action("DescribeInstances").answer;
    assert!(at(answer, "reservationSet").required && !at(answer, "nextToken").required);
    let launched = at(answer, "reservationSet.instancesSet.launchTime");
    assert_eq!((launched.required, &launched.shape), (true, &Shape::Value(Kind::DateTime)));
}

#[test]
fn a_newtype_has_the_shape_of_what_it_holds_and_a_set_is_a_list() {
    let permit = &action("AuthorizeSecurityGroupIngress").request;
    assert_eq!(at(permit, "IpPermissions.IpRanges.CidrIp").shape, Shape::Value(Kind::Text));
    let Shape::List(_) = at(&action("DescribeVpcs").answer, "vpcSet").shape else { panic!() };
}

#[test]
fn an_answer_of_several_kinds_has_the_members_of_all() {
    let attribute = &action("DescribeImageAttribute").answer;
    assert!(at(attribute, "imageId").required);
    assert!(!at(attribute, "description").required && !at(attribute, "bootMode").required);
    let zones = &action("DescribeAvailabilityZones").answer;
    assert!(at(zones, "availabilityZoneInfo.zoneState").required);
    assert!(!at(zones, "availabilityZoneInfo.zoneId").required);
}

#[test]
fn json_names_lists_in_the_plural_and_knows_the_exceptions() {
    let run = &action("RunInstances").request;
    for (path, json) in [
        ("SecurityGroupId", "SecurityGroupIds"),
        ("TagSpecification.Tag.Key", "Key"),
        ("TagSpecification.Tag", "Tags"),
        ("NetworkInterface.SecurityGroupId", "Groups"),
        ("NetworkInterface.PrivateIpAddresses", "PrivateIpAddresses"),
    ] {
        assert_eq!(at(run, path).json, json, "{path}");
    }
    let answer = &action("DescribeInstances").answer;
    for (path, json) in [
        ("reservationSet", "Reservations"),
        ("reservationSet.groupSet", "Groups"),
        ("reservationSet.instancesSet", "Instances"),
        ("reservationSet.instancesSet.groupSet", "SecurityGroups"),
        ("reservationSet.instancesSet.ipAddress", "PublicIpAddress"),
        ("reservationSet.instancesSet.reason", "StateTransitionReason"),
        ("reservationSet.instancesSet.networkInterfaceSet.groupSet", "Groups"),
    ] {
        assert_eq!(at(answer, path).json, json, "{path}");
    }
}
