"""boto3 talked into another protocol: EC2's own model, said to be JSON's.

The members' names are what the AWS CLI takes and prints; in JSON they are what stands on the wire too.
"""

import json
from pathlib import Path

import botocore.loaders
import botocore.session
from botocore.config import Config

NAME, VERSION = "ec2json", "2016-11-15"
# What only the Query protocol has a use for.
QUERYS = ("locationName", "queryName")


def without_names(model):
    if isinstance(model, dict):
        return {k: without_names(v) for k, v in model.items() if k not in QUERYS}
    if isinstance(model, list):
        return [without_names(one) for one in model]
    return model


def client(directory, cloud, key=None):
    """A client of `cloud` that is EC2's in all but its protocol."""
    key = key or cloud.root
    loader = botocore.loaders.Loader()
    folder = Path(directory) / NAME / VERSION
    folder.mkdir(parents=True)
    model = loader.load_service_model("ec2", "service-2", VERSION)
    metadata = {
        **model["metadata"], "protocol": "json", "protocols": ["json"], "jsonVersion": "1.1",
        "targetPrefix": "AmazonEC2", "signingName": "ec2",
    }
    members = {**model, "metadata": metadata, "shapes": without_names(model["shapes"])}
    (folder / "service-2.json").write_text(json.dumps(members))
    for other in ["waiters-2", "paginators-1"]:
        kept = loader.load_service_model("ec2", other, VERSION)
        (folder / f"{other}.json").write_text(json.dumps(kept))
    session = botocore.session.Session()
    session.register_component("data_loader", botocore.loaders.create_loader(str(directory)))
    return session.create_client(
        NAME, region_name="us-east-1", endpoint_url=cloud.endpoint,
        aws_access_key_id=key.id, aws_secret_access_key=key.secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
    )
