"""SOAP messages made by hand, and signed by xmlsec: what no client library would let us send.

A message is built, signed, and then anything may be done to it: the signature is real, what is done
to the rest is the test's.
"""

import base64
import http.client
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import xmlsec
from lxml import etree

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
DS = "http://www.w3.org/2000/09/xmldsig#"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
X509_TOKEN = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
)
BASE64 = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
)
ID = f"{{{WSU}}}Id"


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, as PEM."""

    key: str = field(repr=False)
    certificate: str

    @property
    def certificate_base64(self):
        return "".join(line for line in self.certificate.splitlines() if "-----" not in line)


@dataclass
class Reply:
    status: int
    document: etree._Element
    text: str = field(repr=False)

    def find(self, name):
        """The text of the first element of that name, whatever its namespace."""
        found = self.document.xpath("//*[local-name() = $name]", name=name)
        return found[0].text if found else None

    @property
    def fault(self):
        """`Client.<code of EC2>`, be it of SOAP 1.1 or 1.2."""
        if self.find("faultcode"):
            return self.find("faultcode")
        values = self.document.xpath("//*[local-name() = 'Value']/text()")
        side = {"Sender": "Client", "Receiver": "Server"}[values[0].rpartition(":")[2]]
        return ".".join([side, *(value.rpartition(":")[2] for value in values[1:])])

    @property
    def payload(self):
        [body] = self.document.xpath("/*/*[local-name() = 'Body']")
        [payload] = body
        return payload


def text(element):
    return etree.tostring(element)


def stamp(time):
    # To the microsecond: two messages that are the same to the last bit are one.
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Message:
    """An envelope with a Security header that is complete but for the signature."""

    def __init__(self, pair, payload, soap=SOAP_11, age=timedelta(0), lifetime=timedelta(minutes=5)):
        self.pair = pair
        self.soap = soap
        created = datetime.now(timezone.utc) - age
        self.envelope = etree.Element(f"{{{soap}}}Envelope", nsmap={"soap": soap})
        self.header = etree.SubElement(self.envelope, f"{{{soap}}}Header")
        self.security = etree.SubElement(
            self.header, f"{{{WSSE}}}Security", nsmap={"wsse": WSSE, "wsu": WSU}
        )
        self.token = etree.SubElement(
            self.security, f"{{{WSSE}}}BinarySecurityToken",
            {ID: "token", "ValueType": X509_TOKEN, "EncodingType": BASE64},
        )
        self.token.text = pair.certificate_base64
        self.timestamp = etree.SubElement(self.security, f"{{{WSU}}}Timestamp", {ID: "time"})
        etree.SubElement(self.timestamp, f"{{{WSU}}}Created").text = stamp(created)
        etree.SubElement(self.timestamp, f"{{{WSU}}}Expires").text = stamp(created + lifetime)
        self.body = etree.SubElement(self.envelope, f"{{{soap}}}Body", {ID: "body"})
        self.body.append(etree.fromstring(payload))

    def sign(
        self, *parts, method=xmlsec.Transform.RSA_SHA256, digest=xmlsec.Transform.SHA256,
        transform=xmlsec.Transform.EXCL_C14N,
    ):
        """Signs Body and Timestamp, or the parts given."""
        parts = parts or (self.body, self.timestamp)
        signature = xmlsec.template.create(self.envelope, transform, method, ns="ds")
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(self.pair.key.encode(), xmlsec.KeyFormat.PEM)
        for part in parts:
            reference = xmlsec.template.add_reference(signature, digest, uri=f"#{part.get(ID)}")
            xmlsec.template.add_transform(reference, transform)
            context.register_id(part, "Id", WSU)
        key_info = etree.SubElement(signature, f"{{{DS}}}KeyInfo")
        reference = etree.SubElement(key_info, f"{{{WSSE}}}SecurityTokenReference")
        etree.SubElement(
            reference, f"{{{WSSE}}}Reference",
            {"URI": f"#{self.token.get(ID)}", "ValueType": X509_TOKEN},
        )
        self.security.append(signature)
        context.sign(signature)
        self.signature = signature
        return self

    @property
    def bytes(self):
        return b'<?xml version="1.0" encoding="UTF-8"?>' + text(self.envelope)


def send(address, message, path="/services/Eucalyptus", action="", headers=None):
    """Posts a message, or bytes; the reply."""
    body = message if isinstance(message, bytes) else message.bytes
    if getattr(message, "soap", SOAP_11) == SOAP_11:
        kind = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
    else:
        kind = {"Content-Type": f'application/soap+xml; charset=utf-8; action="{action}"'}
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request("POST", path, body, {**kind, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        return Reply(answer.status, etree.fromstring(text), text.decode())
    finally:
        connection.close()


def ec2(action, version, content=""):
    return f'<{action} xmlns="http://ec2.amazonaws.com/doc/{version}/">{content}</{action}>'


def verify(document, certificate):
    """That Body and Timestamp of a reply are signed with the certificate's key."""
    [signature] = document.xpath("//*[local-name() = 'Signature']")
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(certificate.encode(), xmlsec.KeyFormat.CERT_PEM)
    signed = set()
    for reference in signature.iterfind(f"{{{DS}}}SignedInfo/{{{DS}}}Reference"):
        [part] = document.xpath("//*[@*[local-name() = 'Id'] = $id]", id=reference.get("URI")[1:])
        context.register_id(part, "Id", WSU)
        signed.add(etree.QName(part).localname)
    context.verify(signature)
    assert {"Body", "Timestamp"} <= signed, signed
