"""Security groups decide what reaches a guest, and an account's private network is its own."""

import logging

import pytest

from eventually import eventually, seconds_until
from tenant import PING, TCP_22

pytestmark = pytest.mark.guests
log = logging.getLogger("clients")

# How soon a change of a rule is a change of what passes.
RULE_SECONDS = 2


def test_a_rule_opens_and_closes_a_guest_within_two_seconds(tenant):
    owner = tenant()
    [id] = owner.launch()
    owner.wait("running", id)
    owner.wait_until_booted(id)
    guest = owner.guest(id)
    ways = [("tcp", TCP_22, guest.answers_tcp), ("ping", PING, guest.answers_ping)]

    for way, rule, answers in ways:
        # It is up, and says nothing: by its group, for it has no other reason.
        assert not answers(within=2)
        for _ in range(3):
            owner.authorize(rule)
            opened = seconds_until(f"{way} passes", lambda: answers(within=0.05), RULE_SECONDS)
            owner.revoke(rule)
            closed = seconds_until(f"{way} does not pass", lambda: not answers(), RULE_SECONDS)
            log.info("%s passed %.3f s after authorize, no more %.3f s after revoke",
                     way, opened, closed)
            assert not answers(within=1)

    # A rule admits what it names and nothing else.
    owner.authorize(PING)
    eventually("ping passes", guest.answers_ping, RULE_SECONDS)
    assert not guest.answers_tcp(within=2)
    owner.authorize(TCP_22)
    guest.wait_for_ssh()
    assert not guest.answers_tcp(port=23, within=1)


def test_a_private_network_is_reached_by_its_account_alone(cloud, tenant, other_account):
    owner, stranger = tenant(), tenant(other_account)
    for one in [owner, stranger]:
        one.authorize(TCP_22)
    [target, friend], [spy] = owner.launch(2), stranger.launch()
    owner.wait("running", target, friend)
    stranger.wait("running", spy)
    at_target, at_friend = owner.guest(target).wait_for_ssh(), owner.guest(friend).wait_for_ssh()
    at_spy = stranger.guest(spy).wait_for_ssh()
    goal = owner.describe(target)["PrivateIpAddress"]
    guise = owner.describe(friend)["PrivateIpAddress"]

    # The positive control: what the spy will fail at, a guest of the same account can do, as soon as
    # a rule admits members of its group.
    assert reaches_by_arp(at_friend, goal)
    assert not reaches_by_ping(at_friend, goal)
    members = {**PING, "IpRanges": [], "UserIdGroupPairs": [{"GroupId": owner.group}]}
    owner.authorize(members)
    opened = seconds_until("ping passes", lambda: reaches_by_ping(at_friend, goal), RULE_SECONDS)
    log.info("a ping to a member's private address passed %.3f s after authorize", opened)
    assert reaches_by_ping(at_target, guise)
    owner.revoke(members)
    closed = seconds_until(
        "no ping passes", lambda: not reaches_by_ping(at_friend, goal), RULE_SECONDS + PING_SECONDS
    )
    log.info("none passed %.3f s after revoke", closed)
    owner.authorize(members)
    eventually("ping passes", lambda: reaches_by_ping(at_friend, goal), RULE_SECONDS)
    heard = frames_heard(at_friend, while_doing=lambda: shout(at_target))
    log.info("a guest of the same account heard %d frames", heard)
    assert heard >= SHOUTS

    # The spy dresses up as the friend, whom the target knows.
    mac = at_friend.run("cat /sys/class/net/eth1/address")
    for forged in ["neither", "address", "address and MAC"]:
        if forged != "neither":
            disguise(at_spy, guise, mac if "MAC" in forged else None)
        heard = frames_heard(at_spy, while_doing=lambda: shout(at_target))
        log.info("the spy, having forged %s, heard %d frames", forged, heard)
        assert heard == 0
        # Its own address may be the goal's: both accounts have the same subnet.
        if own_address(at_spy) != goal:
            assert not reaches_by_arp(at_spy, goal)
            assert not reaches_by_ping(at_spy, goal)

    # Nor does the public side lead there.
    at_spy.run("ip link set eth1 down; ip route replace %s/32 via $(%s) dev eth0" % (goal, GATEWAY))
    assert not reaches_by_ping(at_spy, goal)
    # Nothing of this has disturbed those at home.
    assert reaches_by_ping(at_friend, goal)


def test_nobody_speaks_from_an_address_on_the_public_side_that_is_not_theirs(tenant, other_account):
    owner, stranger = tenant(), tenant(other_account)
    for one in [owner, stranger]:
        one.authorize(TCP_22, PING)
    [target], [spy] = owner.launch(), stranger.launch()
    owner.wait("running", target)
    stranger.wait("running", spy)
    at_spy = stranger.guest(spy).wait_for_ssh()
    owner.guest(target).wait_for_ssh()
    stolen = owner.describe(target)["PublicIpAddress"]

    ping = "ping -c 2 -w 3 -I %s $(%s)"
    assert at_spy.succeeds(ping % (stranger.describe(spy)["PublicIpAddress"], GATEWAY))
    at_spy.run(f"ip addr add {stolen}/32 dev eth0")
    assert not at_spy.succeeds(ping % (stolen, GATEWAY))
    # The owner of the address has kept it.
    at_spy.run(f"ip addr del {stolen}/32 dev eth0")
    assert owner.guest(target).answers_ping(within=2)


GATEWAY = "ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'"
SHOUTS = 3


def reaches_by_arp(guest, address):
    return guest.succeeds(f"arping -c 2 -w 2 -I eth1 {address}")


# How long a ping that is not answered takes to find out.
PING_SECONDS = 2


def reaches_by_ping(guest, address):
    # Without `-W` it waits ten seconds more for the first answer.
    return guest.succeeds(f"ping -c 2 -w {PING_SECONDS} -W 1 {address}")


def shout(guest):
    """Broadcasts on the private network: nobody has that address."""
    guest.succeeds(f"arping -b -c {SHOUTS} -w {SHOUTS + 1} -I eth1 172.31.15.254")


def frames_heard(guest, while_doing):
    """How many frames came in at the private interface, which takes all it gets."""
    count = "cat /sys/class/net/eth1/statistics/rx_packets"
    guest.run("ip link set eth1 promisc on")
    before = int(guest.run(count))
    while_doing()
    return int(guest.run(count)) - before


def own_address(guest):
    return guest.run("ip -4 -o addr show dev eth1 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'")


def disguise(guest, address, mac):
    # Its DHCP client would put things right again.
    guest.run(
        "for p in /proc/[0-9]*; do"
        " if tr '\\0' ' ' < $p/cmdline | grep -q '^udhcpc -i eth1 '; then kill ${p#/proc/}; fi;"
        " done 2> /dev/null; ip addr flush dev eth1"
    )
    if mac:
        guest.run(f"ip link set eth1 down; ip link set eth1 address {mac}; ip link set eth1 up")
        assert guest.run("cat /sys/class/net/eth1/address") == mac
    guest.run(f"ip addr add {address}/16 dev eth1")
    assert own_address(guest) == address
