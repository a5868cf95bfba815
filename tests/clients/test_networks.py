"""Networks of users' own, made and taken down in the order Terraform does, by stock clients."""

import pytest

from eventually import eventually
from instances import describe, refused, run, terminate, wait
from speakers import AwsCli
from tenant import TCP_22

# Which zone a subnet is in when nobody says so is the region's first.
RANGE = "10.20.0.0/16"


def tagged(kind, name):
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def interface_of(ec2, id):
    [interface] = ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    return interface


@pytest.mark.simulated
def test_a_network_is_made_as_terraform_makes_it_and_goes_in_the_reverse_order_only(
    ec2, image, name
):
    vpc = ec2.create_vpc(CidrBlock=RANGE, TagSpecifications=tagged("vpc", name))["Vpc"]
    assert (vpc["State"], vpc["CidrBlock"], vpc["IsDefault"]) == ("available", RANGE, False)
    assert vpc["Tags"] == [{"Key": "Name", "Value": name}]
    vpc = vpc["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
    for attribute, request, shown, value in [
        ("enableDnsHostnames", "EnableDnsHostnames", "EnableDnsHostnames", True),
        ("enableDnsSupport", "EnableDnsSupport", "EnableDnsSupport", True),
    ]:
        ec2.modify_vpc_attribute(VpcId=vpc, **{request: {"Value": value}})
        known = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
        assert known[shown] == {"Value": value}
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    [default] = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    assert default["GroupName"] == "default"

    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.20.1.0/24", TagSpecifications=tagged("subnet", name)
    )["Subnet"]
    assert (subnet["AvailableIpAddressCount"], subnet["MapPublicIpOnLaunch"]) == (251, False)
    subnet = subnet["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet])
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    [shown] = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert shown["MapPublicIpOnLaunch"]
    group = ec2.create_security_group(GroupName=name, Description="of a test", VpcId=vpc)
    group = group["GroupId"]
    interface = ec2.create_network_interface(
        SubnetId=subnet, Description="the one", Groups=[group], ClientToken=name,
        PrivateIpAddresses=[
            {"PrivateIpAddress": "10.20.1.10", "Primary": True},
            {"PrivateIpAddress": "10.20.1.11", "Primary": False},
        ],
        TagSpecifications=tagged("network-interface", name),
    )["NetworkInterface"]
    assert interface["Status"] == "available" and "Attachment" not in interface
    addresses = [(a["PrivateIpAddress"], a["Primary"]) for a in interface["PrivateIpAddresses"]]
    assert addresses == [("10.20.1.10", True), ("10.20.1.11", False)]
    interface = interface["NetworkInterfaceId"]

    [instance] = run(
        ec2, image, NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface}]
    )
    id = instance["InstanceId"]
    assert (instance["VpcId"], instance["SubnetId"]) == (vpc, subnet)
    assert instance["PrivateIpAddress"] == "10.20.1.10"
    assert instance["SecurityGroups"] == [{"GroupId": group, "GroupName": name}]
    wait(ec2, "running", id)
    shown = interface_of(ec2, interface)
    assert (shown["Status"], shown["Attachment"]["InstanceId"]) == ("in-use", id)
    assert shown["Attachment"]["DeleteOnTermination"] is False

    # Nothing goes before what is in it.
    violation = "DependencyViolation"
    assert "subnet" in refused(violation, ec2.delete_subnet, SubnetId=subnet)
    refused(violation, ec2.delete_vpc, VpcId=vpc)
    refused(violation, ec2.delete_security_group, GroupId=group)
    in_use = "InvalidNetworkInterface.InUse"
    refused(in_use, ec2.delete_network_interface, NetworkInterfaceId=interface)
    terminate(ec2, id)
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[interface])
    refused(violation, ec2.delete_security_group, GroupId=group)
    refused(violation, ec2.delete_subnet, SubnetId=subnet)
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    not_found = "InvalidNetworkInterfaceID.NotFound"
    refused(not_found, ec2.describe_network_interfaces, NetworkInterfaceIds=[interface])
    refused(violation, ec2.delete_vpc, VpcId=vpc)
    ec2.delete_subnet(SubnetId=subnet)
    refused("InvalidSubnetID.NotFound", ec2.describe_subnets, SubnetIds=[subnet])
    refused(violation, ec2.delete_vpc, VpcId=vpc)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)
    refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc])
    assert not ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]


@pytest.mark.simulated
def test_an_interface_is_attached_to_a_stopped_instance_and_detached_again(ec2, image, name):
    vpc = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/28")["Subnet"]["SubnetId"]
    # An address of its own choice might be the one that the instance is to have.
    wanted = {"SubnetId": subnet, "PrivateIpAddress": "10.20.1.8"}
    interface = ec2.create_network_interface(**wanted)["NetworkInterface"]["NetworkInterfaceId"]
    [instance] = run(ec2, image, SubnetId=subnet, PrivateIpAddress="10.20.1.9")
    id = instance["InstanceId"]
    wait(ec2, "running", id)

    def attach(index):
        return ec2.attach_network_interface(
            NetworkInterfaceId=interface, InstanceId=id, DeviceIndex=index
        )["AttachmentId"]

    assert "stop" in refused("UnsupportedOperation", lambda: attach(2))
    ec2.stop_instances(InstanceIds=[id])
    wait(ec2, "stopped", id)
    # Devices 0 and 1 are the public and the private interface of every instance.
    assert "device index '1'" in refused("InvalidParameterValue", lambda: attach(1))
    attachment = attach(2)
    ec2.start_instances(InstanceIds=[id])
    wait(ec2, "running", id)
    shown = describe(ec2, id)["NetworkInterfaces"]
    assert [i["Attachment"]["DeviceIndex"] for i in shown] == [0, 1, 2]
    assert shown[2]["NetworkInterfaceId"] == interface
    assert all(i["SubnetId"] == subnet and i["VpcId"] == vpc for i in shown)
    refused("UnsupportedOperation", ec2.detach_network_interface, AttachmentId=attachment)
    ec2.stop_instances(InstanceIds=[id])
    wait(ec2, "stopped", id)
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface,
        Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
    )
    assert interface_of(ec2, interface)["Attachment"]["DeleteOnTermination"]
    ec2.detach_network_interface(AttachmentId=attachment)
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[interface])
    attach(3)
    attachment = interface_of(ec2, interface)["Attachment"]["AttachmentId"]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface,
        Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
    )
    terminate(ec2, id)
    # It went with its instance, and so did the instance's own.
    in_subnet = [{"Name": "subnet-id", "Values": [subnet]}]
    assert not ec2.describe_network_interfaces(Filters=in_subnet)["NetworkInterfaces"]
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_attributes_and_addresses_of_an_interface(ec2):
    vpc = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/28")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    first, id = interface["PrivateIpAddress"], interface["NetworkInterfaceId"]

    def attribute(name):
        return ec2.describe_network_interface_attribute(NetworkInterfaceId=id, Attribute=name)

    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": "of use"})
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
    assert attribute("description")["Description"] == {"Value": "of use"}
    assert attribute("sourceDestCheck")["SourceDestCheck"] == {"Value": False}
    assert "Attachment" not in attribute("attachment")
    group = ec2.create_security_group(GroupName="web", Description="d", VpcId=vpc)["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Groups=[group])
    assert attribute("groupSet")["Groups"] == [{"GroupId": group, "GroupName": "web"}]

    assigned = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=id, SecondaryPrivateIpAddressCount=2
    )["AssignedPrivateIpAddresses"]
    assigned = [each["PrivateIpAddress"] for each in assigned]
    shown = [a["PrivateIpAddress"] for a in interface_of(ec2, id)["PrivateIpAddresses"]]
    assert shown == [first, *assigned]
    taken = {"NetworkInterfaceId": id, "PrivateIpAddresses": [first]}
    refused("InvalidIPAddress.InUse", ec2.assign_private_ip_addresses, **taken)
    refused("InvalidParameterValue", ec2.unassign_private_ip_addresses, **taken)
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=assigned[:1])
    many = {"NetworkInterfaceId": id, "SecondaryPrivateIpAddressCount": 15}
    refused("PrivateIpAddressLimitExceeded", ec2.assign_private_ip_addresses, **many)

    ec2.delete_network_interface(NetworkInterfaceId=id)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_ranges_that_no_network_can_have_are_refused(ec2):
    for range, code in [
        ("10.0.0.0/8", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("169.254.0.0/16", "InvalidVpc.Range"),
        ("ten", "InvalidParameterValue"),
    ]:
        refused(code, ec2.create_vpc, CidrBlock=range)
    refused("DryRunOperation", ec2.create_vpc, CidrBlock=RANGE, DryRun=True)
    vpc = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]
    for range, code in [
        ("10.21.0.0/24", "InvalidSubnet.Range"),
        ("10.20.2.0/29", "InvalidSubnet.Range"),
        ("10.20.1.128/25", "InvalidSubnet.Conflict"),
        ("10.20.0.0/16", "InvalidSubnet.Conflict"),
    ]:
        refused(code, ec2.create_subnet, VpcId=vpc, CidrBlock=range)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    # Those that every account has stay.
    [default] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    refused("OperationNotPermitted", ec2.delete_vpc, VpcId=default["VpcId"])


def test_networks_of_different_accounts_may_have_the_same_ranges(cloud, ec2, other_account):
    mine = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    other = cloud.client(other_account)
    theirs = other.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    not_found = "InvalidVpcID.NotFound"
    refused(not_found, other.describe_vpcs, VpcIds=[mine])
    refused(not_found, other.delete_vpc, VpcId=mine)
    refused(not_found, other.create_subnet, VpcId=mine, CidrBlock="10.20.1.0/24")
    other.delete_vpc(VpcId=theirs)
    ec2.delete_vpc(VpcId=mine)


def test_the_aws_cli_makes_networks_too(cloud, tmp_path):
    aws = AwsCli(cloud, tmp_path).aws
    vpc = aws("create-vpc", "--cidr-block", RANGE)["Vpc"]["VpcId"]
    aws("modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames")
    words = ["describe-vpc-attribute", "--vpc-id", vpc, "--attribute", "enableDnsHostnames"]
    assert aws(*words)["EnableDnsHostnames"]["Value"] is True
    words = ["create-subnet", "--vpc-id", vpc, "--cidr-block", "10.20.1.0/24"]
    subnet = aws(*words)["Subnet"]["SubnetId"]
    aws("modify-subnet-attribute", "--subnet-id", subnet, "--map-public-ip-on-launch")
    words = ["create-network-interface", "--subnet-id", subnet, "--description", "by hand",
             "--secondary-private-ip-address-count", "1"]
    interface = aws(*words)["NetworkInterface"]
    assert len(interface["PrivateIpAddresses"]) == 2
    interface = interface["NetworkInterfaceId"]
    aws("assign-private-ip-addresses", "--network-interface-id", interface,
        "--private-ip-addresses", "10.20.1.77")
    aws("modify-network-interface-attribute", "--network-interface-id", interface,
        "--no-source-dest-check")
    words = ["describe-network-interfaces", "--network-interface-ids", interface]
    [shown] = aws(*words)["NetworkInterfaces"]
    assert shown["SourceDestCheck"] is False and shown["Description"] == "by hand"
    assert "10.20.1.77" in [a["PrivateIpAddress"] for a in shown["PrivateIpAddresses"]]
    aws("unassign-private-ip-addresses", "--network-interface-id", interface,
        "--private-ip-addresses", "10.20.1.77")
    aws("delete-network-interface", "--network-interface-id", interface)
    aws("delete-subnet", "--subnet-id", subnet)
    aws("delete-vpc", "--vpc-id", vpc)


@pytest.mark.guests
def test_guests_of_two_subnets_of_a_network_are_one_hop_from_each_other(ec2, tenant):
    vpc = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{number}.0/24")["Subnet"]["SubnetId"]
        for number in [1, 2]
    ]
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    [group] = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    group = group["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[TCP_22])
    interface = ec2.create_network_interface(
        SubnetId=subnets[1], PrivateIpAddress="10.20.2.77"
    )["NetworkInterface"]
    owner = tenant()
    [one] = owner.launch(SubnetId=subnets[0], SecurityGroupIds=[group])
    [other] = owner.launch(SecurityGroupIds=[], NetworkInterfaces=[
        {"DeviceIndex": 0, "SubnetId": subnets[1], "Groups": [group]},
        {"DeviceIndex": 2, "NetworkInterfaceId": interface["NetworkInterfaceId"]},
    ])
    owner.wait("running", one, other)
    at_one, at_other = owner.guest(one).wait_for_ssh(), owner.guest(other).wait_for_ssh()
    for guest, id in [(at_one, other), (at_other, one)]:
        address = owner.describe(id)["PrivateIpAddress"]
        eventually(f"`{address}` answers",
                   lambda: guest.succeeds(f"ping -c 1 -w 2 {address}"), 20)
        # Nobody stands between them.
        assert guest.succeeds(f"ping -c 1 -w 2 -t 1 {address}")
        assert guest.succeeds(f"arping -c 1 -w 2 -I eth1 {address}")
    # The further interface is the guest's third.
    assert at_other.run("cat /sys/class/net/eth2/address") == interface["MacAddress"]
    at_other.run("ip link set eth2 up; ip addr add 10.20.2.77/32 dev eth2")
    eventually("the further interface answers",
               lambda: at_one.succeeds("arping -c 1 -w 2 -I eth1 10.20.2.77"), 20)

    owner.terminate(one, other)
    owner.ids.clear()
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
