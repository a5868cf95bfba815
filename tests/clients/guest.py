"""A guest seen from outside: what reaches it, and what it says when spoken to."""

import io
import logging
import os
import socket
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from eventually import eventually

# What the demo image prints on its console when people may come in.
READY = "mallee-demo: ready"
# … and when it has been shut down in good order.
CLEAN = "mallee-demo: the root file system is clean"
# Emulated guests on a busy machine of two cores take their time.
BOOT_SECONDS = 120

log = logging.getLogger("clients")


@dataclass
class Guest:
    """Somebody who holds the private key, in front of the guest's address."""

    address: str
    key_file: Path
    user: str = "root"
    # What a command is put behind to be run on the guest's host, if that is another.
    host: tuple = ()

    def run(self, script, within=60):
        """Runs a shell script in the guest; what it prints. A failing script is a failing test."""
        done = self.ssh(script, within)
        assert done.returncode == 0, f"{script!r} ended with {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    def succeeds(self, script, within=60):
        """Whether a command in the guest does. Not getting in is no answer."""
        done = self.ssh(script, within)
        assert done.returncode != 255, f"no way in to {self.address}: {done.stderr}"
        return done.returncode == 0

    def ssh(self, script, within):
        # Commands come through standard input, so that nothing is quoted twice.
        return subprocess.run(
            self.through_ssh("sh -s"),
            input=script, capture_output=True, text=True, timeout=within,
        )

    def through_ssh(self, command):
        return [*self.host, "ssh", "-i", str(self.key_file),
                "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
                "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                f"{self.user}@{self.address}", command]

    def take(self, files, directory, within=60):
        """Copies files of this host, whatever they link to, into a directory of the guest's."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", dereference=True) as archive:
            for file in files:
                archive.add(file, arcname=Path(file).name)
        done = subprocess.run(
            self.through_ssh(f"mkdir -p {directory} && tar -xzf - -C {directory}"),
            input=packed.getvalue(), capture_output=True, timeout=within,
        )
        assert done.returncode == 0, f"{files} were not taken: {done.stderr}"

    def wait_for_ssh(self, within=BOOT_SECONDS):
        def lets_us_in():
            return self.ssh("true", within=30).returncode == 0

        eventually(f"ssh lets us in at {self.address}", lets_us_in, within, every=0.5)
        return self

    def boot_id(self):
        return self.run("cat /proc/sys/kernel/random/boot_id")

    def answers_tcp(self, port=22, within=0.25):
        if self.host:
            script = f"exec 3<>/dev/tcp/{self.address}/{port}"
            there = [*self.host, "timeout", str(within), "bash", "-c", script]
            return subprocess.run(there, capture_output=True, timeout=10).returncode == 0
        try:
            with socket.create_connection((self.address, port), timeout=within):
                return True
        except OSError:
            return False

    def answers_ping(self, within=0.25):
        done = subprocess.run(
            [*self.host, "ping", "-n", "-q", "-c", "1", "-W", str(within), self.address],
            capture_output=True, timeout=10,
        )
        return done.returncode == 0


def write_key(directory, name, private_key):
    """Keeps a private key as ssh wants it: for our eyes only."""
    path = Path(directory) / f"{name}.pem"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(private_key.rstrip("\n") + "\n")
    return path
