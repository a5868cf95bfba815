"""SOAP as its clients speak it: signed by certificate, on the same paths as Query.

What a message may not be is told with real signatures: each is signed as it should be, and then
somebody does something to it, or it was signed as it should not be.
"""

import base64
import copy
import secrets
from datetime import timedelta

import pytest
import xmlsec
from lxml import etree

import envelopes
import signing
from envelopes import ID, SOAP_11, SOAP_12, WSSE, WSU, Message, ec2, send
from test_errors import everything
from test_iam import iam
from test_wsdl import schema

TODAY = "2016-11-15"
ASKED = ec2("DescribeRegions", TODAY)


@pytest.fixture
def pair(cloud):
    return cloud.signing_certificate.pair


@pytest.fixture
def another(cloud):
    """A certificate of the test's own, and the id that IAM has for it."""
    pair = cloud.make_signing_certificate().pair
    certificates = iam(cloud).list_signing_certificates()["Certificates"]
    [id] = [
        one["CertificateId"] for one in certificates
        if one["CertificateBody"].strip() == pair.certificate.strip()
    ]
    yield pair, id
    left = iam(cloud).list_signing_certificates()["Certificates"]
    if id in [one["CertificateId"] for one in left]:
        iam(cloud).delete_signing_certificate(CertificateId=id)


# --- what is taken

@pytest.mark.parametrize("soap", [SOAP_11, SOAP_12])
@pytest.mark.parametrize("path", ["/", "/services/Eucalyptus", "/services/compute/"])
def test_a_signed_message_is_answered_on_every_path_in_its_own_soap(cloud, pair, soap, path):
    reply = send(cloud.address, Message(pair, ASKED, soap=soap).sign(), path)
    assert reply.status == 200, reply.text
    assert etree.QName(reply.document) == etree.QName(soap, "Envelope")
    schema(cloud, TODAY).assertValid(reply.payload)


def test_replies_are_signed_by_the_cloud_and_faults_too_once_the_sender_is_known(cloud, pair):
    of_cloud = cloud.signing_certificate.of_cloud
    reply = send(cloud.address, Message(pair, ASKED).sign())
    envelopes.verify(reply.document, of_cloud)
    refused = send(cloud.address, Message(pair, ec2("NoSuchThing", TODAY)).sign())
    assert refused.fault == "Client.InvalidAction"
    envelopes.verify(refused.document, of_cloud)


def test_the_tools_of_february_2008_are_answered_without_a_request_id(cloud, pair):
    """Token first, then the time, then the signature; one namespace for all."""
    message = Message(pair, ec2("DescribeAvailabilityZones", "2008-02-01"))
    message.sign(method=xmlsec.Transform.RSA_SHA1, digest=xmlsec.Transform.SHA1)
    reply = send(cloud.address, message)
    assert reply.status == 200, reply.text
    assert reply.payload.tag == "{http://ec2.amazonaws.com/doc/2008-02-01/}DescribeAvailabilityZonesResponse"
    assert reply.find("requestId") is None
    schema(cloud, "2008-02-01").assertValid(reply.payload)

    december = send(cloud.address, Message(pair, ec2("DescribeRegions", "2008-12-01")).sign())
    assert december.find("requestId")
    schema(cloud, "2008-12-01").assertValid(december.payload)


TRANSFORM = xmlsec.Transform
ALGORITHMS = {
    "SHA-1": (TRANSFORM.RSA_SHA1, TRANSFORM.SHA1, TRANSFORM.EXCL_C14N),
    "SHA-384": (TRANSFORM.RSA_SHA384, TRANSFORM.SHA384, TRANSFORM.EXCL_C14N),
    "SHA-512": (TRANSFORM.RSA_SHA512, TRANSFORM.SHA512, TRANSFORM.EXCL_C14N),
    "inclusive": (TRANSFORM.RSA_SHA256, TRANSFORM.SHA256, TRANSFORM.C14N),
    "with comments": (TRANSFORM.RSA_SHA256, TRANSFORM.SHA256, TRANSFORM.EXCL_C14N_COMMENTS),
}


@pytest.mark.parametrize("algorithms", ALGORITHMS.values(), ids=ALGORITHMS)
def test_signatures_of_every_age_are_believed(cloud, pair, algorithms):
    method, digest, transform = algorithms
    message = Message(pair, ASKED).sign(method=method, digest=digest, transform=transform)
    assert send(cloud.address, message).status == 200


def test_a_refusal_of_ec2_is_a_fault_with_its_code_and_words(cloud, pair):
    asked = ec2(
        "DescribeInstances", TODAY,
        "<instancesSet><item><instanceId>i-xyz</instanceId></item></instancesSet>",
    )
    for soap in [SOAP_11, SOAP_12]:
        reply = send(cloud.address, Message(pair, asked, soap=soap).sign())
        assert (reply.status, reply.fault) == (500, "Client.InvalidInstanceID.Malformed")
        assert 'Invalid id: "i-xyz"' in reply.text
        assert reply.find("RequestId")


def test_a_dry_run_changes_nothing(cloud, pair, name):
    asked = ec2("CreateKeyPair", TODAY, f"<keyName>{name}</keyName><dryRun>true</dryRun>")
    assert send(cloud.address, Message(pair, asked).sign()).fault == "Client.DryRunOperation"
    assert name not in [key["KeyName"] for key in cloud.client().describe_key_pairs()["KeyPairs"]]


# --- what is not

CHANGING = ec2("CreateKeyPair", TODAY, "<keyName>never</keyName>")
OTHER = ec2("CreateKeyPair", TODAY, "<keyName>other</keyName>")


def unsigned(pair):
    return Message(pair, CHANGING)


def without_security(pair):
    message = Message(pair, CHANGING)
    message.header.remove(message.security)
    return message


def body_unsigned(pair):
    message = Message(pair, CHANGING)
    return message.sign(message.timestamp)


def timestamp_unsigned(pair):
    message = Message(pair, CHANGING)
    return message.sign(message.body)


def timestamp_missing(pair):
    message = Message(pair, CHANGING)
    message.security.remove(message.timestamp)
    return message.sign(message.body)


def expired(pair):
    return Message(pair, CHANGING, age=timedelta(minutes=20)).sign()


def from_the_future(pair):
    return Message(pair, CHANGING, age=timedelta(minutes=-20)).sign()


def altered(pair):
    message = Message(pair, CHANGING).sign()
    message.body[0][0].text = "other"
    return message


def prolonged(pair):
    message = Message(pair, CHANGING, age=timedelta(minutes=12)).sign()
    message.timestamp[1].text = "2099-01-01T00:00:00Z"
    return message


def wrapped_in(place):
    """The signed Body stands elsewhere; where a Body is looked for, there is another one."""
    def wrap(pair):
        message = Message(pair, CHANGING).sign()
        signed = copy.deepcopy(message.body)
        wrapper = etree.SubElement(place(message), "{urn:of-an-attacker}Wrapper")
        wrapper.append(signed)
        message.body[:] = [etree.fromstring(OTHER)]
        del message.body.attrib[ID]
        return message

    return wrap


def wrapped_with_the_same_id(pair):
    message = wrapped_in(lambda message: message.header)(pair)
    message.body.set(ID, "body")
    return message


def wrapped_with_another_kind_of_id(pair):
    message = wrapped_in(lambda message: message.header)(pair)
    message.body.set("Id", "body")
    return message


def two_bodies(first):
    def double(pair):
        message = Message(pair, CHANGING).sign()
        other = copy.deepcopy(message.body)
        other.set(ID, "another")
        other[:] = [etree.fromstring(OTHER)]
        (message.body.addprevious if first else message.body.addnext)(other)
        return message

    return double


def two_payloads(pair):
    message = Message(pair, CHANGING)
    message.body.append(etree.fromstring(OTHER))
    return message.sign()


def timestamp_moved(pair):
    message = Message(pair, CHANGING, age=timedelta(minutes=20)).sign()
    fresh = copy.deepcopy(message.timestamp)
    fresh.set(ID, "fresh")
    for element, time in zip(fresh, [timedelta(0), timedelta(minutes=5)]):
        element.text = envelopes.stamp(envelopes.datetime.now(envelopes.timezone.utc) + time)
    message.timestamp.addprevious(fresh)
    etree.SubElement(message.header, "{urn:of-an-attacker}Wrapper").append(message.timestamp)
    return message


def duplicate_ids(pair):
    message = Message(pair, CHANGING).sign()
    etree.SubElement(message.header, "{urn:of-an-attacker}Another").set(ID, "body")
    return message


def two_signatures(pair):
    message = Message(pair, CHANGING).sign()
    message.security.append(copy.deepcopy(message.signature))
    return message


def reference_to_nothing(pair):
    """The whole document, but what the signature is in."""
    message = Message(pair, CHANGING)
    template = xmlsec.template.create(
        message.envelope, xmlsec.Transform.EXCL_C14N, xmlsec.Transform.RSA_SHA256, ns="ds"
    )
    reference = xmlsec.template.add_reference(template, xmlsec.Transform.SHA256, uri="")
    xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
    sign_template(message, template)
    return message


def naming(role, algorithm):
    """Well signed, and then said to have been signed in another way."""
    def make(pair):
        message = Message(pair, CHANGING).sign()
        for element in message.signature.iter(f"{{{envelopes.DS}}}{role}"):
            element.set("Algorithm", algorithm)
        return message

    return make


def sign_template(message, template):
    key_info = etree.SubElement(template, f"{{{envelopes.DS}}}KeyInfo")
    reference = etree.SubElement(key_info, f"{{{WSSE}}}SecurityTokenReference")
    etree.SubElement(
        reference, f"{{{WSSE}}}Reference", {"URI": "#token", "ValueType": envelopes.X509_TOKEN}
    )
    message.security.append(template)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(message.pair.key.encode(), xmlsec.KeyFormat.PEM)
    context.sign(template)


def with_document_type(declaration):
    def make(pair):
        signed = Message(pair, CHANGING).sign().bytes
        head, _, rest = signed.partition(b"?>")
        return head + b"?>" + declaration.encode() + rest

    return make


LAUGHS = "<!DOCTYPE l [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n + 1} '{f'&a{n};' * 10}'>" for n in range(9)
) + "]>"


def ten_megabytes_of_header(pair):
    message = Message(pair, CHANGING).sign()
    etree.SubElement(message.header, "{urn:of-an-attacker}Fill").text = "x" * 10_000_000
    return message


def deeply_nested(pair):
    message = Message(pair, CHANGING).sign()
    place = message.header
    for _ in range(10_000):
        place = etree.SubElement(place, "deep")
    return message


MD5 = "http://www.w3.org/2001/04/xmldsig-more#md5"
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"

HOSTILE = {
    "without security": (without_security, "InvalidSecurity"),
    "unsigned": (unsigned, "InvalidSecurity"),
    "Body unsigned": (body_unsigned, "InvalidSecurity"),
    "Timestamp unsigned": (timestamp_unsigned, "InvalidSecurity"),
    "Timestamp missing": (timestamp_missing, "InvalidSecurity"),
    "expired": (expired, "InvalidSecurity.RequestHasExpired"),
    "from the future": (from_the_future, "InvalidSecurity.RequestHasExpired"),
    "altered after signing": (altered, "AuthFailure"),
    "prolonged after signing": (prolonged, "AuthFailure"),
    "Body wrapped in the header": (wrapped_in(lambda m: m.header), "InvalidSOAPRequest"),
    "Body wrapped in Security": (wrapped_in(lambda m: m.security), "InvalidSOAPRequest"),
    "Body wrapped in the signature": (wrapped_in(lambda m: m.signature), "InvalidSOAPRequest"),
    "Body replaced": (wrapped_in(lambda m: m.body), "InvalidSecurity"),
    "Body wrapped, the other of the same id": (wrapped_with_the_same_id, "InvalidSOAPRequest"),
    "Body wrapped, the other of another kind of id": (wrapped_with_another_kind_of_id, "InvalidSOAPRequest"),
    "two Bodies, the signed one last": (two_bodies(first=True), "InvalidSOAPRequest"),
    "two Bodies, the signed one first": (two_bodies(first=False), "InvalidSOAPRequest"),
    "two payloads": (two_payloads, "InvalidSOAPRequest"),
    "Timestamp wrapped, a fresh one in its place": (timestamp_moved, "InvalidSecurity"),
    "duplicate ids": (duplicate_ids, "InvalidSecurity"),
    "two signatures": (two_signatures, "InvalidSecurity"),
    "a reference to the whole document": (reference_to_nothing, "InvalidSecurity"),
    "MD5": (naming("DigestMethod", MD5), "InvalidSecurity"),
    "XSLT": (naming("Transform", XSLT), "InvalidSecurity"),
    "XPath": (naming("Transform", XPATH), "InvalidSecurity"),
    "an external entity": (
        with_document_type("<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"),
        "InvalidSOAPRequest"),
    "billion laughs": (with_document_type(LAUGHS), "InvalidSOAPRequest"),
    "10 MB of header": (ten_megabytes_of_header, "RequestEntityTooLarge"),
    "10,000 elements deep": (deeply_nested, "InvalidSOAPRequest"),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_message_is_refused_and_changes_nothing(cloud, tenant, pair, hostile):
    make, code = hostile
    one = tenant()
    before = everything(one)
    reply = send(cloud.address, make(pair))
    assert reply.status == 500, reply.text
    assert reply.fault == f"Client.{code}", reply.text
    assert everything(one) == before


def test_a_message_is_good_once(cloud, pair):
    message = Message(pair, ASKED).sign()
    assert send(cloud.address, message).status == 200
    assert send(cloud.address, message).fault == "Client.InvalidSecurity"


def test_a_certificate_is_believed_while_it_is_on_record_and_active(cloud, another):
    pair, id = another

    def fault():
        reply = send(cloud.address, Message(pair, ASKED).sign())
        return None if reply.status == 200 else reply.fault

    assert fault() is None
    iam(cloud).update_signing_certificate(CertificateId=id, Status="Inactive")
    assert fault() == "Client.AuthFailure"
    iam(cloud).update_signing_certificate(CertificateId=id, Status="Active")
    assert fault() is None
    # From then on it is a stranger's.
    iam(cloud).delete_signing_certificate(CertificateId=id)
    assert fault() == "Client.AuthFailure"


def test_query_s_proof_is_worth_nothing_on_a_message(cloud, pair):
    host = "{}:{}".format(*cloud.address)
    for message in [Message(pair, ASKED), Message(pair, ASKED).sign()]:
        path = "/services/Eucalyptus"
        headers = signing.signed_headers(cloud.root, host, message.bytes, path)
        del headers["Content-Type"]
        reply = send(cloud.address, message, path, headers=headers)
        assert (reply.status, reply.fault) == (500, "Client.InvalidSecurity")


def test_a_certificate_is_worth_nothing_on_a_query(cloud, pair):
    parameters = {
        "Action": "DescribeRegions", "Version": TODAY, "SignatureVersion": "1",
        "X509Certificate": pair.certificate_base64,
        "Signature": base64.b64encode(secrets.token_bytes(256)).decode(),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = signing.send(cloud.address, "/", signing.form(parameters), headers)
    assert answer.status in (400, 401, 403), answer
    assert answer.find("Code") in ("AuthFailure", "IncompleteSignature", "MissingAuthenticationToken")
