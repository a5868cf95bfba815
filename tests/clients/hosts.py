"""A cloud on hosts of its own, each a network namespace, with cables between them.

Clients stay in the tests' own, from where one cable leads to the cloud's host. Managers join by
tokens, as on real hosts.
"""

import subprocess

import host
from cloud import Cloud, keep_logs
from eventually import eventually, eventually_nothing

# Where managers meet those below them.
LINKS = {"cloud": 8774, "group": 8776}


class Hosts(Cloud):
    # Hosts that run Mallee, the cloud's first; those among them with guests; those without Mallee.
    running = ["cloud"]
    nodes = []
    others = []

    # The cloud's host, as clients find it.
    front = None

    @property
    def address(self):
        return self.front, self.port

    @property
    def endpoint(self):
        return f"http://{self.front}:{self.port}"

    def state_of(self, name):
        return self.state if name == "cloud" else self.state.parent / name[:2]

    def space(self, name):
        return f"{self.prefix}-{name}"

    def through(self, name):
        """What a command is put behind to be run on a host."""
        return ("ip", "netns", "exec", self.space(name))

    def on(self, name, *arguments):
        """Runs the command line on a host."""
        return self.mallee(*arguments, "--state", str(self.state_of(name)), through=self.through(name))

    def start(self):
        for name in [*self.running, *self.others]:
            ip("netns", "add", self.space(name))
            ip("-n", self.space(name), "link", "set", "lo", "up")
        self.lay_cables()
        # The kernel takes a moment to say that both ends of a cable are up.
        eventually_nothing("ends of cables are down", self.nodes_without_carrier, within=10)
        self.nodes_before = {name: self.residue_of(name) for name in self.nodes}
        super().start()

    def nodes_without_carrier(self):
        return [name for name in self.nodes if "NO-CARRIER" in "".join(self.residue_of(name))]

    def cable(self, *ends):
        """Two ends: a host or the tests' own, a device, an address or none."""
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
        self.on("cloud", "up", "--listen", f"{self.front}:{self.port}",
                "--config", str(self.configuration_file), "--detach")
        for name in self.running[1:]:
            if not (self.state_of(name) / "membership").exists():
                self.join(name)
            words = []
            if name in self.nodes:
                file = self.state_of(name).with_suffix(".toml")
                file.write_text(self.node_configuration(name))
                words = ["--config", str(file)]
            self.on(name, "up", *words, "--detach")
        eventually("every node has reported", self.all_have_reported, within=90)

    def token(self, role, group):
        words = ["--role", role, "--group", group, "--state", str(self.state)]
        return self.mallee("token", "create", *words).strip()

    def all_have_reported(self):
        zones = self.client().describe_availability_zones(ZoneNames=["verbose"])
        states = [zone["State"] for zone in zones["AvailabilityZones"]]
        return sum("reported" in state for state in states) >= len(self.nodes)

    def residue_of(self, name):
        """What a node's guests could leave behind on its host."""
        run = lambda *command: host.output(*self.through(name), *command)
        links = [line.split(": ", 1)[1] for line in run("ip", "-o", "link").splitlines()]
        return links + run("nft", "-s", "list", "ruleset").splitlines()

    def end(self):
        try:
            for name in self.running:
                keep_logs(self.state_of(name), self.logs / type(self).__name__.lower() / name)
                self.on(name, "down", "--purge")
            for name, before in self.nodes_before.items():
                left = set(self.residue_of(name)) ^ set(before)
                assert not left, f"`{name}` is not as it was: {left}"
        finally:
            for name in [*self.running, *self.others]:
                ip("netns", "delete", self.space(name))
            # The tests' own end goes with the other, a moment later.
            eventually_nothing(
                "cables are left",
                lambda: [line for line in host.links() if f"{self.prefix}-" in line], within=10,
            )


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=30)
