"""What a user does from the first key to the last terminate, said by stock clients in every protocol.

The scenario is one text. It is run through the API alone, and again with a witness who looks into
real guests at every step.
"""

import logging
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import host
from eventually import eventually
from guest import BOOT_SECONDS, READY, Guest, write_key
from instances import INSTANCE_TYPE
from speakers import SAME_TO_GUESTS, SPEAKERS

log = logging.getLogger("clients")


def scenario(speaker, image, name, witness):
    key = speaker.create_key(name)
    speaker.create_group(name)
    speaker.authorize(name, "tcp", 22, 22)

    ids = speaker.run(2, image, INSTANCE_TYPE, name, name)
    assert len(set(ids)) == 2
    speaker.wait(ids, "running")
    addresses = speaker.addresses(ids)
    assert len({address for both in addresses for address in both}) == 4, addresses
    witness.launched(ids, addresses, key)

    for id in ids:
        witness.printed(id, lambda: speaker.console(id))

    speaker.tag(ids[0], "purpose", "a scenario & <no> more")
    assert speaker.tags(ids[0])["purpose"] == "a scenario & <no> more"
    assert "purpose" not in speaker.tags(ids[1])

    speaker.reboot(ids)
    assert speaker.states(ids) == ["running", "running"]
    witness.rebooted()

    speaker.stop(ids)
    speaker.wait(ids, "stopped")
    witness.stopped()

    speaker.start(ids)
    speaker.wait(ids, "running")
    witness.started(speaker.addresses(ids))

    speaker.terminate(ids)
    speaker.wait(ids, "terminated")
    witness.terminated()
    # At once: a group in use could not be deleted.
    speaker.delete_group(name)
    speaker.delete_key(name)


class NoWitness:
    """Of simulated guests there is nothing to be seen."""

    def launched(self, ids, addresses, key): ...

    def printed(self, id, console):
        assert isinstance(console(), str)

    def rebooted(self): ...

    def stopped(self): ...

    def started(self, addresses): ...

    def terminated(self): ...


class Witness:
    """Looks into both guests, and at the host."""

    def __init__(self, cloud, directory):
        self.cloud = cloud
        self.directory = directory

    def launched(self, ids, addresses, key):
        self.ids = ids
        self.key_file = write_key(self.directory, "scenario", key)
        self.meet(addresses)
        for (public, private), guest in zip(addresses, self.guests):
            own = guest.run("ip -4 -o addr")
            assert f" {public}/" in own and f" {private}/" in own, own
        self.write_marker()
        self.boot_ids = self.each(Guest.boot_id)

    def printed(self, id, console):
        eventually(
            f"the console of `{id}` says that it is ready",
            lambda: f"{READY} instance-id={id}" in console(), BOOT_SECONDS,
        )
        # The kernel's own log, in the words of the kernel that runs there.
        release = self.guests[self.ids.index(id)].run("uname -r").strip()
        assert f"] Linux version {release} " in console()

    def rebooted(self):
        def all_new():
            tries = [guest.ssh("cat /proc/sys/kernel/random/boot_id", 30) for guest in self.guests]
            now = [done.stdout.strip() for done in tries if done.returncode == 0]
            return len(now) == 2 and not set(now) & set(self.boot_ids)

        eventually("both guests have booted again", all_new, BOOT_SECONDS, every=0.5)
        log.info("rebooted")
        self.check_marker()

    def stopped(self):
        assert not self.emulators()
        assert not any(guest.answers_tcp() for guest in self.guests)

    def started(self, addresses):
        self.meet(addresses)
        self.check_marker()
        assert not set(self.each(Guest.boot_id)) & set(self.boot_ids)

    def terminated(self):
        assert not self.emulators()
        there = self.cloud.beside_guests
        links = host.output(*there, "ip", "-o", "link")
        assert f"{self.cloud.prefix}-t" not in links
        rules = host.output(*there, "nft", "-s", "list", "ruleset")
        ruled = set(re.findall(r"[0-9]+(?:\.[0-9]+){3}", rules))
        for guest in self.guests:
            assert guest.address not in ruled, rules
            assert not guest.answers_tcp()

    def meet(self, addresses):
        there = self.cloud.beside_guests
        self.guests = [Guest(public, self.key_file, host=there) for public, _ in addresses]
        self.each(Guest.wait_for_ssh)
        log.info("both guests let us in, at %s", ", ".join(g.address for g in self.guests))

    def write_marker(self):
        self.each(lambda guest: guest.run(f"echo {guest.address} > /root/marker"))

    def check_marker(self):
        self.each(lambda guest: guest.run("test -s /root/marker"))

    def emulators(self):
        return [line for id in self.ids for line in host.processes(id) if "qemu" in line]

    def each(self, act):
        with ThreadPoolExecutor(2) as both:
            return list(both.map(act, self.guests))


@pytest.mark.simulated
@pytest.mark.parametrize("client", SPEAKERS)
def test_every_client_runs_the_scenario_through_the_api(client, cloud, image, name, tmp_path):
    scenario(SPEAKERS[client](cloud, tmp_path), image, name, NoWitness())


# The others differ from one of these in how they say it only, which guests cannot see.
@pytest.mark.guests
@pytest.mark.parametrize("client", [one for one in SPEAKERS if one not in SAME_TO_GUESTS])
def test_every_client_runs_the_scenario_with_real_guests(client, cloud, image, name, tmp_path):
    scenario(SPEAKERS[client](cloud, tmp_path), image, name, Witness(cloud, tmp_path))
