"""What arrives at the endpoint's door: whose it is, how much of it, and how slowly."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import signing
from cloud import AccessKey

DESCRIBE = {"Action": "DescribeInstances"}
MIB = 1024 * 1024
# The server's own deadlines are 5 s for a head and 10 s for a body.
DEADLINE_SECONDS = 20


@pytest.fixture(autouse=True)
def answers_afterwards(cloud):
    """Whatever was sent, the cloud goes on answering and has not grown."""
    before = resident_kib(cloud)
    yield
    assert cloud.call(DESCRIBE).status == 200
    assert resident_kib(cloud) - before < 64 * 1024


def resident_kib(cloud):
    status = (Path("/proc") / str(cloud.process) / "status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


# --- whose

def test_a_wrong_secret_and_an_unknown_key_are_the_same_to_a_stranger(cloud):
    for key in [AccessKey(cloud.root.id, "wrong"), AccessKey("AKIANOBODYNOBODYNOBO", "wrong")]:
        assert cloud.call(DESCRIBE, key).refusal == (
            401, "AuthFailure", "AWS was not able to validate the provided access credentials"
        )


def test_what_is_not_signed_is_not_answered(cloud):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = signing.form({"Version": signing.API_VERSION, **DESCRIBE})
    answer = signing.send(cloud.address, "/", body, headers)
    assert answer.refusal[:2] == (403, "MissingAuthenticationToken")


@pytest.mark.parametrize("minutes", [16, -16])
def test_a_request_from_another_time_is_refused(cloud, minutes):
    answer = cloud.call(DESCRIBE, age=timedelta(minutes=minutes))
    assert answer.refusal[:2] == (400, "RequestExpired")


@pytest.mark.parametrize("minutes", [14, -14])
def test_clocks_may_be_a_quarter_of_an_hour_apart(cloud, minutes):
    assert cloud.call(DESCRIBE, age=timedelta(minutes=minutes)).status == 200


def test_an_altered_parameter_breaks_the_signature(cloud):
    harmless = {"Action": "DescribeInstances", "Version": signing.API_VERSION}
    sent = signing.form({**harmless, "Action": "TerminateInstances"}).encode()
    assert cloud.call(harmless, sent=sent).refusal[:2] == (401, "AuthFailure")
    added = signing.form({**harmless, "InstanceId.1": "i-12345678"}).encode()
    assert cloud.call(harmless, sent=added).refusal[:2] == (401, "AuthFailure")


def test_an_altered_path_or_header_breaks_the_signature(cloud):
    body = signing.form({"Version": signing.API_VERSION, **DESCRIBE}).encode()
    host = "{}:{}".format(*cloud.address)
    headers = signing.signed_headers(cloud.root, host, body)
    assert signing.send(cloud.address, "/", body, headers).status == 200
    elsewhere = signing.send(cloud.address, "/services/compute", body, headers)
    assert elsewhere.refusal[:2] == (401, "AuthFailure")
    renamed = signing.send(cloud.address, "/", body, {**headers, "Host": "localhost:1"})
    assert renamed.refusal[:2] == (401, "AuthFailure")


def test_two_claims_of_who_is_asking_are_one_too_many(cloud):
    old = {"AWSAccessKeyId": cloud.root.id, "SignatureVersion": "2", "Signature": "x",
           "SignatureMethod": "HmacSHA256", "Timestamp": "2026-01-01T00:00:00Z"}
    assert cloud.call({**DESCRIBE, **old}).refusal[:2] == (400, "IncompleteSignature")


# --- how much

def test_a_body_over_a_mebibyte_is_refused_unread(cloud):
    body = signing.form({"Version": signing.API_VERSION, **DESCRIBE}) + "&Padding="
    fits = body + "x" * (MIB - len(body))
    assert cloud.call({}, body=fits.encode()).refusal[:2] == (400, "UnknownParameter")
    # The answer may come before the body is sent: then the connection is closed under the client.
    try:
        answer = cloud.call({}, body=(fits + "x").encode())
    except (BrokenPipeError, ConnectionResetError):
        return
    assert answer.refusal[:2] == (413, "RequestEntityTooLarge")


def test_a_body_announced_as_huge_is_refused(cloud):
    head = request_head(cloud, "Content-Length: 1099511627776")
    answer, _ = exchange(cloud, [head + b"A" * (2 * MIB)])
    assert b" 413 " in answer.split(b"\r\n")[0], answer[:200]


def test_ten_thousand_parameters_are_read_and_more_are_refused(cloud):
    ids = {f"InstanceId.{n}": f"i-{n:08x}" for n in range(1, 9_999)}
    begun = time.monotonic()
    many = cloud.call({**DESCRIBE, **ids})
    assert many.refusal[:2] == (400, "InvalidInstanceID.NotFound")
    too_many = cloud.call({**DESCRIBE, **ids, "InstanceId.9999": "i-00000000"})
    assert too_many.refusal[:2] == (400, "MalformedQueryString")
    assert time.monotonic() - begun < 5


def test_a_deep_name_and_a_far_position_cost_nothing(cloud):
    deep = cloud.call({**DESCRIBE, "Filter" + ".1" * 5_000: "x"})
    assert deep.refusal[:2] == (400, "MalformedQueryString")
    for position in ["4294967295", "18446744073709551616", "9" * 1_000]:
        far = cloud.call({**DESCRIBE, f"InstanceId.{position}": "i-12345678"})
        assert far.status == 400, far


def test_a_long_value_is_not_repeated_in_full(cloud):
    answer = cloud.call({**DESCRIBE, "InstanceId.1": "i-" + "f" * 500_000})
    assert answer.refusal[:2] == (400, "InvalidInstanceID.Malformed")
    assert len(answer.text) < 2_000


@pytest.mark.parametrize("body", [b"Action=%", b"Action=%ff", b"\xff\xfe", b"Action=%00"])
def test_what_is_no_form_is_refused(cloud, body):
    assert cloud.call({}, body=body).refusal[:2] == (400, "MalformedQueryString")


def test_other_methods_and_paths_are_refused(cloud):
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"]:
        assert signing.send(cloud.address, "/", b"", {}, method).status == 405
    assert signing.send(cloud.address, "/nowhere", b"", {}).refusal[:2] == (404, "NotFound")


# --- how slowly

def request_head(cloud, *lines):
    words = ["POST / HTTP/1.1", "Host: {}:{}".format(*cloud.address), *lines, "", ""]
    return "\r\n".join(words).encode()


def exchange(cloud, pieces, pause=0.0):
    """Sends piece by piece until the server has heard enough; what it said, and after how long."""
    begun, said = time.monotonic(), b""
    with socket.create_connection(cloud.address, timeout=DEADLINE_SECONDS) as connection:
        connection.settimeout(pause or DEADLINE_SECONDS)
        for piece in pieces:
            try:
                connection.sendall(piece)
                said += connection.recv(65536)
                break
            except socket.timeout:
                # Nothing yet: the pause between two pieces is over.
                assert time.monotonic() - begun < DEADLINE_SECONDS, "still listening"
            except (BrokenPipeError, ConnectionResetError):
                break
    return said, time.monotonic() - begun


def drip(data):
    return [data[n : n + 1] for n in range(len(data))]


def test_a_client_that_drips_is_hung_up_on_while_others_are_answered(cloud):
    head = request_head(cloud, "Content-Length: 100000")
    slow_head = drip(head * 10)
    slow_body = [head] + drip(b"A" * 100)
    with ThreadPoolExecutor(20) as clients:
        drips = [clients.submit(exchange, cloud, slow_head, 1.0) for _ in range(10)]
        drips += [clients.submit(exchange, cloud, slow_body, 1.0) for _ in range(10)]
        assert cloud.call(DESCRIBE).status == 200
        for one in drips:
            said, seconds = one.result()
            assert seconds < DEADLINE_SECONDS
            # Whoever got as far as a body is told why.
            assert said == b"" or b" 408 " in said.split(b"\r\n")[0], said[:200]
