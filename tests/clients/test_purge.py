"""`mallee down --purge`: all goes, or what is left is said and goes at the next attempt."""

import os
import signal
import subprocess
from contextlib import contextmanager

import pytest

import host
from cloud import Cloud
from conftest import HYPERVISOR
from tenant import Tenant


@pytest.fixture
def own_cloud():
    """One that a test may break. At the end it is gone without a trace, whatever happened to it."""
    cloud = Cloud(HYPERVISOR)
    try:
        cloud.start()
        yield cloud
    finally:
        cloud.tear_down()


@contextmanager
def libvirt_out_of_reach(cloud):
    """Neither can a cloud start so, nor can anybody end a guest."""
    kept = cloud.state / "configuration.toml"
    working = kept.read_text()
    nowhere = '[[node]]\nlibvirt_uri = "qemu+unix:///system?socket=/nowhere"\n'
    kept.write_text(working.replace("[[node]]\n", nowhere))
    try:
        yield
    finally:
        if kept.exists():
            kept.write_text(working)


def purge(cloud):
    """How it ended, and what it said."""
    done = subprocess.run(
        [cloud.binary, "down", "--purge", "--state", str(cloud.state)], env=cloud.environment(),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180,
    )
    return done.returncode, done.stderr


def emulators(id):
    return [line for line in host.processes(id) if "qemu" in line]


def devices_and_rules(cloud):
    return [line for line in host.links() + host.rules() if f" {cloud.prefix}" in line]


def test_a_protected_instance_keeps_its_cloud_from_being_purged(own_cloud, tmp_path):
    owner = Tenant(own_cloud, own_cloud.root, tmp_path, "protected")
    [id] = owner.launch(DisableApiTermination=True)
    owner.wait("running", id)
    code, said = purge(own_cloud)
    assert code == 1 and "OperationNotPermitted" in said and id in said, said
    assert owner.describe(id)["State"]["Name"] == "running"
    owner.ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination={"Value": False})
    assert purge(own_cloud)[0] == 0
    assert not own_cloud.state.exists()


@pytest.mark.guests
def test_where_libvirt_is_lost_all_but_the_guest_is_purged_and_the_guest_later(own_cloud, tmp_path):
    owner = Tenant(own_cloud, own_cloud.root, tmp_path, "lost")
    [id] = owner.launch()
    owner.wait("running", id)
    [emulator] = emulators(id)
    os.kill(own_cloud.process, signal.SIGKILL)

    with libvirt_out_of_reach(own_cloud):
        code, said = purge(own_cloud)
        assert code == 1, said
        assert "left on this host: " in said and id in said and "/nowhere" in said, said
        assert devices_and_rules(own_cloud) == []
        assert emulators(id) == [emulator]

    code, said = purge(own_cloud)
    assert code == 0, said
    assert not own_cloud.state.exists()


@pytest.mark.guests
def test_without_instances_a_cloud_is_purged_where_there_is_no_libvirt(own_cloud):
    own_cloud.mallee("down", "--state", str(own_cloud.state))
    assert devices_and_rules(own_cloud)
    with libvirt_out_of_reach(own_cloud):
        code, said = purge(own_cloud)
    assert code == 0, said
    assert devices_and_rules(own_cloud) == []
    assert not own_cloud.state.exists()
