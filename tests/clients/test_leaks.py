"""A cloud that has run many instances holds no more than one that has run none."""

import logging
import os
from pathlib import Path

import pytest

import host
from eventually import eventually_nothing

log = logging.getLogger("clients")

CYCLES = int(os.environ.get("MALLEE_TEST_CYCLES", "100"))
CYCLES_WITH_GUESTS = int(os.environ.get("MALLEE_TEST_GUEST_CYCLES", "20"))


@pytest.mark.simulated
def test_a_hundred_launches_and_terminates_leave_nothing_behind(cloud, tenant):
    check(cloud, tenant(), CYCLES)


@pytest.mark.guests
def test_launches_and_terminates_of_real_guests_leave_nothing_behind(cloud, tenant):
    check(cloud, tenant(), CYCLES_WITH_GUESTS)


def check(cloud, owner, cycles):
    # The first of everything may open what stays open: a connection, a cached image.
    cycle(owner)
    before = holdings(cloud)
    log.info("before: %s", summary(before))
    for number in range(cycles):
        cycle(owner)
        if (number + 1) % 25 == 0:
            log.info("%d of %d cycles", number + 1, cycles)

    def extra():
        now = holdings(cloud)
        return {kind: sorted(now[kind] - before[kind]) for kind in now if now[kind] - before[kind]}

    # The last one's cleaning up may still be going on.
    eventually_nothing("more is held than before", extra, within=15)
    log.info("after: %s", summary(holdings(cloud)))


def cycle(owner):
    [id] = owner.launch()
    waiter = owner.ec2.get_waiter
    settings = {"Delay": 0.05, "MaxAttempts": 2400}
    waiter("instance_running").wait(InstanceIds=[id], WaiterConfig=settings)
    owner.ec2.terminate_instances(InstanceIds=[id])
    waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig=settings)


def holdings(cloud):
    process = Path("/proc") / str(cloud.process)
    return {
        # By number: which thread or file has it is nobody's business.
        "descriptors": numbered(process / "fd"),
        "threads": numbered(process / "task"),
        # By name: whether a bridge has a carrier depends on who is there.
        "links": {line.split(":")[0] for line in host.links() if f" {cloud.prefix}-" in line},
        "rules": {line for line in host.rules() if f" {cloud.prefix} " in line},
        "processes": {line for line in host.processes(str(cloud.state)) if "qemu" in line},
        # Records are the memory of what was, and their files the store's own affair.
        "files": {
            line for line in host.files([str(cloud.state)])
            if "/records" not in line and not line.endswith("/log")
        },
    }


def numbered(directory):
    """As many numbers as there are entries, so that sets tell who has more."""
    return set(range(len(list(directory.iterdir()))))


def summary(held):
    return ", ".join(f"{len(things)} {kind}" for kind, things in held.items())
