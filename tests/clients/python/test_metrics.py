"""The metrics of a testbed, read by Prometheus's own parser, after what a client of python-socketio did."""

import time
import urllib.error
import urllib.request

import conftest
import pytest
import socketio
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 20
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@pytest.fixture(scope="module", params=conftest.DELIVERIES)
def measured(request):
    # A client on polling sometimes leaves without a word: its session is there until the heartbeat is over.
    heartbeat = {"PING_INTERVAL": "1000", "PING_TIMEOUT": "5000"}
    server = conftest.Testbed({"DELIVERY": request.param, "SHARDS": "2", "METRICS_PATH": "/metrics", **heartbeat})
    yield server
    server.stop()


def scrape(testbed):
    """The families by name, and the samples by name and labels."""
    with urllib.request.urlopen(f"{testbed.url}/metrics", timeout=TIMEOUT_S) as answer:
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {(sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples}
    return {family.name: family for family in families}, samples


def when_all_have_left(testbed):
    """The samples once the client of an earlier test is gone."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        _, samples = scrape(testbed)
        if samples[("sockeye_sockets",)] == 0 and samples[("sockeye_sessions", "websocket")] == 0:
            return samples
        time.sleep(0.01)
    raise AssertionError(f"somebody stays: {samples}")


def test_every_family_has_a_type_and_a_help(measured):
    families, _ = scrape(measured)
    assert len(families) > 25
    for family in families.values():
        assert family.name.startswith("sockeye_")
        assert family.type in ("counter", "gauge", "histogram")
        assert family.documentation.endswith(".")


def test_histograms_are_whole(measured):
    families, samples = scrape(measured)
    histograms = [family for family in families.values() if family.type == "histogram"]
    assert len(histograms) == 3
    for family in histograms:
        buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == samples[(f"{family.name}_count",)]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_what_a_client_does_is_counted(measured, transport):
    before = when_all_have_left(measured)
    client = socketio.Client(reconnection=False)
    client.connect(measured.url, transports=[transport], wait_timeout=TIMEOUT_S)
    assert client.call("ack", "hello", timeout=TIMEOUT_S) == "hello"
    _, during = scrape(measured)

    def grown(*series):
        return during[series] - before[series]

    assert grown("sockeye_sessions", transport) == 1
    assert grown("sockeye_handshakes_total", transport) == 1
    assert grown("sockeye_sockets") == 1
    assert grown("sockeye_connects_total", "accepted") == 1
    assert grown("sockeye_packets_total", "in") >= 2
    assert grown("sockeye_packets_total", "out") >= 3
    assert grown("sockeye_network_bytes_total", "in") > 0
    assert during[("sockeye_acks", "owed")] == before[("sockeye_acks", "owed")]
    client.disconnect()


def test_the_path_is_off_by_default(testbed):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{testbed.url}/metrics", timeout=TIMEOUT_S)
    assert refused.value.code == 404
