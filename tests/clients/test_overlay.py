"""The private network over hosts, groups and a NAT: one Ethernet for its owner, nothing for others."""

import itertools
import logging
import subprocess
from pathlib import Path

import pytest

import iperf3
from eventually import eventually
from overlay import NODES
from tenant import PING, TCP_22, Guest
from test_security_groups import (
    disguise, frames_heard, own_address, reaches_by_arp, reaches_by_ping, shout,
)

pytestmark = [pytest.mark.guests, pytest.mark.overlay]
log = logging.getLogger("clients")

# A byte that pings are filled with.
MARK = "6d"
ZONES = {"us-east-1a": 2, "us-east-1b": 1}
# Of iperf3, in its seconds. A segment is what fits into the guests' MTU.
LEAST_CARRIED = 1 << 20
SEGMENT = 1380 - 20 - 32
MOST_SENT_AGAIN = 0.02


@pytest.fixture
def household(cloud, tenant):
    """A guest on every node, of one owner."""
    owner = tenant()
    owner.authorize(TCP_22, PING, iperf3.TCP_IPERF3)
    ids = []
    for zone, count in ZONES.items():
        ids += owner.launch(count, Placement={"AvailabilityZone": zone})
    owner.wait("running", *ids)
    return owner, {cloud.host_of(id): id for id in ids}


def guest_of(cloud, tenant, id, host):
    address = tenant.describe(id)["PublicIpAddress"]
    return Guest(address, tenant.key_file, host=cloud.through(host)).wait_for_ssh()


def test_guests_on_all_hosts_are_one_hop_from_each_other_and_strangers_hear_nothing(
    cloud, tenant, household, other_account, tmp_path,
):
    owner, ids = household
    assert sorted(ids) == sorted(NODES), "one guest on every node"
    guests = {host: guest_of(cloud, owner, id, host) for host, id in ids.items()}
    addresses = {host: owner.describe(id)["PrivateIpAddress"] for host, id in ids.items()}
    assert len(set(addresses.values())) == len(NODES)
    for host, guest in guests.items():
        assert own_address(guest) == addresses[host], "DHCP gave what the cloud says"
        mtu = int(guest.run("cat /sys/class/net/eth1/mtu"))
        assert mtu == 1380, "what fits into a datagram of any cable"

    eventually("every switch has a cable to every other", lambda: all_cables_are_up(cloud), within=30)
    with capture(cloud, tmp_path, "e1", "any") as at_tap, capture(cloud, tmp_path) as captured:
        for here, there in itertools.permutations(NODES, 2):
            goal = addresses[there]
            # One hop: no router takes away from it.
            assert guests[here].succeeds(f"ping -t 1 -c 1 -w 5 -p {MARK} {goal}"), (here, there)
            # A packet that fits in no datagram does not vanish.
            assert guests[here].succeeds(f"ping -s 4000 -c 1 -w 5 {goal}"), (here, there)
            banner = guests[here].run(f"nc -w 5 {goal} 22 < /dev/null | head -c 4")
            assert banner == "SSH-", (here, there, banner)
        guests["e1"].run(f"ping -s 64 -c 3 -w 5 -p {MARK} {addresses['west']}")
    mark = bytes.fromhex(MARK) * 40
    assert mark in at_tap.read_bytes(), "the guest's bytes are seen where they are in clear"
    assert mark not in captured.read_bytes(), "a guest's bytes in clear on the LAN"
    protocols = protocols_on(captured)
    log.info("on the LAN: %s", protocols)
    assert protocols["overlay"] > 0 and protocols["other"] == 0

    check_what_tcp_carries(guests["e1"], guests["west"], addresses["west"])

    # A packet can be followed to the switch that has the far end.
    said = cloud.on("e1", "overlay", "trace", ids["e1"], addresses["west"], "--tcp", "22")
    log.info("a packet from e1 to west:\n%s", said)
    assert "admits everything" in said and "west" in said

    stranger = tenant(other_account)
    stranger.authorize(TCP_22, PING)
    [spy] = stranger.launch(Placement={"AvailabilityZone": "us-east-1a"})
    stranger.wait("running", spy)
    at_spy = guest_of(cloud, stranger, spy, cloud.host_of(spy))
    mac = guests["west"].run("cat /sys/class/net/eth1/address")
    goal, guise = addresses["e1"], addresses["west"]
    for forged in ["neither", "address", "address and MAC"]:
        if forged != "neither":
            disguise(at_spy, guise, mac if "MAC" in forged else None)
        assert frames_heard(at_spy, while_doing=lambda: shout(guests["e1"])) == 0
        if own_address(at_spy) != goal:
            assert not reaches_by_arp(at_spy, goal)
            assert not reaches_by_ping(at_spy, goal)

    # Without the managers of cloud and group all goes on.
    subprocess.run(["kill", "-9", str(cloud.process)], check=True)
    for here, there in itertools.permutations(NODES, 2):
        assert guests[here].succeeds(f"ping -c 2 -w 5 {addresses[there]}"), (here, there)
    cloud.start_again()


def check_what_tcp_carries(near, far, address):
    """Both ways over the cable through the NAT, and hardly anything twice."""
    for guest in [near, far]:
        iperf3.install(guest)
    for direction, carried in zip(["to", "from"], iperf3.carried(near, far, address)):
        log.info("%s the guest behind the NAT: %s", direction, carried)
        assert carried.received_bytes > LEAST_CARRIED, direction
        segments = carried.received_bytes / SEGMENT
        assert carried.retransmits < segments * MOST_SENT_AGAIN, direction


def all_cables_are_up(cloud):
    for name in ["cloud", *NODES]:
        cables = cloud.switch_of(name)["cables"]
        if len(cables) != len(NODES) or not all(cable["is_up"] for cable in cables):
            return False
    return True


class capture:
    """Everything that crosses the LAN, or a device of a host, as a file of tcpdump's."""

    def __init__(self, cloud, directory, host="lan", device="lan"):
        self.file = Path(directory) / f"{host}.pcap"
        self.command = [*cloud.through(host), "tcpdump", "-U", "-Z", "root", "-i", device, "-s", "0",
                        "-w", str(self.file)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        eventually("tcpdump listens", self.file.exists, within=10)
        return self.file

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)


def protocols_on(file):
    """How many packets are the overlay's, the managers' links, housekeeping, or anything else."""
    counts = {"overlay": 0, "links": 0, "other": 0}
    shown = subprocess.run(["tcpdump", "-n", "-q", "-r", str(file)], check=True, text=True,
                           capture_output=True, timeout=60).stdout
    for line in shown.splitlines():
        if "ARP" in line or "IP6" in line:
            continue
        if " UDP," in line and ".8777" in line:
            counts["overlay"] += 1
        elif " tcp " in line and (".8774" in line or ".8776" in line):
            counts["links"] += 1
        else:
            log.warning("unexpected on the LAN: %s", line)
            counts["other"] += 1
    return counts
