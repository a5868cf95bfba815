"""A customer of the cloud: a key pair, a security group, instances, and nothing left at the end."""

import instances
from eventually import eventually
from guest import READY, BOOT_SECONDS, Guest, write_key

TCP_22 = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
PING = {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


class Tenant:
    def __init__(self, cloud, access_key, directory, name):
        self.cloud = cloud
        self.ec2 = cloud.client(access_key)
        self.image = cloud.demo_image()
        self.name = name
        self.ids = []
        pair = self.ec2.create_key_pair(KeyName=name)
        self.key_file = write_key(directory, name, pair["KeyMaterial"])
        group = self.ec2.create_security_group(GroupName=name, Description="of a test")
        self.group = group["GroupId"]

    def authorize(self, *permissions):
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=permissions)

    def revoke(self, *permissions):
        self.ec2.revoke_security_group_ingress(GroupId=self.group, IpPermissions=permissions)

    def launch(self, count=1, **more):
        """Launches; the ids. Does not wait."""
        wanted = {"KeyName": self.name, "SecurityGroupIds": [self.group], **more}
        ids = [i["InstanceId"] for i in instances.run(self.ec2, self.image, count, **wanted)]
        self.ids += ids
        return ids

    def describe(self, id):
        return instances.describe(self.ec2, id)

    def wait(self, state, *ids):
        instances.wait(self.ec2, state, *ids)

    def wait_until_booted(self, *ids):
        """By the console: the network may be closed."""
        def booted(id):
            console = self.ec2.get_console_output(InstanceId=id).get("Output", "")
            return f"{READY} instance-id={id}" in console

        for id in ids:
            eventually(f"`{id}` is ready", lambda: booted(id), BOOT_SECONDS, every=0.5)

    def guest(self, id):
        address = self.describe(id)["PublicIpAddress"]
        return Guest(address, self.key_file, host=self.cloud.beside_guests)

    def terminate(self, *ids):
        instances.terminate(self.ec2, *ids)

    def leave(self):
        if self.ids:
            self.terminate(*self.ids)
        self.ec2.delete_security_group(GroupId=self.group)
        self.ec2.delete_key_pair(KeyName=self.name)
