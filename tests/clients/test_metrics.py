"""What Prometheus reads, as Prometheus' own parser understands it."""

from urllib.request import urlopen

from prometheus_client.openmetrics.parser import text_string_to_metric_families

import signing


def scrape(cloud):
    """Every sample by its name and labels, and every family by its name."""
    with urlopen(f"http://127.0.0.1:{cloud.metrics_port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        families = {family.name: family for family in
                    text_string_to_metric_families(answer.read().decode())}
    samples = {}
    for family in families.values():
        for sample in family.samples:
            samples[sample.name, frozenset(sample.labels.items())] = sample.value
    return families, samples


def requests(samples, **labels):
    return samples.get(("mallee_api_requests_total", frozenset(labels.items())), 0)


def test_the_figures_are_read_by_prometheus_and_count_what_was_asked(cloud):
    _, before = scrape(cloud)
    for _ in range(3):
        assert cloud.call({"Action": "DescribeVpcs"}).status == 200
    refused = cloud.call({"Action": "DescribeInstances", "InstanceId.1": "i-12345678"})
    assert refused.refusal[1] == "InvalidInstanceID.NotFound"
    families, after = scrape(cloud)
    for labels, more in [
        ({"action": "DescribeVpcs", "code": ""}, 3),
        ({"action": "DescribeInstances", "code": "InvalidInstanceID.NotFound"}, 1),
    ]:
        assert requests(after, **labels) - requests(before, **labels) == more
    assert families["mallee_api_requests"].type == "counter"
    duration = families["mallee_api_request_duration_seconds"]
    assert (duration.type, duration.unit) == ("histogram", "seconds")


def test_names_and_units_are_as_prometheus_has_them(cloud):
    families, samples = scrape(cloud)
    assert families
    for name, family in families.items():
        assert name.startswith("mallee_")
        assert family.documentation, name
        assert family.type in ("counter", "gauge", "histogram"), name
        assert not family.unit or name.endswith("_" + family.unit), name
        assert not name.endswith(("_total", "_ms", "_us", "_mib", "_gib")), name
    free = [value for (name, labels), value in samples.items()
            if name == "mallee_capacity_memory_bytes" and ("part", "free") in labels]
    assert len(free) == 1 and free[0] % (1024 * 1024) == 0


def test_nothing_else_is_served_there(cloud):
    address = ("127.0.0.1", cloud.metrics_port)
    assert signing.send(address, "/", b"", {}).status == 404
