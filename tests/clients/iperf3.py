"""How much TCP carries between two guests: Debian's iperf3, which this host has, run in both."""

import json
import logging
import subprocess
from dataclasses import dataclass

from eventually import eventually

log = logging.getLogger("clients")

PORT = 5201
TCP_IPERF3 = {
    "IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]
}
SECONDS = 3

# Where the guests keep it. They have no C library, and so no loader either.
PLACE = "/tmp/iperf3"
IPERF3 = f"LD_LIBRARY_PATH={PLACE} {PLACE}/ld-linux-x86-64.so.2 {PLACE}/iperf3"


@dataclass
class Carried:
    """What arrived of one connection, one way, and what had to be sent again for that."""

    received_bytes: int
    bits_per_second: float
    retransmits: int


def install(guest):
    shown = subprocess.run(
        ["ldd", "/usr/bin/iperf3"], check=True, capture_output=True, text=True, timeout=10
    ).stdout
    libraries = [word for word in shown.split() if word.startswith("/")]
    guest.take(["/usr/bin/iperf3", *libraries], PLACE)


def carried(client, server, address):
    """From the client to the server at this address, and the other way."""
    return one_way(client, server, address), one_way(client, server, address, "--reverse")


def one_way(client, server, address, *direction):
    server.run(f"{IPERF3} --server --one-off --daemon")
    eventually("iperf3 listens",
               lambda: server.succeeds(f"netstat -ltn | grep -q ':{PORT} '"), within=20)
    words = ["--client", address, "--time", str(SECONDS), "--json", *direction]
    end = json.loads(client.run(f"{IPERF3} {' '.join(words)}"))["end"]
    received = end["sum_received"]
    return Carried(received["bytes"], received["bits_per_second"], end["sum_sent"]["retransmits"])
