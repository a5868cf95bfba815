"""A cloud of three hosts in a row, each a network namespace: cloud, group, node.

Each reaches only its neighbour: there is no route from the node to the cloud. The clients are in
front of the cloud, and reach nothing else. Managers join by tokens, as on real hosts.
"""

import logging
import shutil
import subprocess

import host
from cloud import Cloud
from eventually import eventually, eventually_nothing

log = logging.getLogger("clients")

LINKS = {"cloud": 8774, "group": 8776}


class Cluster(Cloud):
    def __init__(self, hypervisor):
        super().__init__(hypervisor)
        self.place = f"10.215.{self.number}."
        self.spaces = {role: f"{self.prefix}-{role}" for role in ["cloud", "group", "node"]}

    # Clients come from the tests' own namespace.
    @property
    def address(self):
        return f"{self.place}2", self.port

    @property
    def endpoint(self):
        return f"http://{self.place}2:{self.port}"

    @property
    def beside_guests(self):
        return ("ip", "netns", "exec", self.spaces["node"])

    def state_of(self, role):
        return self.state if role == "cloud" else self.state.parent / role[0]

    def configuration(self):
        return f"""
[topology]
roles = ["cloud"]

[cloud]
links = "{self.place}5:{LINKS['cloud']}"

[[group]]
name = "clients"
public_addresses = "{self.network}0/24"
gateway = "{self.network}1"
links = "{self.place}9:{LINKS['group']}"
"""

    def node_configuration(self):
        return f"""
[[node]]
hypervisor = "{self.hypervisor}"

[network]
prefix = "{self.prefix}"
metadata_port = {self.metadata_port}
"""

    def start(self):
        self.lay_cables()
        super().start()

    def lay_cables(self):
        """Tests ── cloud ── group ── node, and nobody forwards."""
        for space in self.spaces.values():
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        chain = [None, *self.spaces.values()]
        for number, (left, right) in enumerate(zip(chain, chain[1:])):
            ends = f"{self.prefix}-l{number}", f"{self.prefix}-r{number}"
            ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for end, space, last in zip(ends, (left, right), (1, 2)):
                inside = ("-n", space) if space else ()
                if space:
                    ip("link", "set", end, "netns", space)
                ip(*inside, "addr", "add", f"{self.place}{4 * number + last}/30", "dev", end)
                ip(*inside, "link", "set", end, "up")
        self.node_before = self.node_residue()

    def start_again(self):
        files = {"cloud": self.configuration_file, "node": self.state.parent / "node.toml"}
        files["node"].write_text(self.node_configuration())
        for role in self.spaces:
            state = self.state_of(role)
            if role != "cloud" and not (state / "membership").exists():
                self.join(role)
            listen = ["--listen", f"{self.place}2:{self.port}"] if role == "cloud" else []
            config = ["--config", str(files[role])] if role in files else []
            self.on(role, "up", *listen, *config, "--detach")
        eventually("the node has reported", self.node_has_reported, within=60)

    def join(self, role):
        token = self.mallee(
            "token", "create", "--role", role, "--group", "clients", "--state", str(self.state),
        ).strip()
        for _ in range(2):
            # Once more, as unattended installers do.
            self.on(role, "join", token, *(["--name", "clients"] if role == "node" else []))

    def on(self, role, *arguments):
        """Runs the command line on one of the hosts."""
        return self.mallee(
            *arguments, "--state", str(self.state_of(role)),
            through=("ip", "netns", "exec", self.spaces[role]),
        )

    def node_has_reported(self):
        zones = self.client().describe_availability_zones(ZoneNames=["verbose"])
        return any("reported" in zone["State"] for zone in zones["AvailabilityZones"])

    def node_residue(self):
        run = lambda *command: host.output(*self.beside_guests, *command)
        links = [line.split(": ", 1)[1] for line in run("ip", "-o", "link").splitlines()]
        return links + run("nft", "-s", "list", "ruleset").splitlines()

    def tear_down(self):
        log.info("taking the cluster down")
        images = self.state / "images"
        if images.is_symlink():
            images.unlink()
        try:
            for role in self.spaces:
                self.keep_logs_of(role)
                self.on(role, "down", "--purge")
            left = set(self.node_residue()) ^ set(self.node_before)
            assert not left, f"the node's host is not as it was: {left}"
        finally:
            for space in self.spaces.values():
                ip("netns", "delete", space)
            # The tests' own end goes with the other, a moment later.
            eventually_nothing(
                "cables are left",
                lambda: [line for line in host.links() if f"{self.prefix}-" in line], within=10,
            )
            shutil.rmtree(self.state.parent)

        def changed():
            return host.difference(self.before, host.residue(str(self.state)), self.prefix)

        eventually_nothing("the host is not as it was", changed, within=10)

    def keep_logs_of(self, role):
        kept = self.logs / "cluster" / role
        kept.mkdir(parents=True, exist_ok=True)
        for name in ["log", "libvirt.log"]:
            if (self.state_of(role) / name).exists():
                shutil.copy(self.state_of(role) / name, kept)


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=30)
