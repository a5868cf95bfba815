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


# What is to be seen inside, in one visit: a login alone takes an emulated guest seconds.
LOOK = """
exec 2>&1
cloud-init status --wait > /tmp/status
show() { echo "=== $1"; shift; "$@"; }
show status cat /tmp/status
show result cat /run/cloud-init/result.json
show found sudo grep -h 'Using metadata source' /var/log/cloud-init.log
show told sudo cloud-init query ds.meta_data
show key cat .ssh/authorized_keys
show hostname hostname
show user-data sudo cat /root/user-data-ran
show disk df --output=size -B1 /
show release uname -r
"""


def test_a_debian_with_cloud_init_takes_all_it_is_from_the_metadata_service(instance):
    owner, id = instance
    begun = time.monotonic()
    owner.wait("running", id)
    described = owner.describe(id)
    guest = Guest(described["PublicIpAddress"], owner.key_file, user="ec2-user")
    guest.wait_for_ssh(BOOT_SECONDS)
    log.info("ssh after %.0f s", time.monotonic() - begun)
    shown = guest.run(LOOK, within=BOOT_SECONDS).split("=== ")[1:]
    seen = {name: text.strip() for name, text in (part.split("\n", 1) for part in shown)}
    log.info("cloud-init done after %.0f s", time.monotonic() - begun)

    # It says so itself if any of it failed.
    assert seen["status"].endswith("status: done"), seen["result"]
    result = json.loads(seen["result"])["v1"]
    assert result["errors"] == [] and "DataSourceEc2" in result["datasource"], result
    assert "http://169.254.169.254" in seen["found"]
    told = json.loads(seen["told"])
    assert told["instance-id"] == id
    # The key that let us in.
    assert told["public-keys"][owner.name].split()[:2] == seen["key"].split()[:2]

    assert seen["hostname"] == described["PrivateDnsName"].split(".")[0]
    assert seen["user-data"] == f"user 0 on {seen['hostname']}"
    # All of the type's disk but what the file system needs for itself.
    gib = int(seen["disk"].split()[-1]) / 2**30
    assert gib > FULL_DISK_GIB * 0.9, gib
    # Nobody comes in as root.
    refused = Guest(guest.address, owner.key_file, user="root").ssh("id -u", within=60)
    assert "Please login as the user" in refused.stdout + refused.stderr, refused

    console = owner.ec2.get_console_output(InstanceId=id)["Output"]
    assert f"] Linux version {seen['release']} " in console
