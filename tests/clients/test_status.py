"""`mallee status`: what runs here, and by what."""

import json
import re

import pytest


@pytest.mark.guests
def test_an_administrator_sees_what_runs_the_guests_and_why(cloud):
    told = r"libvirt [\d.]+ \(.+\), QEMU [\d.]+, (KVM|TCG): \S.*"
    text = cloud.mallee("status", "--state", str(cloud.state))
    assert re.search(rf"^  guests of clients: {told}$", text, re.MULTILINE), text
    status = json.loads(cloud.mallee("status", "--state", str(cloud.state), "--output", "json"))
    [zone] = status["zones"]
    assert re.fullmatch(told, dict(zone["remarks"])["guests of clients"]), zone
