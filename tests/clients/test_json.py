"""EC2's actions as JSON: what another protocol takes is one module. See also the scenario."""

import json

import pytest
from botocore.exceptions import ClientError

import json_model
import signing
from test_errors import everything

MEDIA_TYPE = "application/x-amz-json-1.1"


@pytest.fixture(scope="module")
def ec2(cloud, tmp_path_factory):
    return json_model.client(tmp_path_factory.mktemp("json"), cloud)


def without_metadata(answer):
    return {k: v for k, v in answer.items() if k != "ResponseMetadata"}


DESCRIBES = [
    "account_attributes", "addresses", "availability_zones", "images", "instance_types",
    "instances", "key_pairs", "network_interfaces", "regions", "security_group_rules",
    "security_groups", "subnets", "tags", "vpcs",
]


def test_answers_are_those_of_query_to_the_last_member(cloud, tenant, ec2):
    tenant().launch()
    for what in DESCRIBES:
        by_query = getattr(cloud.client(), f"describe_{what}")()
        by_json = getattr(ec2, f"describe_{what}")()
        assert without_metadata(by_json) == without_metadata(by_query), what


def test_a_refusal_has_the_code_and_words_of_query_s(cloud, ec2):
    for refused in [cloud.client(), ec2]:
        with pytest.raises(ClientError) as error:
            refused.terminate_instances(InstanceIds=["i-0123456789abcdef0"])
        said = error.value.response["Error"]
        assert said["Code"] == "InvalidInstanceID.NotFound"
        assert "i-0123456789abcdef0" in said["Message"]


def test_a_dry_run_changes_nothing(cloud, ec2, name):
    with pytest.raises(ClientError) as error:
        ec2.create_key_pair(KeyName=name, DryRun=True)
    assert error.value.response["Error"]["Code"] == "DryRunOperation"
    assert name not in [key["KeyName"] for key in cloud.client().describe_key_pairs()["KeyPairs"]]


DESCRIBE = "AmazonEC2.DescribeInstances"


def call(cloud, body, key=None, target=DESCRIBE, signed=None, altered=None):
    """`signed` is what was signed in place of the target that is sent; `altered` likewise a body."""
    host = "{}:{}".format(*cloud.address)
    covered = [] if signed == "nothing" else [("x-amz-target", signed or target)]
    headers = signing.signed_headers(key or cloud.root, host, body, also=covered)
    headers.update({"Content-Type": MEDIA_TYPE, "X-Amz-Target": target})
    answer = signing.send(cloud.address, "/", altered or body, headers)
    return answer.status, json.loads(answer.text)


@pytest.mark.parametrize("body, code", [
    (b"[]", "MalformedQueryString"),
    (b"{", "MalformedQueryString"),
    (b'{"InstanceIds":' * 200, "MalformedQueryString"),
    (b'{"Instances": []}', "UnknownParameter"),
    (b'{"InstanceIds": "i-1"}', "InvalidParameterValue"),
    (b'{"InstanceIds": ["i-1"], "InstanceIds": []}', "MalformedQueryString"),
    # Passed over, these would turn "these" into "all".
    (b'{"Filters": [{}]}', "MissingParameter"),
    (b'{"InstanceIds": [null]}', "MissingParameter"),
    (b'{"InstanceIds": ["i-\\u0001"]}', "MalformedQueryString"),
])
def test_what_is_no_request_is_refused_by_its_name(cloud, tenant, body, code):
    one = tenant()
    before = everything(one)
    status, refusal = call(cloud, body)
    assert (status, refusal["__type"]) == (400, code), refusal
    assert everything(one) == before


def test_who_is_not_believed_by_query_is_not_by_json(cloud):
    wrong = type(cloud.root)(cloud.root.id, "wrong")
    assert call(cloud, b"{}", wrong)[1]["__type"] == "AuthFailure"
    assert call(cloud, b"{}", altered=b"{} ")[1]["__type"] == "AuthFailure"
    assert call(cloud, b"{}", target="AmazonEC2.NoSuchThing")[1]["__type"] == "InvalidAction"


def test_an_action_is_not_another_one_than_was_signed(cloud):
    other = "AmazonEC2.DescribeImages"
    assert call(cloud, b"{}", target=other, signed=DESCRIBE)[1]["__type"] == "AuthFailure"
    assert call(cloud, b"{}", target=other, signed="nothing")[1]["__type"] == "IncompleteSignature"
