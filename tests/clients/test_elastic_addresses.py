"""Elastic addresses by stock clients: had, moved between running instances, given back."""

import logging

import pytest

import instances
from eventually import eventually, seconds_until
from instances import describe, refused
from speakers import AwsCli
from tenant import PING, TCP_22

log = logging.getLogger("clients")

# How soon a move is a move of what passes.
MOVE_SECONDS = 2


def running(ec2, image, count):
    ids = [one["InstanceId"] for one in instances.run(ec2, image, count)]
    instances.wait(ec2, "running", *ids)
    return ids


def address_of(ec2, allocation):
    [address] = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    return address


@pytest.mark.simulated
def test_an_address_is_managed_as_terraform_manages_it(ec2, image, name):
    ids = running(ec2, image, 2)
    own = [describe(ec2, id)["PublicIpAddress"] for id in ids]
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": name}]}]
    had = ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    allocation, public = had["AllocationId"], had["PublicIp"]
    assert allocation.startswith("eipalloc-") and had["Domain"] == "vpc"
    # As Terraform reads it back.
    attribute = ec2.describe_addresses_attribute(
        AllocationIds=[allocation], Attribute="domain-name"
    )
    assert [a["PublicIp"] for a in attribute["Addresses"]] == [public]
    assert address_of(ec2, allocation)["Tags"] == [{"Key": "Name", "Value": name}]

    association = ec2.associate_address(AllocationId=allocation, InstanceId=ids[0])["AssociationId"]
    assert association.startswith("eipassoc-")
    shown = address_of(ec2, allocation)
    assert (shown["InstanceId"], shown["AssociationId"]) == (ids[0], association)
    assert shown["PrivateIpAddress"] == own[0]
    [interface] = ec2.describe_network_interfaces(
        Filters=[{"Name": "association.allocation-id", "Values": [allocation]}]
    )["NetworkInterfaces"]
    assert interface["Association"]["PublicIp"] == public
    assert interface["NetworkInterfaceId"] == shown["NetworkInterfaceId"]
    seen = describe(ec2, ids[0])
    assert seen["PublicIpAddress"] == seen["PublicDnsName"] == public
    assert seen["NetworkInterfaces"][0]["Association"]["PublicIp"] == public
    [found] = ec2.describe_instances(Filters=[{"Name": "ip-address", "Values": [public]}])[
        "Reservations"
    ]
    assert found["Instances"][0]["InstanceId"] == ids[0]

    to_the_other = {"AllocationId": allocation, "InstanceId": ids[1]}
    refused(
        "Resource.AlreadyAssociated", ec2.associate_address, AllowReassociation=False, **to_the_other
    )
    moved = ec2.associate_address(AllowReassociation=True, **to_the_other)["AssociationId"]
    refused("InvalidAssociationID.NotFound", ec2.disassociate_address, AssociationId=association)
    assert [describe(ec2, id)["PublicIpAddress"] for id in ids] == [own[0], public]
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=allocation)
    ec2.disassociate_address(AssociationId=moved)
    assert [describe(ec2, id)["PublicIpAddress"] for id in ids] == own
    assert "AssociationId" not in address_of(ec2, allocation)
    ec2.associate_address(PublicIp=public, InstanceId=ids[0])
    instances.terminate(ec2, *ids)
    assert "AssociationId" not in address_of(ec2, allocation), "gone with the instance"
    ec2.release_address(AllocationId=allocation)
    not_found = "InvalidAllocationID.NotFound"
    refused(not_found, ec2.describe_addresses, AllocationIds=[allocation])
    refused(not_found, ec2.release_address, AllocationId=allocation)


@pytest.mark.simulated
def test_an_account_has_its_own_addresses_and_a_limit(cloud, ec2, other_account):
    stranger = cloud.client(other_account)
    had = [stranger.allocate_address() for _ in range(5)]
    refused("AddressLimitExceeded", stranger.allocate_address)
    public = had[0]["PublicIp"]
    assert refused("AuthFailure", ec2.release_address, PublicIp=public)
    refused("InvalidAllocationID.NotFound", ec2.release_address, AllocationId=had[0]["AllocationId"])
    refused("InvalidAddress.NotFound", ec2.describe_addresses, PublicIps=[public])
    refused("DryRunOperation", stranger.release_address, PublicIp=public, DryRun=True)
    for address in had:
        stranger.release_address(AllocationId=address["AllocationId"])
    assert not stranger.describe_addresses()["Addresses"]


@pytest.mark.simulated
def test_the_command_line_s_words_are_understood(cloud, ec2, image, tmp_path):
    aws = AwsCli(cloud, tmp_path).aws
    [id] = running(ec2, image, 1)
    had = aws("allocate-address")
    of_it = ["--allocation-id", had["AllocationId"]]
    associated = aws("associate-address", "--instance-id", id, *of_it)
    [shown] = aws("describe-addresses", "--public-ips", had["PublicIp"])["Addresses"]
    assert shown["InstanceId"] == id
    aws("disassociate-address", "--association-id", associated["AssociationId"])
    aws("release-address", *of_it)
    # As it was before there were VPCs.
    old = aws("allocate-address", "--domain", "standard")
    assert "AllocationId" not in old
    aws("associate-address", "--instance-id", id, "--public-ip", old["PublicIp"])
    assert describe(ec2, id)["PublicIpAddress"] == old["PublicIp"]
    aws("release-address", "--public-ip", old["PublicIp"])
    assert describe(ec2, id)["PublicIpAddress"] != old["PublicIp"]
    instances.terminate(ec2, id)


def leads_to(guest, boot):
    """Whether this boot answers; a connection that is cut by the move does not."""
    return guest.ssh("cat /proc/sys/kernel/random/boot_id", within=10).stdout.strip() == boot


@pytest.mark.guests
def test_ssh_follows_an_address_from_guest_to_guest_without_a_reboot(tenant):
    owner = tenant()
    owner.authorize(TCP_22, PING)
    ids = owner.launch(2)
    owner.wait("running", *ids)
    guests = [owner.guest(id).wait_for_ssh() for id in ids]
    boots = [guest.boot_id() for guest in guests]
    had = owner.ec2.allocate_address()
    try:
        for id, boot in [*zip(ids, boots), (ids[0], boots[0])]:
            owner.ec2.associate_address(AllocationId=had["AllocationId"], InstanceId=id)
            elastic = owner.guest(id)
            assert elastic.address == had["PublicIp"]
            took = seconds_until(
                "the address leads to the guest", lambda: leads_to(elastic, boot), MOVE_SECONDS
            )
            log.info("ssh by the elastic address led to `%s` %.3f s after it was moved", id, took)
            heard = "wget -q -O - http://169.254.169.254/latest/meta-data/public-ipv4"
            assert elastic.run(heard) == had["PublicIp"]
            assert elastic.answers_ping(within=2)
        # What the other guest is told is its own again, and it is reached there throughout.
        other = owner.guest(ids[1])
        assert other.address == guests[1].address
        assert other.boot_id() == boots[1]
        # A neighbour reaches it, too.
        at_neighbour = other.run(f"ping -c 1 -w 5 {had['PublicIp']} > /dev/null && echo reached")
        assert at_neighbour == "reached"
        # It is there after a stop, and goes free with the instance.
        owner.ec2.stop_instances(InstanceIds=[ids[0]])
        owner.wait("stopped", ids[0])
        assert not elastic.answers_tcp(within=1)
        owner.ec2.start_instances(InstanceIds=[ids[0]])
        owner.wait("running", ids[0])
        again = owner.guest(ids[0]).wait_for_ssh()
        assert again.address == had["PublicIp"] and again.boot_id() != boots[0]
        owner.terminate(ids[0])
        eventually("nothing answers", lambda: not again.answers_tcp(), MOVE_SECONDS)
    finally:
        owner.ec2.disassociate_address(PublicIp=had["PublicIp"])
        owner.ec2.release_address(AllocationId=had["AllocationId"])
