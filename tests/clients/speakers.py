"""The same wishes in the words of different clients.

A speaker turns each step of the scenario into what a user of that client would write, with the
client's own waiters where it has them. None of them knows that it is not talking to Amazon.
"""

import base64
import json
import subprocess
from abc import ABC, abstractmethod
from datetime import datetime, timedelta, timezone

import xmlsec
import zeep
from libcloud.compute.base import NodeImage, NodeSize
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider
from zeep.wsse.signature import BinarySignature
from zeep.wsse.utils import WSU, get_security_header

import envelopes
import json_model
from eventually import eventually

WAIT_SECONDS = 180


class Speaker(ABC):
    """What the scenario asks of a client."""

    @abstractmethod
    def create_key(self, name):
        """Makes a key pair; its private half."""

    @abstractmethod
    def delete_key(self, name): ...

    @abstractmethod
    def create_group(self, name): ...

    @abstractmethod
    def delete_group(self, name): ...

    @abstractmethod
    def authorize(self, group, protocol, first_port, last_port): ...

    @abstractmethod
    def run(self, count, image, instance_type, key, group):
        """Launches; the ids of the instances."""

    @abstractmethod
    def wait(self, ids, state):
        """Returns when all are in the state, as the client itself would wait."""

    @abstractmethod
    def states(self, ids): ...

    @abstractmethod
    def addresses(self, ids):
        """Public and private address of each."""

    @abstractmethod
    def console(self, id): ...

    @abstractmethod
    def tag(self, id, key, value): ...

    @abstractmethod
    def tags(self, id): ...

    @abstractmethod
    def reboot(self, ids): ...

    @abstractmethod
    def stop(self, ids): ...

    @abstractmethod
    def start(self, ids): ...

    @abstractmethod
    def terminate(self, ids): ...


class Boto3(Speaker):
    def __init__(self, ec2):
        self.ec2 = ec2

    def create_key(self, name):
        return self.ec2.create_key_pair(KeyName=name)["KeyMaterial"]

    def delete_key(self, name):
        self.ec2.delete_key_pair(KeyName=name)

    def create_group(self, name):
        self.ec2.create_security_group(GroupName=name, Description="of the scenario")

    def delete_group(self, name):
        self.ec2.delete_security_group(GroupName=name)

    def authorize(self, group, protocol, first_port, last_port):
        self.ec2.authorize_security_group_ingress(
            GroupName=group,
            IpPermissions=[{
                "IpProtocol": protocol, "FromPort": first_port, "ToPort": last_port,
                "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            }],
        )

    def run(self, count, image, instance_type, key, group):
        reservation = self.ec2.run_instances(
            MinCount=count, MaxCount=count, ImageId=image, InstanceType=instance_type, KeyName=key,
            SecurityGroups=[group],
        )
        return [instance["InstanceId"] for instance in reservation["Instances"]]

    def wait(self, ids, state):
        waiter = self.ec2.get_waiter(f"instance_{state}")
        waiter.wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": WAIT_SECONDS})

    def instances(self, ids):
        answer = self.ec2.describe_instances(InstanceIds=ids)
        found = {i["InstanceId"]: i for r in answer["Reservations"] for i in r["Instances"]}
        return [found[id] for id in ids]

    def states(self, ids):
        return [instance["State"]["Name"] for instance in self.instances(ids)]

    def addresses(self, ids):
        return [(i["PublicIpAddress"], i["PrivateIpAddress"]) for i in self.instances(ids)]

    def console(self, id):
        return self.ec2.get_console_output(InstanceId=id).get("Output", "")

    def tag(self, id, key, value):
        self.ec2.create_tags(Resources=[id], Tags=[{"Key": key, "Value": value}])

    def tags(self, id):
        answer = self.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])
        return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}

    def reboot(self, ids):
        self.ec2.reboot_instances(InstanceIds=ids)

    def stop(self, ids):
        self.ec2.stop_instances(InstanceIds=ids)

    def start(self, ids):
        self.ec2.start_instances(InstanceIds=ids)

    def terminate(self, ids):
        self.ec2.terminate_instances(InstanceIds=ids)


class AwsCli(Speaker):
    def __init__(self, cloud, home):
        self.environment = cloud.client_environment(home)

    def aws(self, *words):
        done = subprocess.run(
            ["aws", "ec2", *words, "--output", "json"], env=self.environment,
            capture_output=True, text=True, timeout=WAIT_SECONDS,
        )
        assert done.returncode == 0, f"aws ec2 {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def create_key(self, name):
        return self.aws("create-key-pair", "--key-name", name)["KeyMaterial"]

    def delete_key(self, name):
        self.aws("delete-key-pair", "--key-name", name)

    def create_group(self, name):
        self.aws("create-security-group", "--group-name", name, "--description", "of the scenario")

    def delete_group(self, name):
        self.aws("delete-security-group", "--group-name", name)

    def authorize(self, group, protocol, first_port, last_port):
        port = f"{first_port}" if first_port == last_port else f"{first_port}-{last_port}"
        self.aws(
            "authorize-security-group-ingress", "--group-name", group, "--protocol", protocol,
            "--port", port, "--cidr", "0.0.0.0/0",
        )

    def run(self, count, image, instance_type, key, group):
        reservation = self.aws(
            "run-instances", "--count", str(count), "--image-id", image, "--instance-type",
            instance_type, "--key-name", key, "--security-groups", group,
        )
        return [instance["InstanceId"] for instance in reservation["Instances"]]

    def wait(self, ids, state):
        self.aws("wait", f"instance-{state}", "--instance-ids", *ids)

    def instances(self, ids):
        answer = self.aws("describe-instances", "--instance-ids", *ids)
        found = {i["InstanceId"]: i for r in answer["Reservations"] for i in r["Instances"]}
        return [found[id] for id in ids]

    def states(self, ids):
        return [instance["State"]["Name"] for instance in self.instances(ids)]

    def addresses(self, ids):
        return [(i["PublicIpAddress"], i["PrivateIpAddress"]) for i in self.instances(ids)]

    def console(self, id):
        return self.aws("get-console-output", "--instance-id", id).get("Output", "")

    def tag(self, id, key, value):
        self.aws("create-tags", "--resources", id, "--tags", f"Key={key},Value={value}")

    def tags(self, id):
        answer = self.aws("describe-tags", "--filters", f"Name=resource-id,Values={id}")
        return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}

    def reboot(self, ids):
        self.aws("reboot-instances", "--instance-ids", *ids)

    def stop(self, ids):
        self.aws("stop-instances", "--instance-ids", *ids)

    def start(self, ids):
        self.aws("start-instances", "--instance-ids", *ids)

    def terminate(self, ids):
        self.aws("terminate-instances", "--instance-ids", *ids)


class Libcloud(Speaker):
    """Its EC2 driver, in a region for which it signs with version 4."""

    def __init__(self, cloud):
        self.driver = get_driver(Provider.EC2)(
            cloud.root.id, cloud.root.secret, secure=False, host="127.0.0.1", port=cloud.port,
            region="eu-central-1",
        )

    def create_key(self, name):
        return self.driver.create_key_pair(name).private_key

    def delete_key(self, name):
        assert self.driver.delete_key_pair(self.driver.get_key_pair(name))

    def create_group(self, name):
        self.driver.ex_create_security_group(name, "of the scenario")

    def delete_group(self, name):
        assert self.driver.ex_delete_security_group(name)

    def authorize(self, group, protocol, first_port, last_port):
        assert self.driver.ex_authorize_security_group(
            group, first_port, last_port, "0.0.0.0/0", protocol
        )

    def run(self, count, image, instance_type, key, group):
        nodes = self.driver.create_node(
            "scenario", self.size(instance_type), self.image(image), ex_keyname=key,
            ex_security_groups=[group], ex_mincount=count, ex_maxcount=count,
        )
        return [node.id for node in nodes]

    def size(self, name):
        # By name, as its list of sizes is that of Amazon's own types.
        return NodeSize(name, name, None, None, None, None, self.driver)

    def image(self, id):
        return self.driver.get_image(id)

    def wait(self, ids, state):
        if state == "running":
            self.driver.wait_until_running(
                self.nodes(ids), wait_period=1, timeout=WAIT_SECONDS,
                ex_list_nodes_kwargs={"ex_node_ids": ids},
            )
        else:
            eventually(
                f"{ids} are {state}", lambda: set(self.states(ids)) == {state}, WAIT_SECONDS, 1
            )

    def nodes(self, ids):
        found = {node.id: node for node in self.driver.list_nodes(ex_node_ids=ids)}
        return [found[id] for id in ids]

    def states(self, ids):
        return [node.extra["status"] for node in self.nodes(ids)]

    def addresses(self, ids):
        return [(node.public_ips[0], node.private_ips[0]) for node in self.nodes(ids)]

    def console(self, id):
        [node] = self.nodes([id])
        return self.driver.ex_get_console_output(node)["output"] or ""

    def tag(self, id, key, value):
        [node] = self.nodes([id])
        assert self.driver.ex_create_tags(node, {key: value})

    def tags(self, id):
        [node] = self.nodes([id])
        return self.driver.ex_describe_tags(node)

    def reboot(self, ids):
        self.each(ids, self.driver.reboot_node)

    def stop(self, ids):
        self.each(ids, self.driver.stop_node)

    def start(self, ids):
        self.each(ids, self.driver.start_node)

    def terminate(self, ids):
        self.each(ids, self.driver.destroy_node)

    def each(self, ids, act):
        for node in self.nodes(ids):
            assert act(node), node


class LibcloudEucalyptus(Libcloud):
    """Its Eucalyptus driver: version 2 signatures, at the path that Eucalyptus had."""

    def __init__(self, cloud):
        self.driver = get_driver(Provider.EUCALYPTUS)(
            cloud.root.id, cloud.root.secret, secure=False, host="127.0.0.1", port=cloud.port
        )


class WsSecurity:
    """What Axis, WSS4J and zeep itself would do: a token, a timestamp, and a signature over it and
    the Body; and of a reply, that it is the cloud's."""

    def __init__(self, certificate, directory):
        self.of_cloud = certificate.of_cloud
        key, own = directory / "key.pem", directory / "certificate.pem"
        key.write_text(certificate.pair.key)
        own.write_text(certificate.pair.certificate)
        self.signature = BinarySignature(
            str(key), str(own), signature_method=xmlsec.Transform.RSA_SHA256,
            digest_method=xmlsec.Transform.SHA256,
        )

    def apply(self, envelope, headers):
        created = datetime.now(timezone.utc)
        timestamp = WSU.Timestamp()
        timestamp.append(WSU.Created(envelopes.stamp(created)))
        timestamp.append(WSU.Expires(envelopes.stamp(created + timedelta(minutes=5))))
        get_security_header(envelope).append(timestamp)
        return self.signature.apply(envelope, headers)

    def verify(self, envelope):
        envelopes.verify(envelope, self.of_cloud)
        return envelope


class Zeep(Speaker):
    """A SOAP client, made from the WSDL that the endpoint serves, of any edition and either SOAP."""

    def __init__(self, cloud, directory, port, path):
        signed = WsSecurity(cloud.signing_certificate, directory)
        client = zeep.Client(f"{cloud.endpoint}{path}?wsdl", wsse=signed)
        # Strict: an answer that does not fit the WSDL is an error.
        self.ec2 = client.bind("AmazonEC2", port)

    def create_key(self, name):
        return self.ec2.CreateKeyPair(keyName=name).keyMaterial

    def delete_key(self, name):
        self.ec2.DeleteKeyPair(keyName=name)

    def create_group(self, name):
        self.ec2.CreateSecurityGroup(groupName=name, groupDescription="of the scenario")

    def delete_group(self, name):
        self.ec2.DeleteSecurityGroup(groupName=name)

    def authorize(self, group, protocol, first_port, last_port):
        self.ec2.AuthorizeSecurityGroupIngress(groupName=group, ipPermissions=items({
            "ipProtocol": protocol, "fromPort": first_port, "toPort": last_port,
            "ipRanges": items({"cidrIp": "0.0.0.0/0"}),
        }))

    def run(self, count, image, instance_type, key, group):
        reservation = self.ec2.RunInstances(
            imageId=image, minCount=count, maxCount=count, instanceType=instance_type,
            keyName=key, groupSet=items({"groupName": group}),
        )
        return [instance.instanceId for instance in items_of(reservation.instancesSet)]

    def wait(self, ids, state):
        eventually(
            f"{ids} are {state}", lambda: set(self.states(ids)) == {state}, WAIT_SECONDS, every=1
        )

    def instances(self, ids):
        answer = self.ec2.DescribeInstances(instancesSet=self.named(ids))
        reservations = items_of(answer.reservationSet)
        found = {i.instanceId: i for r in reservations for i in items_of(r.instancesSet)}
        return [found[id] for id in ids]

    def named(self, ids):
        return items(*({"instanceId": id} for id in ids))

    def states(self, ids):
        return [instance.instanceState.name for instance in self.instances(ids)]

    def addresses(self, ids):
        return [(i.ipAddress, i.privateIpAddress) for i in self.instances(ids)]

    def console(self, id):
        output = self.ec2.GetConsoleOutput(instanceId=id).output or ""
        return base64.b64decode(output).decode(errors="replace")

    def tag(self, id, key, value):
        self.ec2.CreateTags(
            resourcesSet=items({"resourceId": id}), tagSet=items({"key": key, "value": value})
        )

    def tags(self, id):
        filters = items({"name": "resource-id", "valueSet": items({"value": id})})
        answer = self.ec2.DescribeTags(filterSet=filters)
        return {tag.key: tag.value for tag in items_of(answer.tagSet)}

    def reboot(self, ids):
        self.ec2.RebootInstances(instancesSet=self.named(ids))

    def stop(self, ids):
        self.ec2.StopInstances(instancesSet=self.named(ids))

    def start(self, ids):
        self.ec2.StartInstances(instancesSet=self.named(ids))

    def terminate(self, ids):
        self.ec2.TerminateInstances(instancesSet=self.named(ids))


def items(*of):
    """How EC2 writes lists."""
    return {"item": list(of)}


def items_of(read):
    """What zeep makes of one; of an empty one it makes nothing."""
    return read.item if read else []


SPEAKERS = {
    "boto3-v4": lambda cloud, home: Boto3(cloud.client(signature_version="v4", path="/")),
    "boto3-v4-query": lambda cloud, home: Boto3(
        cloud.client(signature_version="v4-query", path="/services/Eucalyptus")),
    "boto3-v2": lambda cloud, home: Boto3(
        cloud.client(signature_version="v2", path="/services/compute")),
    "boto3-json": lambda cloud, home: Boto3(json_model.client(home, cloud)),
    "aws-cli": AwsCli,
    "libcloud-ec2": lambda cloud, home: Libcloud(cloud),
    "libcloud-eucalyptus": lambda cloud, home: LibcloudEucalyptus(cloud),
    "zeep-soap-1.1": lambda cloud, home: Zeep(cloud, home, "AmazonEC2Port", "/services/Eucalyptus"),
    "zeep-soap-1.2": lambda cloud, home: Zeep(cloud, home, "AmazonEC2Port12", "/"),
}

SAME_TO_GUESTS = {"boto3-v4-query", "boto3-json", "zeep-soap-1.2"}
