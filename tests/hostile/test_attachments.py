"""Binary packets: counts, placeholders, and attachments that come when none is due or never (socket-io.md §2).

Where placeholders are wrong ours refuses the header and the official server the last attachment: nothing is held for a packet that is
going to be refused.
"""

import base64

import pytest

from sessions import BINARY, NO_CODE, Polling, WebSocket

PLACEHOLDER = '{"_placeholder":true,"num":0}'
MESSAGE_MAX = 1_000_000


@pytest.fixture
def websocket(server):
    return WebSocket.joined(server)


def echoed(websocket, count):
    """The header that comes back, and its attachments."""
    header = websocket.text()
    frames = [websocket.next() for _ in range(count)]
    assert all(opcode == BINARY for opcode, _ in frames)
    return header, [payload for _, payload in frames]


FATAL_HEADERS = {
    "no count": f'5["echo",{PLACEHOLDER}]',
    "nothing but a minus": f'5-["echo",{PLACEHOLDER}]',
    "a count of 0": '50-["echo",1]',
    "a count of -1": f'5-1-["echo",{PLACEHOLDER}]',
    "a count of 11": f'511-["echo",{PLACEHOLDER}]',
    "a count of 99999999999": f'599999999999-["echo",{PLACEHOLDER}]',
    "a count of 1e308": f'51e308-["echo",{PLACEHOLDER}]',
    "a count of Infinity": f'5Infinity-["echo",{PLACEHOLDER}]',
    "a count of 1.5": f'51.5-["echo",{PLACEHOLDER}]',
    "a count of 100,000 digits": f'5{"9" * 100_000}-["echo",{PLACEHOLDER}]',
    "a count in letters": f'5one-["echo",{PLACEHOLDER}]',
    "an ack with a count of 0": "60-0[]",
    "no payload at all and no count": "5",
    "a number out of range": '51-["echo",{"_placeholder":true,"num":1}]',
    "a negative number": '51-["echo",{"_placeholder":true,"num":-1}]',
    "a fraction": '51-["echo",{"_placeholder":true,"num":0.5}]',
    "a number in a string": '51-["echo",{"_placeholder":true,"num":"0"}]',
    "no number": '51-["echo",{"_placeholder":true}]',
    "null for a number": '51-["echo",{"_placeholder":true,"num":null}]',
    "a number of 1e400": '51-["echo",{"_placeholder":true,"num":1e400}]',
    "a number of 2^64": '51-["echo",{"_placeholder":true,"num":18446744073709551616}]',
    "a wrong one, deep": '51-["echo",' + '[{"a":' * 400 + '{"_placeholder":true,"num":7}' + "}]" * 400 + "]",
    "a wrong one in escapes": '51-["echo",{"\\u005fplaceholder":true,"num":7}]',
    "a reserved name": f'51-["connect",{PLACEHOLDER}]',
    "broken JSON": '51-["echo",',
    "no name": "51-[]",
}


@pytest.mark.parametrize("header", FATAL_HEADERS.values(), ids=FATAL_HEADERS)
def test_a_header_that_cannot_be_completed_ends_the_connection(websocket, header):
    """After its attachment at the latest, which is when the official server looks."""
    websocket.send(f"4{header}", b"x")
    assert websocket.closed() == NO_CODE


ALLOWED = {
    "ten attachments": ('510-["echo",' + ",".join(f'{{"_placeholder":true,"num":{num}}}' for num in range(10)) + "]", 10),
    "the same one twice": (f'51-["echo",{PLACEHOLDER},{PLACEHOLDER}]', 1),
    "none that is referred to": ('51-["echo",1]', 1),
    "in another order": ('52-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', 2),
    "keys in another order": ('51-["echo",{"num":0,"_placeholder":true}]', 1),
    "more keys": ('51-["echo",{"_placeholder":true,"num":0,"__proto__":{}}]', 1),
    "what only looks like one": ('51-["echo",{"_placeholder":1,"num":9},{"_placeholder":"true"},{"_placeholder":false,"num":-1}]', 1),
    "a count that JavaScript reads": (f'51e0-["echo",{PLACEHOLDER}]', 1),
    "a key that is one": ('51-["echo",{"{\\"_placeholder\\":true,\\"num\\":7}":0}]', 1),
}


@pytest.mark.parametrize("header, count", ALLOWED.values(), ids=ALLOWED)
def test_what_is_odd_and_allowed_comes_back(websocket, header, count):
    attachments = [bytes([number]) * number for number in range(count)]
    websocket.send(f"4{header}", *attachments)
    back, frames = echoed(websocket, count)
    assert back.split("-", 1) == [f"45{count}", header.split("-", 1)[1]]
    assert frames == attachments


def test_an_event_without_a_payload_takes_its_attachments(websocket):
    """`51-` alone is a packet of nothing (socket-io.md §3)."""
    websocket.send("451-", b"x")
    assert websocket.echo()


def test_text_between_attachments_ends_the_connection(websocket):
    websocket.send(f'452-["echo",{PLACEHOLDER}]', b"1", '42["echo",1]')
    assert websocket.closed() == NO_CODE


def test_a_header_behind_a_header_ends_the_connection(websocket):
    websocket.send(f'451-["echo",{PLACEHOLDER}]', f'451-["echo",{PLACEHOLDER}]')
    assert websocket.closed() == NO_CODE


def test_one_attachment_too_many_ends_the_connection(websocket):
    websocket.send(f'451-["echo",{PLACEHOLDER}]', b"1")
    assert echoed(websocket, 1)[1] == [b"1"]
    websocket.send(b"2")
    assert websocket.closed() == NO_CODE


def test_packets_of_the_heartbeat_may_come_between_attachments(websocket):
    """They are Engine.IO's and none of Socket.IO's."""
    websocket.send(f'452-["echo",{PLACEHOLDER}]', "3", b"1", "3", "6", b"2")
    assert echoed(websocket, 2)[1] == [b"1", b"2"]


def test_an_attachment_may_come_as_base64(websocket):
    """server-behaviour.md 2.25."""
    websocket.send(f'451-["echo",{PLACEHOLDER}]', "bAQID")
    assert echoed(websocket, 1)[1] == [b"\1\2\3"]


def test_base64_is_read_leniently(server):
    """As Node's Buffer reads it: no padding, other alphabets, and what is no base64 is nothing."""
    session = Polling(server).join()
    for text, data in {"AQID": b"\1\2\3", "AQI": b"\1\2", "!A!Q!": b"\1", "_-8": b"\xff\xef", "": b"", "====": b""}.items():
        session.post(f'451-["echo",{PLACEHOLDER}]\x1eb{text}')
        assert session.take(2) == [f'451-["echo",{PLACEHOLDER}]', f"b{base64.b64encode(data).decode()}"]


def test_an_acknowledgement_may_carry_attachments_that_nobody_awaits(websocket):
    websocket.send(f"461-99[{PLACEHOLDER}]", b"x")
    assert websocket.echo()


def test_attachments_that_are_hoarded_go_with_the_connection(server):
    """Nine of ten, for 4 clients: what they cost is bounded by the size of a message, and is given back."""
    placeholders = ",".join(f'{{"_placeholder":true,"num":{num}}}' for num in range(10))
    before = server.rss_kib()
    for _ in range(3):
        peers = [WebSocket.joined(server) for _ in range(4)]
        for websocket in peers:
            websocket.send(f'4510-["echo",{placeholders}]', *[bytes(MESSAGE_MAX)] * 9)
            websocket.peer.send(b"")
        for websocket in peers:
            websocket.peer.close()
    # Three rounds take no more than one.
    assert server.rss_kib() < before + 4 * 10 * MESSAGE_MAX // 1024


def test_a_header_whose_attachments_never_come_blocks_nobody_else(server, websocket):
    waiting = WebSocket.joined(server).send(f'451-["echo",{PLACEHOLDER}]')
    assert websocket.echo()
    waiting.send(b"late")
    assert echoed(waiting, 1)[1] == [b"late"]


def test_100_attachments_of_a_megabyte_are_taken_one_after_the_other(server, websocket):
    before = server.rss_kib()
    for _ in range(100):
        websocket.pong().send(f'451-["message",{PLACEHOLDER}]', bytes(MESSAGE_MAX))
        websocket.next()
        websocket.next()
    assert server.rss_kib() < before + 16 * 1024


def test_text_is_no_attachment_whatever_its_type(websocket):
    websocket.send(f'451-["echo",{PLACEHOLDER}]', "4")
    assert websocket.closed() == NO_CODE
