"""A Debian with the real cloud-init, made by `mallee image build --full`, is an EC2 instance like
any other: its Ec2 datasource finds everything where EC2 has it."""

import json
import logging
import time

import pytest

from cloud import FULL, FULL_DISK_GIB
from guest import Guest
from tenant import TCP_22, Tenant

pytestmark = pytest.mark.full
log = logging.getLogger("clients")

NAME = "clients-full"
# Downloads and installs a distribution.
BUILD_SECONDS = 900
# Emulated, and cloud-init is a lot of Python.
BOOT_SECONDS = 420

USER_DATA = """#!/bin/sh
echo "user $(id -u) on $(hostname)" >> /root/user-data-ran
"""


@pytest.fixture(scope="module")
def instance(cloud, tmp_path_factory):
    begun = time.monotonic()
    cloud.mallee(
        "image", "build", "--full", "--name", NAME, "--state", str(cloud.state),
        within=BUILD_SECONDS,
    )
    log.info("built in %.0f s", time.monotonic() - begun)
    owner = Tenant(cloud, cloud.root, tmp_path_factory.mktemp("full"), "full")
    owner.authorize(TCP_22)
    # Only who speaks the second version of the metadata service's protocol learns anything.
    [id] = owner.launch(
        ImageId=cloud.image(NAME), InstanceType=FULL, UserData=USER_DATA,
        MetadataOptions={"HttpTokens": "required"},
    )
    yield owner, id
    owner.leave()


def test_a_debian_with_cloud_init_takes_all_it_is_from_the_metadata_service(instance):
    owner, id = instance
    begun = time.monotonic()
    owner.wait("running", id)
    described = owner.describe(id)
    guest = Guest(described["PublicIpAddress"], owner.key_file, user="ec2-user")
    guest.wait_for_ssh(BOOT_SECONDS)
    log.info("ssh after %.0f s", time.monotonic() - begun)
    # Ends with an error if any of it failed.
    guest.run("cloud-init status --wait", within=BOOT_SECONDS)
    log.info("cloud-init done after %.0f s", time.monotonic() - begun)

    result = json.loads(guest.run("cat /run/cloud-init/result.json"))["v1"]
    assert result["errors"] == [] and "DataSourceEc2" in result["datasource"], result
    found = guest.run("sudo grep -h 'Using metadata source' /var/log/cloud-init.log")
    assert "http://169.254.169.254" in found
    told = json.loads(guest.run("sudo cloud-init query ds.meta_data"))
    assert told["instance-id"] == id
    assert told["public-keys"]["full"].split()[:2] == authorized(guest)

    assert guest.run("hostname") == described["PrivateDnsName"].split(".")[0]
    assert guest.run("sudo cat /root/user-data-ran") == f"user 0 on {guest.run('hostname')}"
    # All of the type's disk but what the file system needs for itself.
    gib = int(guest.run("df --output=size -B1 / | tail -n 1")) / 2**30
    assert gib > FULL_DISK_GIB * 0.9, gib
    # The name of the user who lets us in, and nobody else's.
    refused = Guest(guest.address, owner.key_file, user="root").ssh("id -u", within=60)
    assert "Please login as the user" in refused.stdout + refused.stderr, refused

    console = owner.ec2.get_console_output(InstanceId=id)["Output"]
    assert f"] Linux version {guest.run('uname -r')} " in console or len(console) >= 64 * 1024


def authorized(guest):
    return guest.run("cat ~/.ssh/authorized_keys").split()[:2]
