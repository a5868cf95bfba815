"""A request as bytes, signed by hand: what no client library would let us send.

Signature Version 4 in the header. Everything that could be wrong can be made wrong.
"""

import hashlib
import hmac
import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

API_VERSION = "2016-11-15"


@dataclass
class Answer:
    status: int
    text: str
    headers: dict = field(repr=False)

    @property
    def document(self):
        return ElementTree.fromstring(self.text)

    def find(self, name):
        """The text of the first element of that name, whatever its namespace."""
        for element in self.document.iter():
            if element.tag.rpartition("}")[2] == name:
                return element.text
        return None

    @property
    def refusal(self):
        return self.status, self.find("Code"), self.find("Message")


def form(parameters):
    return urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)


def signed_headers(key, host, body, path="/", region="us-east-1", age=timedelta(0), also=()):
    """`also` are names, in lower case, and values of further headers, in their alphabetical order."""
    now = datetime.now(timezone.utc) - age
    time, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    scope = f"{day}/{region}/ec2/aws4_request"
    names = ";".join(["host", "x-amz-date", *(name for name, _ in also)])
    canonical = "\n".join([
        "POST", path, "", f"host:{host}", f"x-amz-date:{time}",
        *(f"{name}:{value}" for name, value in also), "", names,
        hashlib.sha256(body).hexdigest(),
    ])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashed])
    secret = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(secret, to_sign.encode(), hashlib.sha256).hexdigest()
    return {
        "Host": host,
        "X-Amz-Date": time,
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key.id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}",
    }


def call(address, key, parameters, *, body=None, sent=None, path="/", age=timedelta(0), headers=None):
    """Sends `parameters` (or `body`) signed; `sent` goes out in place of what was signed."""
    host = "{}:{}".format(*address)
    if body is None:
        body = form({"Version": API_VERSION, **parameters}).encode()
    signed = signed_headers(key, host, body, path, age=age)
    return send(address, path, body if sent is None else sent, {**signed, **(headers or {})})


def send(address, path, body, headers, method="POST"):
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(), dict(response.headers))
    finally:
        connection.close()
