"""What the README tells people to type does what the README says."""

import re
import subprocess

import pytest

from cloud import REPOSITORY

README = REPOSITORY / "README.md"


def transcript(name):
    """The commands in the block that follows the comment with that name."""
    pattern = rf"<!-- transcript: {re.escape(name)} -->\s*```sh\n(.*?)^```"
    [commands] = re.findall(pattern, README.read_text(), re.DOTALL | re.MULTILINE)
    return commands


@pytest.mark.guests
def test_the_transcript_of_the_aws_cli_runs_as_written(cloud, tmp_path):
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", transcript("aws-cli")], cwd=tmp_path,
        env=cloud.client_environment(tmp_path), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # `uname -a`, said by the guest.
    assert re.search(r"^Linux ip-\S+ .*cloud-amd64.* x86_64", done.stdout, re.MULTILINE), done.stdout
    assert cloud.client().describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["demo"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )["Reservations"] == []
