"""A cloud of three hosts in a row: cloud, group, node.

Each reaches only its neighbour: there is no route from the node to the cloud. The clients are in
front of the cloud, and reach nothing else.
"""

from hosts import LINKS, Hosts


class Cluster(Hosts):
    running = ["cloud", "group", "node"]
    nodes = ["node"]

    def __init__(self, hypervisor):
        super().__init__(hypervisor)
        self.place = f"10.215.{self.number}."
        self.front = f"{self.place}2"

    @property
    def beside_guests(self):
        return self.through("node")

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

    def node_configuration(self, _):
        return f"""
[[node]]
hypervisor = "{self.hypervisor}"

[network]
prefix = "{self.prefix}"
metadata_port = {self.metadata_port}
"""

    def lay_cables(self):
        """Tests ── cloud ── group ── node, and nobody forwards."""
        for number, (left, right) in enumerate(zip(["", *self.running], self.running)):
            device = "below" if left else f"{self.prefix}-in"
            ends = [f"{self.place}{4 * number + last}/30" for last in (1, 2)]
            self.cable((left, device, ends[0]), (right, "above", ends[1]))

    def join(self, name):
        token = self.token(name, "clients")
        for _ in range(2):
            # Once more, as unattended installers do.
            self.on(name, "join", token, *(["--name", "clients"] if name == "node" else []))
