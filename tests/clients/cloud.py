"""A cloud of the tests' own: started from the built binary, and taken down without a trace."""

import logging
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import boto3
from botocore.config import Config

import host
import signing
from envelopes import Pair
from eventually import eventually_nothing

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = REPOSITORY / "target"
REGION = "us-east-1"
# An instance type that no node has room for.
HUGE = "clients.huge"
# One for a whole distribution, with a disk larger than its image.
FULL = "clients.full"
FULL_DISK_GIB = 4

log = logging.getLogger("clients")


@dataclass(frozen=True)
class AccessKey:
    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class SigningCertificate:
    pair: Pair
    # What replies are signed with.
    of_cloud: str


def binary():
    """The one in MALLEE_BIN, or the newest build's."""
    named = os.environ.get("MALLEE_BIN")
    candidates = [Path(named)] if named else [TARGET / "release/mallee", TARGET / "debug/mallee"]
    for path in candidates:
        if path.is_file():
            return path.resolve()
    places = " nor ".join(map(str, candidates))
    raise FileNotFoundError(f"no mallee at {places}: build it, or name it in MALLEE_BIN")


class Cloud:
    def __init__(self, hypervisor):
        self.hypervisor = hypervisor
        self.binary = binary()
        self.number = free_number()
        self.prefix = f"mt{self.number}"
        self.network = f"10.214.{self.number}."
        self.port, self.metadata_port, self.metrics_port = free_ports(3)
        self.root = AccessKey("AKIAMALLEECLIENTSTST", secrets.token_urlsafe(30))
        self.account = "210987654321"
        # Short: the path of a guest's monitor socket begins with it.
        self.state = Path(tempfile.mkdtemp(prefix="mt", dir="/var/tmp")) / "s"
        self.before = host.residue(str(self.state))

    @property
    def simulated(self):
        return self.hypervisor == "simulated"

    @property
    def address(self):
        return "127.0.0.1", self.port

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        log.info("starting a cloud with `%s` guests in %s", self.hypervisor, self.state)
        self.configuration_file.write_text(self.configuration())
        self.start_again()
        if not self.simulated:
            self.build_image()
        log.info("a cloud of process %s answers at %s", self.process, self.endpoint)

    @property
    def configuration_file(self):
        return self.state.parent / "configuration.toml"

    def start_again(self):
        """Also after a kill: the state is what the process before left."""
        self.mallee(
            "up", "--state", str(self.state), "--listen", f"127.0.0.1:{self.port}",
            "--config", str(self.configuration_file), "--hypervisor", self.hypervisor, "--detach",
        )

    def configuration(self):
        """Names and addresses that no other cloud on this host has."""
        return f"""
[[group]]
name = "clients"
public_addresses = "{self.network}0/24"
gateway = "{self.network}1"

[[node]]
name = "clients"
group = "clients"
simulated = {{ start_delay_ms = [10, 50] }}

[network]
prefix = "{self.prefix}"
metadata_port = {self.metadata_port}

[metrics]
listen = "127.0.0.1:{self.metrics_port}"

[instance_types."{HUGE}"]
vcpus = 100000
memory_mib = 128

[instance_types."{FULL}"]
vcpus = 2
memory_mib = 1024
disk_gib = {FULL_DISK_GIB}
"""

    def build_image(self):
        log.info("building the demo image, unless it is there from an earlier run")
        # Built images, and the packages they are made from, outlive this cloud.
        cache = TARGET / "clients-images"
        cache.mkdir(parents=True, exist_ok=True)
        images = self.state / "images"
        if not images.exists():
            images.symlink_to(cache)
        self.mallee("image", "build", "--state", str(self.state), within=600)

    # What a command is put behind to be run where the guests are.
    beside_guests = ()

    def mallee(self, *arguments, within=120, through=()):
        """Runs the command line; what it prints."""
        # Into a file: a process left in the background would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [*through, self.binary, *arguments], env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=within,
            )
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, f"mallee {' '.join(arguments)}: {done.returncode}\n{text}"
        return text

    def environment(self):
        """The caller's, without its own clouds, and with the keys of this one."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MALLEE_"))}
        return {
            **kept,
            "MALLEE_ROOT_ACCESS_KEY_ID": self.root.id,
            "MALLEE_ROOT_SECRET_ACCESS_KEY": self.root.secret,
            "MALLEE_ROOT_ACCOUNT": self.account,
        }

    def client_environment(self, home):
        """What a shell has after `eval "$(mallee env)"`, with no configuration of the user's."""
        shell = subprocess.run(
            ["sh", "-euc", 'eval "$("$0" env --state "$1")"; exec env -0', self.binary, self.state],
            env={**self.environment(), "HOME": str(home)},
            check=True, capture_output=True, text=True, timeout=60,
        )
        return dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)

    @property
    def process(self):
        return int((self.state / "pid").read_text().split()[0])

    def client(self, key=None, region=REGION, path="", **config):
        key = key or self.root
        return boto3.client(
            "ec2", endpoint_url=self.endpoint + path, region_name=region,
            aws_access_key_id=key.id, aws_secret_access_key=key.secret,
            # What is wrong shall be seen the first time.
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60, **config),
        )

    def call(self, parameters, key=None, **more):
        """One request signed by hand; see `signing.call`."""
        return signing.call(self.address, key or self.root, parameters, **more)

    def create_account(self, name):
        answer = self.call({"Action": "CreateAccount", "AccountName": name})
        assert answer.status == 200, answer
        return AccessKey(answer.find("accessKeyId"), answer.find("secretAccessKey"))

    @cached_property
    def signing_certificate(self):
        """The administrator's."""
        return self.make_signing_certificate()

    def make_signing_certificate(self):
        """One more of the administrator's, as `mallee credentials` hands it out."""
        with tempfile.TemporaryDirectory() as directory:
            archive = Path(directory) / "credentials.zip"
            self.mallee("credentials", "--state", str(self.state), "--zip", str(archive))
            with zipfile.ZipFile(archive) as files:
                def read(begin, end):
                    [name] = [
                        name for name in files.namelist()
                        if Path(name).name.startswith(begin) and name.endswith(end)
                    ]
                    return files.read(name).decode()

                pair = Pair(read("euca2-", "-pk.pem"), read("euca2-", "-cert.pem"))
                return SigningCertificate(pair, read("cloud-", "cert.pem"))

    def demo_image(self):
        return self.image("mallee-demo")

    def image(self, name):
        filters = [
            {"Name": "name", "Values": [name]}, {"Name": "is-public", "Values": ["true"]},
            {"Name": "image-type", "Values": ["machine"]},
        ]
        [image] = self.client().describe_images(Filters=filters)["Images"]
        return image["ImageId"]

    def tear_down(self):
        """Takes everything down, and makes sure that the host is as it was before."""
        log.info("taking the cloud down")
        images = self.state / "images"
        if images.is_symlink():
            images.unlink()
        try:
            self.end()
            # A killed emulator is gone a moment after it was killed.
            eventually_nothing("the host is not as it was", self.changed, within=10)
        finally:
            shutil.rmtree(self.state.parent)

    def end(self):
        keep_logs(self.state, self.logs)
        self.mallee("down", "--purge", "--state", str(self.state))

    def changed(self):
        return host.difference(self.before, host.residue(str(self.state)), self.prefix)

    @property
    def logs(self):
        return TARGET / "clients-logs" / self.hypervisor


def keep_logs(state, kept):
    """Where those who ask why can still read them."""
    kept.mkdir(parents=True, exist_ok=True)
    for name in ["log", "libvirt.log"]:
        if (state / name).exists():
            shutil.copy(state / name, kept)
    log.info("its logs are in %s", kept)


def free_number():
    """Two digits that no link and no route of this host has to do with."""
    taken = host.output("ip", "-o", "link") + host.output("ip", "route")
    numbers = [n for n in range(10, 100) if f"mt{n}-" not in taken and f"10.214.{n}." not in taken]
    return random.choice(numbers)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
