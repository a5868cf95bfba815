"""A cloud of two groups and three nodes on four hosts, each a network namespace.

```
    tests ── cloud          the cloud's manager, and that of the group east
               │ LAN
        ┌──────┼──────┐
        e1     e2     nat   forwards for its inside, and lets in nothing but replies
                       │
                      west  the manager of the group west, and its node
```

Nobody but replies to west comes through the NAT, and nothing is forwarded to it.
"""

import json
import logging
import shutil
import subprocess

import host
from cloud import Cloud
from cluster import LINKS, ip
from eventually import eventually, eventually_nothing

log = logging.getLogger("clients")

NODES = {"e1": "east", "e2": "east", "west": "west"}


class Overlay(Cloud):
    def __init__(self, hypervisor):
        super().__init__(hypervisor)
        self.lan = f"10.216.{self.number}."
        self.hosts = ["cloud", "e1", "e2", "nat", "west"]
        self.addresses = {"cloud": f"{self.lan}1", "e1": f"{self.lan}11", "e2": f"{self.lan}12",
                          "nat": f"{self.lan}20"}

    def space(self, name):
        return f"{self.prefix}-{name}"

    def through(self, name):
        return ("ip", "netns", "exec", self.space(name))

    @property
    def address(self):
        return f"10.217.{self.number}.2", self.port

    @property
    def endpoint(self):
        return f"http://10.217.{self.number}.2:{self.port}"

    def state_of(self, name):
        return self.state if name == "cloud" else self.state.parent / name[0:2]

    def configuration(self):
        at = self.addresses["cloud"]
        return f"""
[topology]
roles = ["cloud", "group"]

[cloud]
links = "{at}:{LINKS['cloud']}"

[[group]]
name = "east"
public_addresses = "{self.network}0/25"
gateway = "{self.network}1"
links = "{at}:{LINKS['group']}"
placement = "spread"

[[group]]
name = "west"
public_addresses = "{self.network}128/25"
gateway = "{self.network}129"
elsewhere = true
"""

    def node_configuration(self, name):
        roles = '[topology]\nroles = ["group", "node"]\n' if name == "west" else ""
        named = f'name = "{name}"\n' if name == "west" else ""
        return f"""
{roles}
[[node]]
{named}hypervisor = "{self.hypervisor}"

[network]
prefix = "{self.prefix}"
metadata_port = {self.metadata_port}
"""

    def start(self):
        self.lay_cables()
        super().start()

    def lay_cables(self):
        for name in [*self.hosts, "lan"]:
            ip("netns", "add", self.space(name))
            ip("-n", self.space(name), "link", "set", "lo", "up")
        ip("-n", self.space("lan"), "link", "add", "lan", "type", "bridge")
        ip("-n", self.space("lan"), "link", "set", "lan", "up")
        for name, address in self.addresses.items():
            self.cable(("lan", f"to-{name}", None), (name, "lan", f"{address}/24"))
            ip("-n", self.space("lan"), "link", "set", f"to-{name}", "master", "lan")
        self.cable(("nat", "inside", "192.168.77.1/24"), ("west", "uplink", "192.168.77.2/24"))
        ip("-n", self.space("west"), "route", "add", "default", "via", "192.168.77.1")
        rules = """
table ip nat {
    chain out { type nat hook postrouting priority srcnat; oifname "lan" masquerade random; }
    chain through {
        type filter hook forward priority filter; policy drop;
        iifname "inside" accept
        ct state established,related accept
    }
    chain here { type filter hook input priority filter; policy drop; ct state established accept; }
}
"""
        run(*self.through("nat"), "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        run(*self.through("nat"), "nft", "-f", "-", input=rules)
        self.cable(("", f"{self.prefix}-in", f"10.217.{self.number}.1/30"),
                   ("cloud", "front", f"10.217.{self.number}.2/30"))
        self.nodes_before = {name: self.residue_of(name) for name in NODES}

    def cable(self, *ends):
        """Two ends: a host or none, a device, an address or none."""
        names = [f"{self.prefix}-x{number}" for number in range(2)]
        ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
        for temporary, (name, device, address) in zip(names, ends):
            inside = ("-n", self.space(name)) if name else ()
            if name:
                ip("link", "set", temporary, "netns", self.space(name))
            ip(*inside, "link", "set", temporary, "name", device)
            if address:
                ip(*inside, "addr", "add", address, "dev", device)
            ip(*inside, "link", "set", device, "up")

    def start_again(self):
        self.on("cloud", "up", "--listen", f"10.217.{self.number}.2:{self.port}",
                "--config", str(self.configuration_file), "--detach")
        for name, group in NODES.items():
            if not (self.state_of(name) / "membership").exists():
                self.join(name, group)
            file = self.state_of(name).with_suffix(".toml")
            file.write_text(self.node_configuration(name))
            self.on(name, "up", "--config", str(file), "--detach")
        eventually("every node has reported", self.all_have_reported, within=90)

    def join(self, name, group):
        role = "group" if name == "west" else "node"
        token = self.mallee(
            "token", "create", "--role", role, "--group", group, "--state", str(self.state),
        ).strip()
        self.on(name, "join", token, *(["--name", name] if role == "node" else []))

    def on(self, name, *arguments):
        """Runs the command line on one of the hosts."""
        return self.mallee(*arguments, "--state", str(self.state_of(name)), through=self.through(name))

    def all_have_reported(self):
        zones = self.client().describe_availability_zones(ZoneNames=["verbose"])
        states = [zone["State"] for zone in zones["AvailabilityZones"]]
        return sum("reported" in state for state in states) >= len(NODES)

    def switch_of(self, name):
        """What the switch of a host says of itself."""
        return json.loads(self.on(name, "overlay", "status", "--output", "json"))

    def host_of(self, instance):
        """The node that runs an instance."""
        for name in NODES:
            if any(port["instance"] == instance for port in self.switch_of(name)["switch"]["ports"]):
                return name
        raise AssertionError(f"no switch has a port of `{instance}`")

    def residue_of(self, name):
        run = lambda *command: host.output(*self.through(name), *command)
        links = [line.split(": ", 1)[1] for line in run("ip", "-o", "link").splitlines()]
        return links + run("nft", "-s", "list", "ruleset").splitlines()

    def tear_down(self):
        log.info("taking the overlay down")
        images = self.state / "images"
        if images.is_symlink():
            images.unlink()
        try:
            for name in ["cloud", *NODES]:
                self.keep_logs_of(name)
                self.on(name, "down", "--purge")
            for name, before in self.nodes_before.items():
                left = set(self.residue_of(name)) ^ set(before)
                assert not left, f"`{name}` is not as it was: {left}"
        finally:
            for name in [*self.hosts, "lan"]:
                ip("netns", "delete", self.space(name))
            eventually_nothing(
                "cables are left",
                lambda: [line for line in host.links() if f"{self.prefix}-" in line], within=10,
            )
            shutil.rmtree(self.state.parent)

        def changed():
            return host.difference(self.before, host.residue(str(self.state)), self.prefix)

        eventually_nothing("the host is not as it was", changed, within=10)

    def keep_logs_of(self, name):
        kept = self.logs / "overlay" / name
        kept.mkdir(parents=True, exist_ok=True)
        for file in ["log", "libvirt.log"]:
            if (self.state_of(name) / file).exists():
                shutil.copy(self.state_of(name) / file, kept)


def run(*command, input=None):
    subprocess.run(command, check=True, input=input, text=True, timeout=30)
