"""A testbed for the Python clients: one for each delivery mode."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from testbed import STOP_TIMEOUT_S, Testbed  # noqa: E402, F401

DELIVERIES = os.environ.get("DELIVERIES", "inline,thread,poll").split(",")


@pytest.fixture(scope="module", params=DELIVERIES)
def testbed(request):
    server = Testbed({"DELIVERY": request.param, "SHARDS": "2"})
    yield server
    server.stop()
