"""Zones, meta-zones and what an administrator sees of their capacity, by stock clients."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from cloud import Cloud
from conftest import HYPERVISOR
from eventually import eventually

pytestmark = pytest.mark.simulated

TYPE = "m1.small"
REAL = ["us-east-1a", "us-east-1b"]


class TwoZones(Cloud):
    """Three of the default type fit in the first zone, and four in the second."""

    def configuration(self):
        return "\n".join([
            self.group("first", 3, f"{self.network}0/25", f"{self.network}1"),
            self.group("second", 4, f"{self.network}128/25", f"{self.network}129"),
            '[[meta_zone]]\nname = "even"\npolicy = "balanced"\n',
            f'[network]\nprefix = "{self.prefix}"\nmetadata_port = {self.metadata_port}\n',
        ])

    def group(self, name, vcpus, addresses, gateway):
        return f"""
[[group]]
name = "{name}"
public_addresses = "{addresses}"
gateway = "{gateway}"

[[node]]
name = "{name}"
group = "{name}"
vcpus = {vcpus}
memory_mib = 65536
disk_gib = 1000
simulated = {{ start_delay_ms = [10, 50] }}
"""

    def capacity(self):
        return json.loads(
            self.mallee("capacity", "--state", str(self.state), "--output", "json")
        )

    def free(self):
        return [zone["capacity"]["free"]["vcpus"] for zone in self.capacity()["zones"]]


@pytest.fixture(scope="module")
def two_zones():
    cloud = TwoZones(HYPERVISOR)
    try:
        cloud.start()
        eventually("both zones are heard of", lambda: cloud.free() == [3, 4], within=30)
        yield cloud
    finally:
        cloud.tear_down()


@pytest.fixture
def ec2(two_zones):
    """Whatever the test launches is gone after it."""
    client = two_zones.client()
    yield client
    if ids := [one["InstanceId"] for one in instances(client)]:
        client.terminate_instances(InstanceIds=ids)
    eventually("its room is given back", lambda: two_zones.free() == [3, 4], within=30)


def instances(ec2, states=("pending", "running")):
    wanted = [{"Name": "instance-state-name", "Values": list(states)}]
    reservations = ec2.describe_instances(Filters=wanted)["Reservations"]
    return [one for reservation in reservations for one in reservation["Instances"]]


def run(ec2, cloud, count, zone=None, **more):
    placement = {"Placement": {"AvailabilityZone": zone}} if zone else {}
    return ec2.run_instances(
        ImageId=cloud.demo_image(), InstanceType=TYPE, MinCount=count, MaxCount=count,
        **placement, **more,
    )


def zones_of(reservation):
    return sorted(one["Placement"]["AvailabilityZone"] for one in reservation["Instances"])


def test_a_client_that_takes_every_zone_it_is_shown_gets_real_ones(two_zones, ec2):
    shown = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in shown] == REAL
    assert {zone["ZoneType"] for zone in shown} == {"availability-zone"}
    # What a module that makes something in every available zone asks.
    available = [{"Name": "state", "Values": ["available"]}]
    shown = ec2.describe_availability_zones(Filters=available)["AvailabilityZones"]
    for zone in shown:
        [subnet] = ec2.describe_subnets(
            Filters=[{"Name": "availability-zone", "Values": [zone["ZoneName"]]}]
        )["Subnets"]
        launched = run(ec2, two_zones, 1, SubnetId=subnet["SubnetId"])
        assert zones_of(launched) == [zone["ZoneName"]]


def test_meta_zones_are_listed_after_the_zones_and_told_from_them(ec2):
    shown = ec2.describe_availability_zones(AllAvailabilityZones=True)["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in shown] == [*REAL, "even", "any"]
    meta = shown[-1]
    assert (meta["ZoneType"], meta["OptInStatus"]) == ("meta-zone", "not-opted-in")
    assert [message["Message"] for message in meta["Messages"]] == [
        "emptiest-first of us-east-1a, us-east-1b: "
        "the emptiest zone first, and the next when it is full"
    ]
    [named] = ec2.describe_availability_zones(ZoneNames=["any"])["AvailabilityZones"]
    assert named == meta


def test_any_overflows_one_reservation_over_zones_the_emptiest_first(two_zones, ec2):
    with pytest.raises(ClientError) as refused:
        run(ec2, two_zones, 8, "any")
    assert refused.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    assert (two_zones.free(), instances(ec2)) == ([3, 4], [])
    launched = run(ec2, two_zones, 6, "any")
    assert zones_of(launched) == REAL[:1] * 2 + REAL[1:] * 4
    eventually(
        "all run", lambda: len(instances(ec2, states=["running"])) == 6, within=30
    )
    described = ec2.describe_instances(
        InstanceIds=[one["InstanceId"] for one in launched["Instances"]]
    )["Reservations"]
    assert [one["ReservationId"] for one in described] == [launched["ReservationId"]]
    assert zones_of(described[0]) == zones_of(launched)
    assert two_zones.free() == [1, 0]


def test_a_meta_zone_follows_its_policy_and_an_unknown_one_is_refused(two_zones, ec2):
    assert zones_of(run(ec2, two_zones, 2, "even")) == REAL
    with pytest.raises(ClientError) as refused:
        run(ec2, two_zones, 1, "anywhere")
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        "InvalidParameterValue", "Invalid availability zone: [anywhere]"
    )


def test_an_administrator_reads_in_verbose_how_far_the_figures_can_be_trusted(two_zones, ec2):
    run(ec2, two_zones, 1, "us-east-1b")
    eventually("it runs", lambda: instances(ec2, states=["running"]), within=30)
    shown = ec2.describe_availability_zones(ZoneNames=["verbose"])["AvailabilityZones"]
    names = [zone["ZoneName"] for zone in shown]
    rows = shown[names.index("us-east-1b"):]
    states = {zone["ZoneName"]: zone["State"] for zone in rows}
    assert states[f"|- {TYPE}"].startswith("0003 / 0004 ")
    trust = r"nothing outstanding, 0 of the last [1-9]\d* starts failed"
    assert re.fullmatch(rf"heard of \d+ s ago, {trust}", states["|- figures"])
    assert re.fullmatch(rf"reported \d+ s ago, foreign guests .*, {trust}", states["|- node second"])


def test_the_command_line_shows_the_same_to_people_and_programs(two_zones, ec2):
    run(ec2, two_zones, 1, "us-east-1a")
    eventually("it runs", lambda: instances(ec2, states=["running"]), within=30)
    first, second = two_zones.capacity()["zones"]
    assert (first["name"], first["group"], first["stale"]) == ("us-east-1a", "first", False)
    [node] = first["nodes"]
    assert (node["name"], node["silent"]) == ("first", False)
    assert node["capacity"]["held"]["vcpus"] == 1
    assert node["capacity"]["starts"]["contradicted"] == 0
    assert node["capacity"]["starts"]["observed"] >= 1
    assert second["capacity"]["free"]["vcpus"] == 4
    text = two_zones.mallee("capacity", "--state", str(two_zones.state))
    assert re.search(r"^zone us-east-1a \(group first\):$", text, re.MULTILINE), text
    assert re.search(r"^  first +2 of 3 .* s ago +0 +0 of \d+ failed \(0 %\)$", text, re.MULTILINE)
    assert re.search(r"^  any +emptiest-first +us-east-1a, us-east-1b$", text, re.MULTILINE), text
