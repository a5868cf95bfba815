"""`kill -9` of the cloud while real guests boot, run and end: they outlive it, and it finds them."""

import os
import signal
from pathlib import Path

import pytest

from eventually import eventually
from tenant import TCP_22, Tenant

pytestmark = pytest.mark.guests

KILLS = 3


def kill_and_start_again(cloud):
    process = cloud.process
    os.kill(process, signal.SIGKILL)
    # A killed process takes a moment to go; until then a cloud runs, and none needs to be started.
    eventually("it is gone", lambda: not Path(f"/proc/{process}").exists(), within=10)
    cloud.start_again()


def test_three_kills_lose_no_guest_and_no_acknowledged_request(cloud, tmp_path):
    owner = Tenant(cloud, cloud.root, tmp_path, "killed")
    try:
        owner.authorize(TCP_22)
        [steady] = owner.launch()
        guest = owner.guest(steady).wait_for_ssh()
        boot = guest.boot_id()
        previous = None
        for _ in range(KILLS):
            # A launch and a terminate have just been acknowledged, and neither is done.
            [launched] = owner.launch()
            if previous:
                owner.ec2.terminate_instances(InstanceIds=[previous])
            kill_and_start_again(cloud)
            owner.wait("running", steady, launched)
            if previous:
                owner.wait("terminated", previous)
            assert guest.boot_id() == boot, "the guest that ran was not left running"
            owner.guest(launched).wait_for_ssh()
            previous = launched
    finally:
        owner.leave()
