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
import subprocess

from hosts import LINKS, Hosts, ip

# The groups of the nodes.
NODES = {"e1": "east", "e2": "east", "west": "west"}


class Overlay(Hosts):
    running = ["cloud", *NODES]
    nodes = [*NODES]
    others = ["nat", "lan"]

    def __init__(self, hypervisor):
        super().__init__(hypervisor)
        self.front = f"10.217.{self.number}.2"
        self.lan = f"10.216.{self.number}."
        self.addresses = {"cloud": f"{self.lan}1", "e1": f"{self.lan}11", "e2": f"{self.lan}12",
                          "nat": f"{self.lan}20"}

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

    def lay_cables(self):
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
                   ("cloud", "front", f"{self.front}/30"))

    def join(self, name):
        role = "group" if name == "west" else "node"
        token = self.token(role, NODES[name])
        self.on(name, "join", token, *(["--name", name] if role == "node" else []))

    def switch_of(self, name):
        """What the switch of a host says of itself."""
        return json.loads(self.on(name, "overlay", "status", "--output", "json"))

    def host_of(self, instance):
        """The node that runs an instance."""
        for name in NODES:
            if any(port["instance"] == instance for port in self.switch_of(name)["switch"]["ports"]):
                return name
        raise AssertionError(f"no switch has a port of `{instance}`")


def run(*command, input=None):
    subprocess.run(command, check=True, input=input, text=True, timeout=30)
