"""What a cloud could leave behind on its host, as lines that can be compared.

Everything is compared, whatever its name: what a cloud leaves behind need not bear its name. Only
what belongs to another cloud on the same host is left out, for that comes and goes as it likes.
"""

import os
import re
import subprocess
from pathlib import Path

# Where an emulator, a libvirt or a careless cloud would leave files.
PLACES = [
    "/etc/libvirt", "/etc/nftables.conf", "/etc/sysctl.d", "/run/libvirt", "/run/mallee",
    "/run/netns", "/var/cache/libvirt", "/var/lib/libvirt", "/var/log/libvirt",
]


def residue(state):
    """Everything that a cloud with this state directory may change, and must put back."""
    return links() + rules() + switches() + files(PLACES) + processes(state) + files([state])


def links():
    # Neither indices nor counters: they tell what was there once.
    shown = output("ip", "-o", "link")
    return ["link " + line.split(": ", 1)[1] for line in shown.splitlines()]


def rules():
    """One line for a whole table, and without what other people's rules have counted."""
    tables = output("nft", "-s", "list", "ruleset").split("\ntable ")
    return [f"rules of {table.removeprefix('table ').strip()}" for table in tables if table.strip()]


def switches():
    """The kernel's switches for every network device, and for all of them."""
    found = ["/proc/sys/net/ipv4/ip_forward"]
    for family in ["ipv4", "ipv6"]:
        for directory, _, names in os.walk(f"/proc/sys/net/{family}/conf"):
            found += [f"{directory}/{name}" for name in names]
    lines = []
    for path in sorted(found):
        try:
            lines.append(f"switch {path} {Path(path).read_text().strip()}")
        except OSError:
            # Some cannot be read by anyone; then they are not ours to have set.
            lines.append(f"switch {path}")
    return lines


def files(places):
    found = []
    for place in places:
        if os.path.isfile(place):
            found.append(place)
        for directory, below, names in os.walk(place):
            found += [f"{directory}/{name}" for name in below + names]
    return sorted("file " + path for path in found)


def processes(text):
    """The processes with the text in their command line, apart from whoever asks."""
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in words:
            found.append(f"process {directory.name} {words}")
    return found


def difference(before, after, prefix):
    """What was added and what was taken away, but for what is another cloud's."""
    shown = set(before) ^ set(after)
    others = {name for line in shown for name in BRIDGE.findall(line)} - {prefix}
    signs = [re.compile(rf"\b{name}(-|\b \{{)") for name in sorted(others)]
    return sorted(
        ("+ " if line in after else "- ") + line
        for line in shown if not any(sign.search(line) for sign in signs)
    )


# How a cloud's public bridge is called, wherever it is mentioned.
BRIDGE = re.compile(r"\b([a-z][a-z0-9]*)-pub\b")


def output(*command):
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=30
    ).stdout
