"""The WSDLs of the endpoint: clients that nobody here wrote are made from them, and answers fit."""

import urllib.request

import pytest
import zeep
from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"
EC2 = "http://ec2.amazonaws.com/doc/"
# How many operations each had, of those there are.
VERSIONS = {"2008-02-01": 24, "2008-12-01": 25, "2016-11-15": 70}


def description(cloud, version, path="/"):
    with urllib.request.urlopen(f"{cloud.endpoint}{path}?wsdl={version}", timeout=30) as answer:
        return answer.read()


def schema(cloud, version):
    types = etree.fromstring(description(cloud, version)).find(f".//{XS}schema")
    return etree.XMLSchema(etree.fromstring(etree.tostring(types)))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_is_made_of_each_wsdl_and_finds_what_it_knows_by_name(cloud, version):
    path = "/services/Eucalyptus"
    client = zeep.Client(f"{cloud.endpoint}{path}?wsdl={version}")
    [service] = client.wsdl.services.values()
    assert service.name == "AmazonEC2"
    assert list(service.ports) == ["AmazonEC2Port", "AmazonEC2Port12"]
    for port in service.ports.values():
        assert port.binding_options["address"] == cloud.endpoint + path
        assert port.binding.port_type.name == etree.QName(f"{EC2}{version}/", "AmazonEC2PortType")
        assert len(port.binding.all()) == VERSIONS[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_client_makes_of_the_wsdl_fits_its_schema(cloud, version):
    client = zeep.Client(f"{cloud.endpoint}/?wsdl={version}")
    group = "groupName" if version > "2009" else "groupId"
    message = client.create_message(
        client.service, "RunInstances", imageId="ami-1", minCount=1, maxCount=2,
        groupSet={"item": [{group: "default"}]}, userData={"data": "eA=="},
        placement={"availabilityZone": "z"}, instanceType="m1.small",
    )
    body = message.find(f".//{{{EC2}{version}/}}RunInstances")
    schema(cloud, version).assertValid(body)


def test_today_is_what_is_described_to_who_asks_for_no_version_or_for_one_nobody_wrote_down(cloud):
    today = description(cloud, "2016-11-15")
    with urllib.request.urlopen(f"{cloud.endpoint}/?wsdl", timeout=30) as answer:
        assert answer.read() == today
    assert description(cloud, "2013-02-01") == today.replace(b"2016-11-15", b"2013-02-01")


def test_every_answer_of_a_days_work_fits_the_schema(cloud, tenant):
    """By Query: SOAP has the same answers."""
    today = schema(cloud, "2016-11-15")
    seen, unfit = set(), []

    def look(operation_model, response_dict, **_):
        answer = etree.fromstring(response_dict["body"])
        seen.add(operation_model.name)
        if not today.validate(answer):
            unfit.append(f"{operation_model.name}: {today.error_log}")

    owner = tenant()
    ec2 = owner.ec2
    ec2.meta.events.register("before-parse.ec2", look)
    owner.authorize({
        "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        "UserIdGroupPairs": [{"GroupId": owner.group}],
    })
    ids = owner.launch(2, TagSpecifications=[
        {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "<b> & c"}]}])
    owner.wait("running", *ids)
    ec2.create_tags(Resources=ids, Tags=[{"Key": "k", "Value": ""}])
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=ids[0])
    for describe in [
        ec2.describe_account_attributes, ec2.describe_addresses, ec2.describe_availability_zones,
        ec2.describe_images, ec2.describe_instance_status, ec2.describe_instance_types,
        ec2.describe_instances, ec2.describe_key_pairs, ec2.describe_network_interfaces,
        ec2.describe_regions, ec2.describe_security_group_rules, ec2.describe_security_groups,
        ec2.describe_subnets, ec2.describe_tags, ec2.describe_vpcs,
    ]:
        describe()
    for attribute in ["instanceType", "userData", "groupSet", "blockDeviceMapping", "ebsOptimized"]:
        ec2.describe_instance_attribute(InstanceId=ids[0], Attribute=attribute)
    ec2.describe_image_attribute(ImageId=owner.image, Attribute="launchPermission")
    ec2.get_console_output(InstanceId=ids[0])
    ec2.stop_instances(InstanceIds=[ids[1]])
    ec2.disassociate_address(
        AssociationId=ec2.describe_addresses()["Addresses"][0]["AssociationId"])
    ec2.release_address(AllocationId=address)
    owner.terminate(*ids)
    assert not unfit, "\n".join(unfit)
    assert {"RunInstances", "DescribeInstances", "TerminateInstances", "StopInstances"} <= seen
