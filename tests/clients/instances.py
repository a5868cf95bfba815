"""Instances, as any client of boto3's has them: run, waited for, looked at; and what is refused."""

import pytest
from botocore.exceptions import ClientError

# The smallest the demo image boots in; emulated guests are slow enough.
INSTANCE_TYPE = "mallee.tiny"


def run(ec2, image, count=1, **more):
    wanted = {"ImageId": image, "InstanceType": INSTANCE_TYPE, **more}
    return ec2.run_instances(MinCount=count, MaxCount=count, **wanted)["Instances"]


def wait(ec2, state, *ids):
    waiter = ec2.get_waiter(f"instance_{state}")
    waiter.wait(InstanceIds=list(ids), WaiterConfig={"Delay": 1, "MaxAttempts": 180})


def describe(ec2, id):
    [reservation] = ec2.describe_instances(InstanceIds=[id])["Reservations"]
    [instance] = reservation["Instances"]
    return instance


def terminate(ec2, *ids):
    ec2.terminate_instances(InstanceIds=list(ids))
    wait(ec2, "terminated", *ids)


def refused(code, call, **parameters):
    """What the refusal of a call says, whose code must be this one."""
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    error = refusal.value.response["Error"]
    assert error["Code"] == code, error
    return error["Message"]
