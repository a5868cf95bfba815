"""What is refused, with the code and the words that EC2's clients expect, and nothing changed."""

import hashlib
import re
from dataclasses import dataclass

import pytest

from cloud import HUGE
from instances import INSTANCE_TYPE
from tenant import Tenant

UNKNOWN = "0123456789abcdef0"


@dataclass
class World:
    """Something of everything, so that a bad request could do harm."""

    owner: Tenant
    instance: str
    rule: str
    # A security group that nothing uses.
    spare: str

    def fill(self, text):
        """Puts the ids of this world where `text` names them."""
        return text.format(
            instance=self.instance, group=self.owner.group, key=self.owner.name,
            image=self.owner.image, rule=self.rule,
        )


@pytest.fixture(scope="module")
def world(cloud, tmp_path_factory):
    owner = Tenant(cloud, cloud.root, tmp_path_factory.mktemp("errors"), "errors")
    authorized = owner.ec2.authorize_security_group_ingress(
        GroupId=owner.group, IpPermissions=[{
            "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        }],
    )
    spare = owner.ec2.create_security_group(GroupName="spare", Description="of no use")["GroupId"]
    [instance] = owner.launch()
    owner.wait("running", instance)
    rule = authorized["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    yield World(owner, instance, rule, spare)
    owner.ec2.delete_security_group(GroupId=spare)
    owner.leave()


def everything(owner):
    """All that the account can see of itself."""
    ec2 = owner.ec2
    seen = [
        ec2.describe_instances()["Reservations"], ec2.describe_key_pairs()["KeyPairs"],
        ec2.describe_security_groups()["SecurityGroups"], ec2.describe_tags()["Tags"],
        ec2.describe_security_group_rules()["SecurityGroupRules"],
        ec2.describe_images()["Images"], ec2.describe_network_interfaces()["NetworkInterfaces"],
    ]
    return repr(seen)


# --- what a request may not say

RUN = f"RunInstances ImageId={{image}} MinCount=1 MaxCount=1 InstanceType={INSTANCE_TYPE}"
AUTHORIZE = "AuthorizeSecurityGroupIngress GroupId={group}"
RULE = "IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=22 IpPermissions.1.ToPort=22"

# A request; the status, code and text of the refusal. A text ending in `…` goes on as it likes.
REFUSALS = {
    "an instance id that is none": (
        "DescribeInstances InstanceId.1=i-xyz",
        400, "InvalidInstanceID.Malformed", 'Invalid id: "i-xyz"…'),
    "the id of another kind": (
        "TerminateInstances InstanceId.1={group}",
        400, "InvalidInstanceID.Malformed", 'Invalid id: "{group}"…'),
    "an image id that is none": (
        "RunInstances ImageId=ami-xyz MinCount=1 MaxCount=1",
        400, "InvalidAMIID.Malformed", 'Invalid id: "ami-xyz"…'),
    "a group id that is none": (
        "DeleteSecurityGroup GroupId=sg-xyz", 400, "InvalidGroupId.Malformed", 'Invalid id: "sg-xyz"…'),
    "a subnet id that is none": (
        "DescribeSubnets SubnetId.1=subnet-xyz",
        400, "InvalidSubnetID.Malformed", 'Invalid id: "subnet-xyz"…'),
    "a vpc id that is none": (
        "DescribeVpcs VpcId.1=vpc-xyz", 400, "InvalidVpcID.Malformed", 'Invalid id: "vpc-xyz"…'),

    "an unknown instance": (
        f"DescribeInstances InstanceId.1=i-{UNKNOWN}",
        400, "InvalidInstanceID.NotFound", f"The instance ID 'i-{UNKNOWN}' does not exist"),
    "two unknown instances": (
        f"StopInstances InstanceId.1=i-{UNKNOWN} InstanceId.2=i-{UNKNOWN[:-1]}1",
        400, "InvalidInstanceID.NotFound",
        f"The instance IDs 'i-{UNKNOWN}, i-{UNKNOWN[:-1]}1' do not exist"),
    "one unknown instance among known ones": (
        f"TerminateInstances InstanceId.1={{instance}} InstanceId.2=i-{UNKNOWN}",
        400, "InvalidInstanceID.NotFound", f"The instance ID 'i-{UNKNOWN}' does not exist"),
    "the console of an unknown instance": (
        f"GetConsoleOutput InstanceId=i-{UNKNOWN}",
        400, "InvalidInstanceID.NotFound", f"The instance ID 'i-{UNKNOWN}' does not exist"),
    "an unknown image to run": (
        f"RunInstances ImageId=ami-{UNKNOWN} MinCount=1 MaxCount=1",
        400, "InvalidAMIID.NotFound", f"The image id '[ami-{UNKNOWN}]' does not exist"),
    "an unknown image to describe": (
        f"DescribeImages ImageId.1=ami-{UNKNOWN}",
        400, "InvalidAMIID.NotFound", f"The image id '[ami-{UNKNOWN}]' does not exist"),
    "an unknown key pair": (
        RUN + " KeyName=nobody", 400, "InvalidKeyPair.NotFound", "The key pair 'nobody' does not exist"),
    "an unknown group": (
        RUN + f" SecurityGroupId.1=sg-{UNKNOWN}",
        400, "InvalidGroup.NotFound", f"The security group 'sg-{UNKNOWN}' does not exist…"),
    "a group of an unknown name": (
        RUN + " SecurityGroup.1=nobody",
        400, "InvalidGroup.NotFound", "The security group 'nobody' does not exist in default VPC…"),
    "an unknown subnet": (
        RUN + f" SubnetId=subnet-{UNKNOWN}",
        400, "InvalidSubnetID.NotFound", f"The subnet ID 'subnet-{UNKNOWN}' does not exist"),
    "an unknown zone": (
        RUN + " Placement.AvailabilityZone=us-east-1q",
        400, "InvalidParameterValue", "Invalid availability zone: [us-east-1q]…"),
    "an unknown type": (
        "RunInstances ImageId={image} MinCount=1 MaxCount=1 InstanceType=t9.teapot",
        400, "InvalidParameterValue", "Invalid value 't9.teapot' for InstanceType.…"),
    "an unknown rule": (
        "DescribeSecurityGroupRules SecurityGroupRuleId.1=sgr-" + UNKNOWN,
        400, "InvalidSecurityGroupRuleId.NotFound",
        f"The security group rule ID 'sgr-{UNKNOWN}' does not exist"),
    "a tag for an unknown instance": (
        f"CreateTags ResourceId.1=i-{UNKNOWN} Tag.1.Key=a Tag.1.Value=b",
        400, "InvalidInstanceID.NotFound", f"The instance ID 'i-{UNKNOWN}' does not exist"),

    "no image": (
        "RunInstances MinCount=1 MaxCount=1",
        400, "MissingParameter", "The request must contain the parameter ImageId"),
    "no count": (
        "RunInstances ImageId={image} MaxCount=1",
        400, "MissingParameter", "The request must contain the parameter MinCount"),
    "no instance to terminate": (
        "TerminateInstances", 400, "MissingParameter", "The request must contain the parameter InstanceId"),
    "no name for a key": (
        "CreateKeyPair", 400, "MissingParameter", "The request must contain the parameter KeyName"),
    "no description of a group": (
        "CreateSecurityGroup GroupName=group",
        400, "MissingParameter", "The request must contain the parameter GroupDescription"),
    "no instance whose console is asked for": (
        "GetConsoleOutput", 400, "MissingParameter", "The request must contain the parameter InstanceId"),

    "a parameter that EC2 does not have": (
        "DescribeInstances Colour=blue",
        400, "UnknownParameter", "The parameter Colour is not recognized"),
    "a count that is no number": (
        "RunInstances ImageId={image} MinCount=one MaxCount=1",
        400, "InvalidParameterValue", "Invalid value 'one' for MinCount.…"),
    "a count of none": (
        "RunInstances ImageId={image} MinCount=0 MaxCount=0",
        400, "InvalidParameterValue", "…"),
    "a least count over the most": (
        "RunInstances ImageId={image} MinCount=2 MaxCount=1",
        400, "InvalidParameterValue", "…"),
    "user data that are not base64": (
        RUN + " UserData=#!/bin/sh",
        400, "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data…"),
    "more than there is room for": (
        f"RunInstances ImageId={{image}} MinCount=1 MaxCount=1 InstanceType={HUGE}",
        500, "InsufficientInstanceCapacity",
        f"We currently do not have sufficient {HUGE} capacity in the Availability Zone you requested…"),
    "a filter that EC2 does not have": (
        "DescribeInstances Filter.1.Name=colour Filter.1.Value.1=blue",
        400, "InvalidParameterValue", "The filter 'colour' is invalid"),
    "too short a page": (
        "DescribeInstances MaxResults=1",
        400, "InvalidParameterValue",
        "Value ( 1 ) for parameter maxResults is invalid. Expecting a value greater than 5…"),
    "too long a page": (
        "DescribeInstances MaxResults=1001",
        400, "InvalidParameterValue", "Value ( 1001 ) for parameter maxResults is invalid.…"),
    "a page after nothing": (
        "DescribeInstances NextToken=made-up", 400, "InvalidNextToken", "The token is not valid.…"),
    "a dry run that is neither": (
        "DescribeInstances DryRun=maybe", 400, "InvalidParameterValue", "Invalid value 'maybe' for DryRun.…"),

    "a key pair's name again": (
        "CreateKeyPair KeyName={key}",
        400, "InvalidKeyPair.Duplicate", "The keypair '{key}' already exists…"),
    "a public key that is none": (
        "ImportKeyPair KeyName=new PublicKeyMaterial=bm8=", 400, "InvalidKey.Format", "…"),
    "a group's name again": (
        "CreateSecurityGroup GroupName={key} GroupDescription=again",
        400, "InvalidGroup.Duplicate", "The security group '{key}' already exists for VPC 'vpc-…"),
    "a group in use to delete": (
        "DeleteSecurityGroup GroupId={group}",
        400, "DependencyViolation", "resource {group} has a dependent object"),
    "the default group to delete": (
        "DeleteSecurityGroup GroupName=default", 400, "CannotDelete", "the specified group: …"),
    "a rule that is there": (
        f"{AUTHORIZE} {RULE} IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
        400, "InvalidPermission.Duplicate",
        'the specified rule "peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW" already exists'),
    "a rule that is not there": (
        f"RevokeSecurityGroupIngress GroupId={{group}} {RULE} IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/9",
        400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.…"),
    "a rule for an address that is none": (
        f"{AUTHORIZE} {RULE} IpPermissions.1.IpRanges.1.CidrIp=10.0.0.256/8",
        400, "InvalidParameterValue", "CIDR block 10.0.0.256/8 is malformed"),
    "a rule for ports in the wrong order": (
        f"{AUTHORIZE} IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=23 "
        "IpPermissions.1.ToPort=22 IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/9",
        400, "InvalidPermission.Malformed", "Invalid TCP/UDP port range (23:22)"),
    "a tag of Amazon's own": (
        "CreateTags ResourceId.1={instance} Tag.1.Key=aws:mine Tag.1.Value=b",
        400, "InvalidParameterValue", "…"),

    "an action that EC2 does not have": (
        "MakeCoffee", 400, "InvalidAction", "The action MakeCoffee is not valid for this web service."),
    "an action in small letters": (
        "runinstances", 400, "InvalidAction", "The action runinstances is not valid for this web service."),
    "no action": ("Action=", 400, "MissingAction", "The request must contain the parameter Action"),
}


def parsed(words):
    first, *rest = words.split(" ")
    pairs = dict(word.split("=", 1) for word in rest)
    return {"Action": first.removeprefix("Action="), **pairs}


def check_refused(answer, status, code, text):
    given_status, given_code, given_text = answer.refusal
    assert (given_status, given_code) == (status, code), answer
    if text.endswith("…"):
        assert given_text.startswith(text[:-1]), given_text
    else:
        assert given_text == text
    assert answer.headers["x-amzn-requestid"] == answer.find("RequestID")


@pytest.mark.parametrize("title", REFUSALS)
def test_refused_with_the_code_and_the_words_of_ec2(cloud, world, title):
    words, status, code, text = REFUSALS[title]
    before = everything(world.owner)
    answer = cloud.call(parsed(world.fill(words)))
    check_refused(answer, status, code, world.fill(text))
    assert everything(world.owner) == before


def test_boto3_raises_what_was_refused(world):
    ec2 = world.owner.ec2
    with pytest.raises(ec2.exceptions.ClientError) as refused:
        ec2.terminate_instances(InstanceIds=[f"i-{UNKNOWN}"])
    response = refused.value.response
    assert response["Error"]["Code"] == "InvalidInstanceID.NotFound"
    assert re.fullmatch("[0-9a-f-]{36}", response["ResponseMetadata"]["RequestId"])


# --- a dry run

ONE_RULE = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "1.2.3.4/32"}]}]
THE_RULE = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
ALL_OUT = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
NEW_TEXT = [{**THE_RULE[0], "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "new"}]}]
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFv8OgW8GJLJq8ZCVl1nTkVnhLDMlwNGqJ8A0lxIePqV a@b"


def dry_runs(world):
    """Every action of EC2 that there is, as it would succeed."""
    one, group, rule = [world.instance], world.owner.group, world.rule
    image, key = world.owner.image, world.owner.name
    return {
        "run_instances": {"ImageId": image, "MinCount": 1, "MaxCount": 1, "KeyName": key,
                          "InstanceType": INSTANCE_TYPE, "SecurityGroupIds": [group]},
        "terminate_instances": {"InstanceIds": one},
        "reboot_instances": {"InstanceIds": one},
        "stop_instances": {"InstanceIds": one},
        "start_instances": {"InstanceIds": one},
        "modify_instance_attribute": {"InstanceId": one[0], "DisableApiTermination": {"Value": True}},
        "modify_instance_metadata_options": {"InstanceId": one[0], "HttpTokens": "required"},
        "get_console_output": {"InstanceId": one[0]},
        "describe_instances": {}, "describe_instance_status": {},
        "describe_instance_attribute": {"InstanceId": one[0], "Attribute": "userData"},
        "describe_instance_types": {}, "describe_instance_type_offerings": {},
        "deregister_image": {"ImageId": image},
        "modify_image_attribute": {"ImageId": image, "Description": {"Value": "new"}},
        "describe_images": {},
        "describe_image_attribute": {"ImageId": image, "Attribute": "launchPermission"},
        "create_key_pair": {"KeyName": "dry"},
        "import_key_pair": {"KeyName": "dry", "PublicKeyMaterial": PUBLIC_KEY.encode()},
        "delete_key_pair": {"KeyName": key},
        "describe_key_pairs": {},
        "create_security_group": {"GroupName": "dry", "Description": "run"},
        "delete_security_group": {"GroupId": world.spare},
        "describe_security_groups": {}, "describe_security_group_rules": {},
        "authorize_security_group_ingress": {"GroupId": group, "IpPermissions": ONE_RULE},
        "authorize_security_group_egress": {"GroupId": group, "IpPermissions": ONE_RULE},
        "revoke_security_group_ingress": {"GroupId": group, "IpPermissions": THE_RULE},
        "revoke_security_group_egress": {"GroupId": group, "IpPermissions": ALL_OUT},
        "modify_security_group_rules": {"GroupId": group, "SecurityGroupRules": [{
            "SecurityGroupRuleId": rule, "SecurityGroupRule": {
                "IpProtocol": "tcp", "FromPort": 23, "ToPort": 23, "CidrIpv4": "10.0.0.0/8"}}]},
        "update_security_group_rule_descriptions_ingress": {"GroupId": group, "IpPermissions": NEW_TEXT},
        "update_security_group_rule_descriptions_egress": {
            "GroupId": group, "IpPermissions": [{**ALL_OUT[0], "IpRanges": [
                {"CidrIp": "0.0.0.0/0", "Description": "new"}]}]},
        "create_tags": {"Resources": one, "Tags": [{"Key": "dry", "Value": "run"}]},
        "delete_tags": {"Resources": one, "Tags": [{"Key": "dry"}]},
        "describe_tags": {},
        "describe_regions": {}, "describe_availability_zones": {}, "describe_account_attributes": {},
        "describe_vpcs": {}, "describe_vpc_attribute": {
            "VpcId": world.owner.describe(one[0])["VpcId"], "Attribute": "enableDnsSupport"},
        "describe_subnets": {}, "describe_network_interfaces": {},
        "describe_addresses": {},
    }


WOULD = (412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def test_a_dry_run_of_any_action_says_that_it_would_succeed_and_does_nothing(world):
    before = everything(world.owner)
    outcomes = {
        action: dry_run(world.owner.ec2, action, parameters)
        for action, parameters in dry_runs(world).items()
    }
    assert {action: said for action, said in outcomes.items() if said != WOULD} == {}
    assert everything(world.owner) == before


def test_a_dry_run_of_registering_an_image_registers_none(cloud, world, tmp_path):
    ec2, disk = world.owner.ec2, tmp_path / "disk"
    # A boot sector that names a partition of Linux is all that a disk is asked for.
    sector = bytes(450) + b"\x83" + bytes(59) + b"\x55\xaa"
    disk.write_bytes(sector + bytes(1024 * 1024 - len(sector)))
    cloud.mallee(
        "image", "add", str(disk), "--name", "there already", "--private", "--state", str(cloud.state)
    )
    [image] = ec2.describe_images(Filters=[{"Name": "name", "Values": ["there already"]}])["Images"]
    before = everything(world.owner)
    location = f"blob:{hashlib.sha256(disk.read_bytes()).hexdigest()}?size=1"
    assert dry_run(ec2, "register_image", {"Name": "dry", "ImageLocation": location}) == WOULD
    assert everything(world.owner) == before
    ec2.deregister_image(ImageId=image["ImageId"])


def dry_run(ec2, action, parameters):
    try:
        return getattr(ec2, action)(**parameters, DryRun=True)
    except ec2.exceptions.ClientError as error:
        said = error.response["Error"]
        return error.response["ResponseMetadata"]["HTTPStatusCode"], said["Code"], said["Message"]


def test_a_dry_run_of_our_own_actions_does_nothing_either(cloud, world):
    wanted = {"Action": "CreateAccount", "AccountName": "dry"}
    assert cloud.call({**wanted, "DryRun": "true"}).refusal == WOULD
    accounts = cloud.call({"Action": "DescribeAccounts"}).text
    assert "<accountName>dry<" not in accounts and "<accountName>root<" in accounts


def test_a_dry_run_of_what_would_fail_says_how_it_would(world):
    said = dry_run(world.owner.ec2, "terminate_instances", {"InstanceIds": [f"i-{UNKNOWN}"]})
    assert said[:2] == (400, "InvalidInstanceID.NotFound")


# --- somebody else

def test_what_is_another_account_s_is_not_there(cloud, world, other_account):
    before = everything(world.owner)
    missing = {
        "DescribeInstances InstanceId.1={instance}": "InvalidInstanceID.NotFound",
        "TerminateInstances InstanceId.1={instance}": "InvalidInstanceID.NotFound",
        "StopInstances InstanceId.1={instance}": "InvalidInstanceID.NotFound",
        "RebootInstances InstanceId.1={instance}": "InvalidInstanceID.NotFound",
        "GetConsoleOutput InstanceId={instance}": "InvalidInstanceID.NotFound",
        "CreateTags ResourceId.1={instance} Tag.1.Key=a Tag.1.Value=b": "InvalidInstanceID.NotFound",
        "DescribeSecurityGroups GroupId.1={group}": "InvalidGroup.NotFound",
        "DeleteSecurityGroup GroupId={group}": "InvalidGroup.NotFound",
        RUN + " KeyName={key}": "InvalidKeyPair.NotFound",
        RUN + " SecurityGroupId.1={group}": "InvalidGroup.NotFound",
        "DescribeKeyPairs KeyName.1={key}": "InvalidKeyPair.NotFound",
    }
    answers = {
        words: cloud.call(parsed(world.fill(words)), other_account).refusal[:2] for words in missing
    }
    assert answers == {words: (400, code) for words, code in missing.items()}
    assert everything(world.owner) == before


def test_what_only_administrators_may_do_is_refused_to_others(cloud, world, other_account):
    before = everything(world.owner)
    # Of images one is told that one may not, of accounts not even what one asked for.
    for words in [
        "CreateAccount AccountName=mine",
        "RegisterImage Name=mine ImageLocation=blob:" + "0" * 64,
        "DeregisterImage ImageId={image}",
        "ModifyImageAttribute ImageId={image} Description.Value=mine",
    ]:
        answer = cloud.call(parsed(world.fill(words)), other_account)
        assert answer.status in (400, 403), (words, answer)
        assert answer.find("Code") in ("UnauthorizedOperation", "AuthFailure"), (words, answer)
    for action in [{"Action": "CreateAccount", "AccountName": "mine"}, {"Action": "DescribeCapacity"}]:
        answer = cloud.call(action, other_account)
        check_refused(
            answer, 403, "UnauthorizedOperation",
            "You are not authorized to perform this operation.…",
        )
    assert everything(world.owner) == before


def test_the_administrator_s_view_is_for_administrators(cloud, world, other_account):
    stranger = cloud.client(other_account)
    assert stranger.describe_instances()["Reservations"] == []
    zones = "DescribeAvailabilityZones"
    ordinary = cloud.call({"Action": zones}, other_account)
    curious = cloud.call({"Action": zones, "ZoneName.1": "verbose"}, other_account)
    assert ordinary.status == 200
    # Either it means nothing to a stranger, or it is the name of no zone.
    if curious.status == 200:
        assert without_id(curious.text) == without_id(ordinary.text)
    else:
        assert curious.status == 400


def without_id(document):
    return re.sub("<requestId>.*?</requestId>", "", document)
