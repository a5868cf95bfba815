"""`mallee credentials`: from the zip archive alone, every shell and client reaches the cloud."""

import json
import os
import stat
import subprocess
import sys
import zipfile

import pytest

from test_iam import iam

SHELLS = ["dash", "bash", "zsh"]

BOTO3 = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
print(boto3.client("iam").get_user()["User"]["UserName"])
boto3.client("ec2").describe_instances()
"""


def archive(cloud, directory, *arguments, file="credentials.zip"):
    path = directory / file
    cloud.mallee("credentials", "--state", str(cloud.state), "--zip", str(path), *arguments)
    return path


def unpacked(path, directory):
    subprocess.run(["unzip", "-q", path], cwd=directory, check=True, timeout=60)
    [top] = (one for one in directory.iterdir() if one.is_dir())
    return top


@pytest.fixture
def user(cloud, name):
    cloud.create_account(name)
    return name


def sourced(shell, directory, words, script):
    """What a command says that a shell ran after it sourced the archive's file."""
    done = subprocess.run(
        [shell, "-c", f"set -eu; {words}; {script}"], cwd=directory,
        # No configuration of the user's, and nothing that is the archive's to set.
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_sourced_it_runs_stock_clients_as_the_user(cloud, user, shell, tmp_path):
    top = unpacked(archive(cloud, tmp_path, "--user", user), tmp_path)
    assert top.name == f"mallee-{user}"
    script = f'{sys.executable} -c "$SCRIPT"; aws --output json sts get-caller-identity'
    said = sourced(shell, top, f". ./eucarc; SCRIPT='{BOTO3}'", script)
    arn, name, rest = said.split("\n", 2)
    assert name == user and arn.endswith(f":user/{user}")
    assert json.loads(rest)["Arn"] == arn


@pytest.mark.parametrize("shell", SHELLS)
def test_the_directory_is_found_from_elsewhere_where_the_shell_tells_it(
    cloud, user, shell, tmp_path
):
    top = unpacked(archive(cloud, tmp_path, "--user", user), tmp_path)
    words = f". {top.name}/eucarc" if shell != "dash" else (
        f'EUCA_KEY_DIR="$PWD/{top.name}"; . {top.name}/eucarc'
    )
    show = 'for f in "$EC2_PRIVATE_KEY" "$EC2_CERT" "$EUCALYPTUS_CERT" "$AWS_CONFIG_FILE" ' \
        '"$AWS_SHARED_CREDENTIALS_FILE" "$AWS_CREDENTIAL_FILE"; do test -f "$f"; echo "$f"; done'
    said = sourced(shell, tmp_path, words, show).split()
    assert len(said) == 6 and all(file.startswith(f"{top}/") for file in said), said


def test_the_profile_alone_is_enough(cloud, user, tmp_path):
    top = unpacked(archive(cloud, tmp_path, "--user", user), tmp_path)
    environment = {
        "AWS_CONFIG_FILE": str(top / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(top / "aws-credentials"),
    }
    done = subprocess.run(
        [sys.executable, "-c", BOTO3], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout.split()[1] == user, done


def test_the_archive_holds_a_key_and_the_certificate_that_the_cloud_has_on_record(
    cloud, user, tmp_path
):
    path = archive(cloud, tmp_path, "--user", user)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as read:
        modes = {one.filename: one.external_attr >> 16 & 0o777 for one in read.infolist()}
    files = [
        "eucarc", "iamrc", "aws-config", "aws-credentials", "cloud-cert.pem",
        f"euca2-{user}-pk.pem", f"euca2-{user}-cert.pem",
    ]
    top = f"mallee-{user}/"
    assert modes == {top: 0o700, **{top + file: 0o600 for file in files}}
    place = unpacked(path, tmp_path)
    certificate = place / f"euca2-{user}-cert.pem"

    def openssl(*words):
        return subprocess.run(
            ["openssl", *words], check=True, capture_output=True, text=True, timeout=60
        ).stdout

    assert openssl("x509", "-in", certificate, "-noout", "-pubkey") == openssl(
        "pkey", "-in", place / f"euca2-{user}-pk.pem", "-pubout"
    )
    openssl("verify", "-CAfile", place / "cloud-cert.pem", certificate)
    [listed] = iam(cloud).list_signing_certificates(UserName=user)["Certificates"]
    assert listed["CertificateBody"] == certificate.read_text()


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(cloud, user, tmp_path):
    path = archive(cloud, tmp_path, "--user", user)
    first = path.read_bytes()
    with pytest.raises(AssertionError, match="--force"):
        archive(cloud, tmp_path, "--user", user)
    assert path.read_bytes() == first
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    # Nothing was made for it either.
    assert len(iam(cloud).list_signing_certificates(UserName=user)["Certificates"]) == 1
    [_, spare] = iam(cloud).list_access_keys(UserName=user)["AccessKeyMetadata"]
    iam(cloud).delete_access_key(UserName=user, AccessKeyId=spare["AccessKeyId"])
    archive(cloud, tmp_path, "--user", user, "--force")
    assert path.read_bytes() != first


def test_what_was_made_for_an_archive_that_cannot_be_written_is_taken_back(cloud, user, tmp_path):
    with pytest.raises(AssertionError, match="cannot write"):
        archive(cloud, tmp_path, "--user", user, file="nowhere/credentials.zip")
    assert iam(cloud).list_signing_certificates(UserName=user)["Certificates"] == []
    assert len(iam(cloud).list_access_keys(UserName=user)["AccessKeyMetadata"]) == 1


def test_a_user_that_has_enough_is_told_what_to_do(cloud, user, tmp_path):
    archive(cloud, tmp_path, "--user", user)
    with pytest.raises(AssertionError, match="(?s)LimitExceeded.*ListAccessKeys"):
        archive(cloud, tmp_path, "--user", user, file="second.zip")
    with pytest.raises(AssertionError, match="NoSuchEntity"):
        archive(cloud, tmp_path, "--user", "nobody-at-all", file="third.zip")
    assert [one.name for one in tmp_path.iterdir()] == ["credentials.zip"]


def test_an_administrators_own_archive_has_the_key_it_called_with(cloud, tmp_path):
    own = iam(cloud)

    def certificates():
        listed = own.list_signing_certificates()["Certificates"]
        return {one["CertificateId"] for one in listed}

    before = certificates()
    place = unpacked(archive(cloud, tmp_path), tmp_path)
    assert place.name == "mallee-root"
    text = (place / "aws-credentials").read_text()
    assert cloud.root.id in text and cloud.root.secret in text
    assert [key["AccessKeyId"] for key in own.list_access_keys()["AccessKeyMetadata"]] == [
        cloud.root.id
    ]
    [made] = certificates() - before
    own.delete_signing_certificate(CertificateId=made)
