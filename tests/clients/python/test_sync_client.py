"""The synchronous client of python-socketio: over polling, over WebSocket, and upgrading from one to the other."""

import functools
import threading
import time

import orderly
import pytest
import socketio

TIMEOUT_S = 20

# This client refuses polling payloads of more packets; servers put all that waits into one.
PAYLOAD_PACKETS_MAX = 16

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


class Visitor:
    """A client that keeps every event that it receives in the main namespace."""

    def __init__(self, url, transports, reconnection=False, **options):
        self.client = orderly.Client(reconnection=reconnection, reconnection_delay=0.05, reconnection_delay_max=0.2)
        self.events = []
        self.changed = threading.Condition()
        for event in ("connect", "disconnect"):
            self.client.on(event, functools.partial(self.receive, event))
        self.client.on("*", self.receive)
        self.client.connect(url, transports=transports, wait_timeout=TIMEOUT_S, **options)

    def receive(self, event, *args):
        with self.changed:
            self.events.append((event, *args))
            self.changed.notify_all()

    def wait_for(self, event):
        """Takes the first `event` out of what came, and gives its arguments."""
        deadline = time.monotonic() + TIMEOUT_S
        with self.changed:
            while True:
                for index, (name, *args) in enumerate(self.events):
                    if name == event:
                        del self.events[index]
                        return args
                assert self.changed.wait(deadline - time.monotonic()), f"no {event} within {TIMEOUT_S} s: {self.events}"

    def call(self, event, data=None, namespace=None):
        return self.client.call(event, data, namespace=namespace, timeout=TIMEOUT_S)


@pytest.fixture(params=TRANSPORTS, ids=str)
def connect(request, testbed):
    """Makes visitors that use one way of reaching the server."""
    visitors = []

    def make(**options):
        visitors.append(Visitor(testbed.url, TRANSPORTS[request.param], **options))
        return visitors[-1]

    make.transport = "polling" if request.param == "polling" else "websocket"
    yield make
    for visitor in visitors:
        visitor.client.disconnect()


def test_connects_over_the_transport_it_asked_for(connect):
    visitor = connect()
    assert visitor.wait_for("auth") == [{}]
    assert visitor.client.transport() == connect.transport
    who = visitor.call("whoami")
    assert who["transport"] == connect.transport
    assert who["protocol"] == 4
    assert who["id"] == visitor.client.get_sid()


@pytest.mark.parametrize("args", [(), (1,), ("é😀", None, True), ({"a": [1, {"b": []}]}, [], 1.5)], ids=str)
def test_events_come_back(connect, args):
    visitor = connect()
    visitor.client.emit("message", args)
    assert tuple(visitor.wait_for("message-back")) == args


def test_acknowledgements_bring_arguments(connect):
    visitor = connect()
    assert list(visitor.call("message-with-ack", (1, {"two": [2]}))) == [1, {"two": [2]}]
    assert visitor.call("ack", "one") == "one"


def test_the_server_asks_and_the_client_answers(connect):
    visitor = connect()
    visitor.client.on("question", lambda a, b: a + b)
    assert list(visitor.call("ask", ("question", 1, 2))) == [None, 3]


def test_binary_comes_back_at_any_depth(connect):
    visitor = connect()
    tree = {"a": b"\x00\xff", "list": [b"", {"b": b"x" * 70_000}], "text": "t"}
    visitor.client.emit("message", (tree, b"last"))
    assert visitor.wait_for("message-back") == [tree, b"last"]
    assert visitor.call("ack", tree) == tree


def test_the_server_makes_binary(connect):
    visitor = connect()
    expected = bytes(index & 255 for index in range(300))
    assert visitor.call("bin", 300) == expected
    assert visitor.wait_for("bin-back") == [{"n": 300, "buf": expected, "list": [b"\x01\x02\x03", {"deep": b"\xff\x00"}]}]


def test_many_events_all_come_back(connect):
    visitor = connect()
    count = PAYLOAD_PACKETS_MAX // 2 if connect.transport == "polling" else 200
    for number in range(count):
        visitor.client.emit("echo", number)
    # Servers may handle events in threads of their own, so the order of the answers says nothing about the wire.
    assert sorted(visitor.wait_for("echo")[0] for _ in range(count)) == list(range(count))


def test_namespaces_are_apart(connect):
    visitor = connect(namespaces=["/custom", "/dyn-12"])
    assert visitor.call("whoami", namespace="/custom")["nsp"] == "/custom"
    assert visitor.call("whoami", namespace="/dyn-12")["nsp"] == "/dyn-12"
    assert visitor.client.get_sid("/custom") != visitor.client.get_sid("/dyn-12")


def test_credentials_reach_the_server(connect):
    visitor = connect(auth={"token": "é", "data": {"n": 1}})
    assert visitor.wait_for("auth") == [{"token": "é", "data": {"n": 1}}]


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [("/deny", {"message": "denied", "data": {"code": 4001}}), ("/unknown", {"message": "Invalid namespace"})],
)
def test_a_refusal_brings_its_reason(connect, testbed, namespace, expected):
    client = socketio.Client(reconnection=False)
    reasons = []
    client.on("connect_error", reasons.append, namespace=namespace)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(testbed.url, namespaces=[namespace], transports=[connect.transport], wait_timeout=TIMEOUT_S)
    client.disconnect()
    assert reasons == [expected]


def test_rooms_reach_their_members(connect):
    inside, outside = connect(), connect()
    inside.call("join", "red")
    outside.client.emit("room", ("red", "hello"))
    assert inside.wait_for("room") == ["hello"]
    outside.call("ack", "settled")
    assert not [event for event in outside.events if event[0] == "room"]


def test_the_server_disconnects(connect):
    visitor = connect()
    visitor.client.emit("kick")
    visitor.wait_for("disconnect")
    assert not visitor.client.connected


def test_a_dropped_client_comes_back(connect):
    visitor = connect(reconnection=True)
    visitor.wait_for("connect")
    first = visitor.client.get_sid()
    visitor.client.emit("drop")
    visitor.wait_for("disconnect")
    if connect.transport == "polling":
        return  # this client takes the close packet of polling as a farewell
    visitor.wait_for("connect")
    assert visitor.client.get_sid() != first
    assert visitor.call("ack", "alive") == "alive"


def test_clients_survive_a_crash_of_the_server(connect, testbed):
    visitor = connect(reconnection=True)
    visitor.wait_for("connect")
    testbed.restart()
    visitor.wait_for("disconnect")
    visitor.wait_for("connect")
    assert visitor.call("ack", "alive") == "alive"
