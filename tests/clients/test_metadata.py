"""What a guest learns of itself at 169.254.169.254, and what becomes of its disk."""

import hashlib
import logging

import pytest

from eventually import eventually
from guest import BOOT_SECONDS, CLEAN, READY
from tenant import TCP_22, Tenant

pytestmark = pytest.mark.guests
log = logging.getLogger("clients")

USER_DATA = """#!/bin/sh
echo run >> /root/user-data-runs
id -u > /root/user-data-uid
"""
# Bytes that no text, and no line ending, survives being mistaken for.
BINARY = bytes(range(256)) + b"\r\n\0end"

# busybox's wget cannot PUT, nor show the status of a refusal.
REQUEST = """
request() {
    printf '%s HTTP/1.0\\r\\nHost: 169.254.169.254\\r\\n%s\\r\\nContent-Length: 0\\r\\n\\r\\n' "$1" "$2" |
        nc -w 5 169.254.169.254 80
}
body() { sed '1,/^\\r*$/d'; }
token() { request 'PUT /latest/api/token' 'X-aws-ec2-metadata-token-ttl-seconds: 60' | body; }
with_token() { request "GET /latest/$1" "X-aws-ec2-metadata-token: $(token)"; }
without_token() { request "GET /latest/$1" 'X-nothing: at all'; }
"""


@pytest.fixture(scope="module")
def pair(cloud, tmp_path_factory):
    """One instance as they are by default, and one that insists on tokens, booted together."""
    owner = Tenant(cloud, cloud.root, tmp_path_factory.mktemp("metadata"), "metadata")
    owner.authorize(TCP_22)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "one of two"}]}]
    [plain] = owner.launch(
        UserData=USER_DATA, TagSpecifications=tags,
        MetadataOptions={"HttpTokens": "optional", "InstanceMetadataTags": "enabled"},
    )
    [strict] = owner.launch(UserData=BINARY, MetadataOptions={"HttpTokens": "required"})
    owner.wait("running", plain, strict)
    yield owner, plain, strict
    owner.leave()


def fetched(guest, path):
    return guest.run(REQUEST + f"with_token {path} | body")


def status(guest, call):
    return guest.run(REQUEST + f"{call} | head -n 1 | cut -d' ' -f2")


def test_a_guest_is_told_what_describe_instances_tells_its_owner(pair):
    owner, plain, _ = pair
    guest, instance = owner.guest(plain).wait_for_ssh(), owner.describe(plain)
    public_key = guest.run("cat /root/.ssh/authorized_keys").split()[:2]
    assert fetched(guest, "meta-data/public-keys/0/openssh-key").split()[:2] == public_key
    for path, value in {
        "instance-id": plain,
        "ami-id": instance["ImageId"],
        "instance-type": instance["InstanceType"],
        "local-ipv4": instance["PrivateIpAddress"],
        "public-ipv4": instance["PublicIpAddress"],
        "placement/availability-zone": instance["Placement"]["AvailabilityZone"],
        "security-groups": owner.name,
        "public-keys/": f"0={owner.name}",
        "tags/instance/Name": "one of two",
    }.items():
        assert fetched(guest, f"meta-data/{path}") == value, path


def test_version_one_needs_no_token_unless_the_instance_insists(pair):
    owner, plain, strict = pair
    guest = owner.guest(plain).wait_for_ssh()
    assert guest.run("wget -q -O - http://169.254.169.254/latest/meta-data/instance-id") == plain
    assert guest.run("wget -q -O - http://169.254.169.254/2009-04-04/meta-data/instance-id") == plain

    guest = owner.guest(strict).wait_for_ssh()
    assert status(guest, "without_token meta-data/instance-id") == "401"
    assert not guest.succeeds("wget -q -O - http://169.254.169.254/latest/meta-data/instance-id")
    assert fetched(guest, "meta-data/instance-id") == strict
    assert status(guest, "request 'GET /latest/meta-data/' 'X-aws-ec2-metadata-token: made-up'") == "401"


def test_a_token_is_good_in_the_guest_that_asked_for_it_alone(pair):
    owner, plain, strict = pair
    one, other = owner.guest(plain).wait_for_ssh(), owner.guest(strict).wait_for_ssh()
    token = one.run(REQUEST + "token")
    use = f"request 'GET /latest/meta-data/instance-id' 'X-aws-ec2-metadata-token: {token}'"
    assert status(one, use) == "200"
    assert status(other, use) == "401"


def test_a_guest_cannot_ask_for_another_by_a_header(pair):
    owner, plain, strict = pair
    address = owner.describe(strict)["PrivateIpAddress"]
    guest = owner.guest(plain).wait_for_ssh()
    asked = guest.run(
        f"wget -q -O - --header 'X-Forwarded-For: {address}' "
        "http://169.254.169.254/latest/meta-data/instance-id"
    )
    assert asked == plain


def test_tags_are_told_only_where_that_was_asked_for(pair):
    owner, _, strict = pair
    guest = owner.guest(strict).wait_for_ssh()
    assert status(guest, "with_token meta-data/tags/instance/") == "404"


def test_user_data_arrive_byte_for_byte(pair):
    owner, plain, strict = pair
    for id, sent in [(plain, USER_DATA.encode()), (strict, BINARY)]:
        guest = owner.guest(id).wait_for_ssh()
        # Not `body`, whose sed is for text: the answer ends with the data.
        digest = f"with_token user-data | tail -c {len(sent)} | sha256sum | cut -d' ' -f1"
        assert guest.run(REQUEST + digest) == hashlib.sha256(sent).hexdigest()
        length = "with_token user-data | sed -n 's/^content-length: *//Ip' | tr -d '\\r'"
        assert guest.run(REQUEST + length) == str(len(sent))


def test_a_script_among_the_user_data_runs_once_in_an_instance_s_life(pair):
    owner, plain, _ = pair
    guest = owner.guest(plain).wait_for_ssh()
    runs = "cat /root/user-data-runs 2>/dev/null | wc -l"
    eventually("the script has run", lambda: guest.run(runs) == "1", BOOT_SECONDS)
    assert guest.run("cat /root/user-data-uid") == "0"

    before = guest.boot_id()
    owner.ec2.reboot_instances(InstanceIds=[plain])

    def booted_again():
        done = guest.ssh("cat /proc/sys/kernel/random/boot_id", 30)
        return done.returncode == 0 and before not in done.stdout

    eventually("the guest has booted again", booted_again, BOOT_SECONDS, every=0.5)
    # Were it to run again, it would have begun before the console says so.
    eventually("the guest is ready again", lambda: said(owner, plain).count(READY) == 2, BOOT_SECONDS)
    assert guest.run(runs) == "1"
    assert CLEAN in said(owner, plain).split(READY)[1]


def said(owner, id):
    return owner.ec2.get_console_output(InstanceId=id)["Output"]


def test_what_a_guest_writes_is_gone_with_it_and_never_reaches_the_image(cloud, pair):
    owner, _, strict = pair
    images = digests(cloud)
    assert images
    owner.guest(strict).wait_for_ssh().run("echo here > /root/marker; sync")
    owner.terminate(strict)
    [successor] = owner.launch()
    owner.wait("running", successor)
    assert owner.guest(successor).wait_for_ssh().run("ls -a /root").split() == [".", "..", ".ssh"]
    assert digests(cloud) == images


def digests(cloud):
    blobs = cloud.state / "cloud" / "blobs"
    return {
        path.relative_to(blobs): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in blobs.rglob("*") if path.is_file()
    }
