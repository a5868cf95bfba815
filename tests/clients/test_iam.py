"""IAM's own clients see to users' credentials."""

import json
import subprocess

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloud import REGION, AccessKey

CODES = {"AccessDenied": 403, "NoSuchEntity": 404, "LimitExceeded": 409, "UnmodifiableEntity": 400}


def iam(cloud, key=None, region=REGION, **more):
    key = key or cloud.root
    return boto3.client(
        "iam", endpoint_url=cloud.endpoint, region_name=region,
        aws_access_key_id=key.id, aws_secret_access_key=key.secret,
        config=Config(retries={"total_max_attempts": 1}, **more),
    )


@pytest.fixture
def user(cloud, name):
    """A customer of this test's own."""
    return name, cloud.create_account(name)


def refused(code, act, **more):
    with pytest.raises(ClientError) as raised:
        act(**more)
    response = raised.value.response
    assert response["Error"]["Code"] == code, response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == CODES.get(code, 400), response


def self_signed(tmp_path):
    """A certificate that OpenSSL made."""
    file = tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=own",
         "-keyout", tmp_path / "key.pem", "-out", file],
        check=True, capture_output=True, timeout=60,
    )
    return file


def test_a_user_replaces_its_access_key(cloud, user):
    name, old = user
    made = iam(cloud, old).create_access_key()["AccessKey"]
    assert (made["UserName"], made["Status"]) == (name, "Active")
    new = AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
    listed = iam(cloud, new).list_access_keys()
    assert not listed["IsTruncated"]
    assert {key["AccessKeyId"] for key in listed["AccessKeyMetadata"]} == {old.id, new.id}
    refused("LimitExceeded", iam(cloud, new).create_access_key)

    iam(cloud, new).update_access_key(AccessKeyId=old.id, Status="Inactive")
    with pytest.raises(ClientError) as raised:
        cloud.client(old).describe_regions()
    assert raised.value.response["Error"]["Code"] == "AuthFailure"
    iam(cloud, new).update_access_key(AccessKeyId=old.id, Status="Active")
    cloud.client(old).describe_regions()

    iam(cloud, new).delete_access_key(UserName=name, AccessKeyId=old.id)
    refused("NoSuchEntity", iam(cloud, new).delete_access_key, AccessKeyId=old.id)
    cloud.client(new).describe_regions()


def test_pages_are_followed_by_the_clients_own_paginator(cloud, user):
    _, key = user
    client = iam(cloud, key)
    client.create_access_key()
    pages = client.get_paginator("list_access_keys").paginate(PaginationConfig={"PageSize": 1})
    assert [len(page["AccessKeyMetadata"]) for page in pages] == [1, 1]


@pytest.mark.parametrize("region", [REGION, "eu-central-1", "aws-global"])
def test_iam_is_in_no_region_so_any_is_signed_for(cloud, region):
    user = iam(cloud, region=region).get_user()["User"]
    assert user["UserName"] == "root"
    assert user["Arn"] == f"arn:aws:iam::{cloud.account}:root"


@pytest.mark.parametrize("path", ["/", "/services/Eucalyptus", "/services/Euare"])
def test_iam_answers_where_ec2_does_and_at_a_path_of_its_own(cloud, path):
    client = boto3.client(
        "iam", endpoint_url=cloud.endpoint + path, region_name=REGION,
        aws_access_key_id=cloud.root.id, aws_secret_access_key=cloud.root.secret,
    )
    assert client.get_user()["User"]["UserName"] == "root"


def test_nobody_but_an_administrator_sees_to_others(cloud, user):
    name, key = user
    refused("AccessDenied", iam(cloud, key).list_access_keys, UserName="root")
    refused("AccessDenied", iam(cloud, key).get_user, UserName="nobody-at-all")
    refused("NoSuchEntity", iam(cloud).get_user, UserName="nobody-at-all")
    [listed] = iam(cloud).list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert listed["AccessKeyId"] == key.id


def test_the_last_administrator_is_not_locked_out(cloud):
    own = iam(cloud)
    refused("UnmodifiableEntity", own.delete_access_key, AccessKeyId=cloud.root.id)
    refused(
        "UnmodifiableEntity", own.update_access_key, AccessKeyId=cloud.root.id, Status="Inactive"
    )
    own.get_user()


def test_a_certificate_of_the_users_own_is_uploaded_listed_put_out_of_use_and_deleted(
    cloud, user, tmp_path
):
    _, key = user
    client = iam(cloud, key)
    text = self_signed(tmp_path).read_text()
    uploaded = client.upload_signing_certificate(CertificateBody=text)["Certificate"]
    assert uploaded["CertificateBody"].split() == text.split()
    id = uploaded["CertificateId"]
    with pytest.raises(client.exceptions.DuplicateCertificateException):
        client.upload_signing_certificate(CertificateBody=text)
    with pytest.raises(client.exceptions.MalformedCertificateException):
        client.upload_signing_certificate(CertificateBody=text.replace("MII", "mii"))
    client.update_signing_certificate(CertificateId=id, Status="Inactive")
    [listed] = client.list_signing_certificates()["Certificates"]
    assert (listed["CertificateId"], listed["Status"]) == (id, "Inactive")
    client.delete_signing_certificate(CertificateId=id)
    with pytest.raises(client.exceptions.NoSuchEntityException):
        client.delete_signing_certificate(CertificateId=id)
    assert client.list_signing_certificates()["Certificates"] == []


def test_the_command_line_of_aws_does_the_same(cloud, user, tmp_path):
    name, key = user
    home = tmp_path / "home"
    home.mkdir()
    environment = cloud.client_environment(home)
    environment |= {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}

    def aws(*words):
        done = subprocess.run(
            ["aws", "--output", "json", "iam", *words], env=environment,
            check=True, capture_output=True, text=True, timeout=60,
        )
        return json.loads(done.stdout or "{}")

    assert aws("get-user")["User"]["UserName"] == name
    body = f"file://{self_signed(tmp_path)}"
    certificate = aws("upload-signing-certificate", "--certificate-body", body)["Certificate"]
    assert certificate["Status"] == "Active"
    aws("delete-signing-certificate", "--certificate-id", certificate["CertificateId"])
    made = aws("create-access-key")["AccessKey"]
    aws("update-access-key", "--access-key-id", made["AccessKeyId"], "--status", "Inactive")
    listed = aws("list-access-keys")["AccessKeyMetadata"]
    statuses = {one["AccessKeyId"]: one["Status"] for one in listed}
    assert statuses == {key.id: "Active", made["AccessKeyId"]: "Inactive"}
    aws("delete-access-key", "--access-key-id", made["AccessKeyId"])
