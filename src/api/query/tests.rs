//! Requests read, and refused.

use super::*;
use crate::api::effort;
use crate::api::error::Code;
use crate::domain::id::{ImageId, InstanceId, ZoneName};
use proptest::prelude::{any, prop, proptest};
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    image_id: ImageId,
    min_count: u32,
    #[serde(default, rename = "InstanceId")]
    instance_ids: Vec<InstanceId>,
    #[serde(default)]
    ip_permissions: Vec<Permission>,
    placement: Option<Placement>,
    ebs_optimized: Option<bool>,
    #[serde(alias = "AddressType")]
    addressing_type: Option<Addressing>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Permission {
    ip_protocol: String,
    from_port: Option<i32>,
    #[serde(default)]
    ip_ranges: Vec<Range>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    cidr_ip: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Placement {
    availability_zone: Option<ZoneName>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Addressing {
    Public,
    Private,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    #[serde(default)]
    name: Vec<String>,
}

const REQUIRED: &str = "ImageId=ami-12345678&MinCount=1";

fn try_read<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    read(&Parameters::parse(query, b"").unwrap())
}

fn run(more: &str) -> Run {
    try_read(&format!("{REQUIRED}&{more}")).unwrap()
}

fn check_refused(query: &str, code: Code, message: &str) {
    let error = try_read::<Run>(query).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message), "{query}");
}

fn check_names(query: &str, expected: &[&str]) {
    assert_eq!(try_read::<Names>(query).unwrap().name, expected, "{query}");
}

#[test]
fn nested_names_become_nested_structures() {
    let read = run("IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=-1\
         &IpPermissions.1.IpRanges.2.CidrIp=b&IpPermissions.1.IpRanges.1.CidrIp=a\
         &Placement.AvailabilityZone=one");
    let ranges = ["a", "b"].map(|cidr| Range { cidr_ip: cidr.into() });
    assert_eq!(
        read.ip_permissions,
        [Permission { ip_protocol: "tcp".into(), from_port: Some(-1), ip_ranges: ranges.into() }]
    );
    assert_eq!(read.placement, Some(Placement { availability_zone: Some("one".parse().unwrap()) }));
}

#[test]
fn what_is_not_given_is_none_or_empty() {
    let read = run("");
    assert_eq!((read.placement, read.ebs_optimized, read.addressing_type), (None, None, None));
    assert!(read.instance_ids.is_empty() && read.ip_permissions.is_empty());
}

#[test]
fn list_elements_come_in_numeric_order_from_0_or_1_and_with_gaps() {
    check_names("Name.10=c&Name.2=b&Name.0=a", &["a", "b", "c"]);
    check_names("Name.2=b&Name=a&Name.100000000000=c", &["a", "b", "c"]);
}

#[test]
fn a_list_may_be_written_without_numbers_or_with_member() {
    check_names("Name=a", &["a"]);
    check_names("Name=b&Name=a", &["b", "a"]);
    check_names("Name.member.2=b&Name.member.1=a", &["a", "b"]);
    check_names("Name.member=a", &["a"]);
    let read = run("IpPermissions.IpProtocol=udp");
    assert_eq!(read.ip_permissions[0].ip_protocol, "udp");
}

#[test]
fn a_list_has_no_place_for_names() {
    for (query, name) in [
        ("Name.first=a", "Name.first"),
        ("Name.member.first=a", "Name.member.first"),
        ("Name.1.x=a", "Name.1.x"),
        ("Name.+1=a", "Name.%2B1"),
    ] {
        let error = try_read::<Names>(&query.replace('+', "%2B")).unwrap_err();
        let name = name.replace("%2B", "+");
        assert_eq!(error, ApiError::unknown_parameter(&name));
    }
}

#[test]
fn truth_is_written_in_any_case() {
    assert_eq!(run("EbsOptimized=true").ebs_optimized, Some(true));
    assert_eq!(run("EbsOptimized=False").ebs_optimized, Some(false));
}

#[test]
fn enumerations_are_read_by_name() {
    assert_eq!(run("AddressingType=private").addressing_type, Some(Addressing::Private));
    assert_eq!(run("AddressType=public").addressing_type, Some(Addressing::Public));
}

#[test]
fn a_missing_parameter_is_named_in_full() {
    check_refused(
        "MinCount=1",
        Code::MissingParameter,
        "The request must contain the parameter ImageId",
    );
    check_refused(
        &format!("{REQUIRED}&IpPermissions.3.FromPort=1"),
        Code::MissingParameter,
        "The request must contain the parameter IpPermissions.3.IpProtocol",
    );
}

#[test]
fn a_mistyped_value_is_named_in_full_and_repeated() {
    check_refused(
        "ImageId=ami-12345678&MinCount=many",
        Code::InvalidParameterValue,
        "Invalid value 'many' for MinCount. \
         It must be a non-negative integer within the range allowed.",
    );
    check_refused(
        &format!("{REQUIRED}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=3000000000"),
        Code::InvalidParameterValue,
        "Invalid value '3000000000' for IpPermissions.1.FromPort. \
         It must be an integer within the range allowed.",
    );
    check_refused(
        &format!("{REQUIRED}&EbsOptimized=1"),
        Code::InvalidParameterValue,
        "Invalid value '1' for EbsOptimized. It must be true or false.",
    );
    check_refused(
        &format!("{REQUIRED}&AddressingType=Public"),
        Code::InvalidParameterValue,
        "Invalid value 'Public' for AddressingType. Valid values are: public, private.",
    );
    check_refused(
        &format!("{REQUIRED}&Placement.AvailabilityZone=No+Zone"),
        Code::InvalidParameterValue,
        "Invalid value 'No Zone' for Placement.AvailabilityZone. \
         `No Zone` is not a valid availability zone id.",
    );
}

#[test]
fn a_malformed_id_has_ec2_s_own_code() {
    check_refused("ImageId=ami-1&MinCount=1", Code::InvalidAmiIdMalformed, "Invalid id: \"ami-1\"");
    check_refused(
        &format!("{REQUIRED}&InstanceId.1=i-12345678&InstanceId.2=vol-12345678"),
        Code::InvalidInstanceIdMalformed,
        "Invalid id: \"vol-12345678\"",
    );
    check_refused(
        &format!("{REQUIRED}&InstanceId="),
        Code::InvalidInstanceIdMalformed,
        "Invalid id: \"\"",
    );
}

#[test]
fn a_parameter_nobody_reads_is_refused_by_its_full_name() {
    for name in [
        "Colour",
        "Colour.1.Shade",
        "MinCount.1",
        "IpPermissions.1.Colour",
        "IpPermissions.1.IpRanges.1.Colour",
        "Placement.1",
        "",
        ".",
    ] {
        check_refused(
            &format!(
                "{REQUIRED}&Placement.AvailabilityZone=a&IpPermissions.1.IpProtocol=tcp\
                &IpPermissions.1.IpRanges.1.CidrIp=x&{name}=1"
            ),
            Code::UnknownParameter,
            &format!("The parameter {} is not recognized", name.trim_matches('.')),
        );
    }
}

#[test]
fn what_the_server_reads_itself_is_not_unknown() {
    run("Action=RunInstances&Version=2016-11-15&AWSAccessKeyId=a&Signature=s&SignatureVersion=2\
         &SignatureMethod=HmacSHA256&Timestamp=t&Expires=e&SecurityToken=t&DryRun=true\
         &Operation=x&X-Amz-Algorithm=x&x-amz-date=y");
}

#[test]
fn a_plain_parameter_given_twice_is_refused() {
    check_refused(
        &format!("{REQUIRED}&MinCount=2"),
        Code::InvalidParameterCombination,
        "The parameter MinCount may be given only once",
    );
    check_refused(
        &format!("{REQUIRED}&AddressingType=public&AddressType=public"),
        Code::InvalidParameterCombination,
        "The parameter AddressingType may be given only once",
    );
}

#[test]
fn a_structure_given_as_a_value_is_refused() {
    check_refused(
        &format!("{REQUIRED}&Placement=here"),
        Code::InvalidParameterValue,
        "Invalid value 'here' for Placement. It is a structure, not a value.",
    );
}

#[test]
fn the_largest_request_costs_in_proportion_to_its_size() {
    fn cost(elements: usize) -> f64 {
        let query: String = (0..elements)
            .rev()
            .map(|n| format!("&IpPermissions.1.IpRanges.{n}.CidrIp=10.0.0.0/8"))
            .collect();
        let query = format!("{REQUIRED}&IpPermissions.1.IpProtocol=tcp{query}");
        let parameters = Parameters::parse(&query, b"").unwrap();
        effort::of(|| {
            let run: Run = read(&parameters).unwrap();
            assert_eq!(run.ip_permissions[0].ip_ranges.len(), elements);
        })
    }
    effort::assert_proportional(cost(600), cost(9_600));
}

proptest! {
    #[test]
    fn no_parameters_cause_a_panic(
        pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..8)
    ) {
        let _ = read::<Run>(&pairs.into_iter().collect());
    }

    #[test]
    fn no_arrangement_of_known_names_causes_a_panic(
        pairs in prop::collection::vec((
            "(IpPermissions|InstanceId|Placement|member|IpRanges|CidrIp|[0-9]{1,20}|\\.){1,6}",
            "[a-z0-9]{0,3}"), 0..12)
    ) {
        let pairs = pairs.into_iter().chain([
            ("ImageId".to_owned(), "ami-12345678".to_owned()),
            ("MinCount".to_owned(), "1".to_owned()),
        ]);
        let _ = read::<Run>(&pairs.collect());
    }
}
