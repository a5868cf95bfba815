"""One cloud for all tests of a run, and people who use it."""

import itertools
import os

import pytest

from cloud import Cloud
from cluster import Cluster
from overlay import Overlay
from tenant import Tenant

HYPERVISOR = os.environ.get("MALLEE_TEST_HYPERVISOR", "auto")
# Where the cloud is: on this host, on three of its own, or on four with a NAT among them.
CLOUDS = {"host": Cloud, "cluster": Cluster, "overlay": Overlay}
PLACE = os.environ.get("MALLEE_TEST_PLACE", "host")


def pytest_collection_finish(session):
    """Says at once what could only fail later. Which tests are run is chosen with `-m`."""
    unfit = ["guests", "full"] if HYPERVISOR == "simulated" else ["simulated"]
    unfit += [] if PLACE == "overlay" else ["overlay"]
    for item in [] if session.config.option.collectonly else session.items:
        for marker in filter(item.get_closest_marker, unfit):
            raise pytest.UsageError(
                f"`{item.name}` cannot be run at `{PLACE}` with the hypervisor `{HYPERVISOR}`: "
                f"choose with -m 'not {marker}', or set MALLEE_TEST_PLACE or MALLEE_TEST_HYPERVISOR"
            )


@pytest.fixture(scope="session")
def cloud():
    cloud = CLOUDS[PLACE](HYPERVISOR)
    try:
        cloud.start()
        yield cloud
    finally:
        # What fails here is an error of the run: nothing may be left on the host.
        cloud.tear_down()


@pytest.fixture
def ec2(cloud):
    return cloud.client()


@pytest.fixture(scope="session")
def image(cloud):
    return cloud.demo_image()


@pytest.fixture(scope="session")
def other_account(cloud):
    """A second customer, who is no administrator."""
    return cloud.create_account("somebody-else")


NAMES = itertools.count()


@pytest.fixture
def name(request):
    """A name for this test's things, which no other test's have."""
    return f"{request.node.originalname.removeprefix('test_')[:40]}-{next(NAMES)}"


@pytest.fixture
def tenant(cloud, tmp_path, name):
    """Makes customers with a key pair and a closed security group; all of it goes with the test."""
    tenants = []

    def make(key=None):
        tenants.append(Tenant(cloud, key or cloud.root, tmp_path, f"{name}-{len(tenants)}"))
        return tenants[-1]

    yield make
    for one in tenants:
        one.leave()
