"""WebSocket: handshakes that are none, and frames that RFC 6455 does not allow.

The official server stands on the library `ws`; unless a case says otherwise it closes with the same code.
"""

import time

import pytest

from conftest import RETURN_TIMEOUT_S
from sessions import (
    ABNORMAL, BINARY, CLOSE, CONTINUATION, FIN, HANDSHAKE, NO_CODE, PATH, PING, PONG, TEXT,
    Polling, WebSocket, frame, header, upgrade_request,
)
from wire import Peer, ask, request

MESSAGE_MAX = 1_000_000
TARGET = f"{PATH}?EIO=4&transport=websocket"
PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10


@pytest.fixture
def websocket(server):
    return WebSocket.joined(server)


# ---- opening handshakes (RFC 6455 §4.2) ------------------------------------------------------------------------------------------

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = ["Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13"]

REFUSED_WITH_TEXT = {
    "version 8": [*FIELDS[:3], "Sec-WebSocket-Version: 8"],
    "version 14": [*FIELDS[:3], "Sec-WebSocket-Version: 14"],
    "two versions": [*FIELDS[:3], "Sec-WebSocket-Version: 13, 8"],
    "no version": FIELDS[:3],
    "no key": [*FIELDS[:2], FIELDS[3]],
    "an empty key": [*FIELDS[:2], "Sec-WebSocket-Key:", FIELDS[3]],
    "a key of 15 bytes": [*FIELDS[:2], "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", FIELDS[3]],
    "a key of 17 bytes": [*FIELDS[:2], "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", FIELDS[3]],
    "a key that is no base64": [*FIELDS[:2], "Sec-WebSocket-Key: ======================!=", FIELDS[3]],
    "a key of 10 kB": [*FIELDS[:2], f"Sec-WebSocket-Key: {'A' * 10_000}", FIELDS[3]],
}


@pytest.mark.parametrize("lines", REFUSED_WITH_TEXT.values(), ids=REFUSED_WITH_TEXT)
def test_a_handshake_that_is_not_of_version_13_is_refused(server, lines):
    peer = Peer(server).send(request("GET", TARGET, *lines))
    answer = peer.answer()
    assert (answer.status, answer.text) == (400, "Bad request")
    assert peer.closed()


def test_a_refused_version_is_told_the_right_one(server):
    """RFC 6455 §4.4."""
    answer = Peer(server).send(upgrade_request(TARGET, version="25")).answer()
    assert (answer.status, answer.headers.get("sec-websocket-version")) == (400, "13")


NO_UPGRADES = {
    "Upgrade without Connection": FIELDS[:1] + FIELDS[2:],
    "Connection without Upgrade": FIELDS[1:],
    "another protocol": ["Upgrade: h2c", *FIELDS[1:]],
    "a body": [*FIELDS, "Content-Length: 1"],
    "a body in chunks": [*FIELDS, "Transfer-Encoding: chunked"],
}


@pytest.mark.parametrize("lines", NO_UPGRADES.values(), ids=NO_UPGRADES)
def test_what_is_no_upgrade_gets_error_3(server, lines):
    """`transport=websocket` without an upgrade. A body would make frames of what is no frame, so it makes the request an ordinary one."""
    peer = Peer(server).send(request("GET", TARGET, *lines) + b"0\r\n\r\n")
    answer = peer.answer()
    assert (answer.status, answer.code) == (400, 3)


def test_http_1_0_does_not_upgrade(server):
    """RFC 9110 §7.8."""
    assert Peer(server).send(request("GET", TARGET, *FIELDS, version="1.0")).answer().code == 3


def test_an_upgrade_is_a_get(server):
    assert Peer(server).send(request("POST", TARGET, *FIELDS)).answer().code == 2


REFUSED_UPGRADES = {
    f"{TARGET}&sid=AAAAAAAAAAAAAAAAAAAA": "Session ID unknown",
    f"{TARGET}&sid={'x' * 5_000}": "Session ID unknown",
    f"{PATH}?EIO=3&transport=websocket": "Unsupported protocol version",
    f"{PATH}?transport=websocket": "Unsupported protocol version",
    f"{PATH}?EIO=4": "Transport unknown",
    f"{PATH}?EIO=4&transport=webtransport": "Transport unknown",
    HANDSHAKE: "Bad request",
}


@pytest.mark.parametrize("target, text", REFUSED_UPGRADES.items(), ids=lambda value: value[:48])
def test_an_upgrade_with_wrong_parameters_is_refused_before_101(server, target, text):
    """The official server refuses EIO 3 and `transport=polling` after its 101, in bytes that are no frames."""
    peer = Peer(server).send(upgrade_request(target))
    answer = peer.answer()
    assert (answer.status, answer.text) == (400, text)
    assert peer.closed()


def test_an_upgrade_outside_of_the_path_is_not_found(server):
    """The official server cuts it off after a second without an answer."""
    assert Peer(server).send(upgrade_request("/other/")).answer().status == 404


def test_offered_extensions_and_protocols_are_declined(server):
    """None is spoken; saying so by silence (RFC 6455 §4.2.2)."""
    lines = [
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
        "Sec-WebSocket-Extensions: " + ", ".join(["permessage-deflate; a=b"] * 300),
        "Sec-WebSocket-Protocol: mqtt, __proto__",
    ]
    websocket = WebSocket(server, headers=lines)
    assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & websocket.handshake.headers.keys()


def test_frames_right_behind_the_handshake_are_read(server):
    """What a client sends before it has seen the answer."""
    peer = Peer(server).send(upgrade_request(TARGET) + frame(TEXT, b"40") + frame(PING, b"x"))
    assert peer.answer().status == 101
    assert b"40{" in peer.take_until(b"40{")


def test_a_second_handshake_inside_of_a_websocket_is_a_bad_frame(server, websocket):
    websocket.send_raw(upgrade_request(TARGET))
    assert websocket.closed() == PROTOCOL_ERROR


# ---- frames (RFC 6455 §5) --------------------------------------------------------------------------------------------------------

BAD_FRAMES = {
    "not masked": bytes([FIN | TEXT, 1]) + b"3",
    "a ping that is not masked": bytes([FIN | PING, 0]),
    "the first reserved bit": frame(TEXT, b"3", FIN | RSV1),
    "the second reserved bit": frame(TEXT, b"3", FIN | RSV2),
    "the third reserved bit": frame(BINARY, b"3", FIN | RSV3),
    "a reserved bit in a ping": frame(PING, b"", FIN | RSV1),
    "a reserved bit in a close": frame(CLOSE, b"", FIN | RSV2),
    "a compressed message": frame(TEXT, bytes.fromhex("32050000"), FIN | RSV1),
    **{f"opcode {opcode:x}": frame(opcode, b"") for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]},
    "a ping of 126 bytes": frame(PING, bytes(126)),
    "a ping of 2^63": header(FIN | PING, 2**63) + bytes(4),
    "a close of 126 bytes": frame(CLOSE, b"\x03\xe8" + bytes(124)),
    "a ping in fragments": frame(PING, b"", 0),
    "a pong in fragments": frame(PONG, b"", 0),
    "a close in fragments": frame(CLOSE, b"\x03\xe8", 0),
    "a continuation of nothing": frame(CONTINUATION, b"3"),
    "a continuation of nothing that goes on": frame(CONTINUATION, b"3", 0),
    "a message inside of a message": frame(TEXT, b"3", 0) + frame(TEXT, b"3"),
    "a binary message inside of a text": frame(TEXT, b"3", 0) + frame(BINARY, b"3", 0),
    "a continuation after the last": frame(TEXT, b"3", 0) + frame(CONTINUATION) + frame(CONTINUATION),
}


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_frame_that_is_not_allowed_closes_with_1002(websocket, data):
    websocket.send_raw(data)
    assert websocket.closed() == PROTOCOL_ERROR


# ---- size ------------------------------------------------------------------------------------------------------------------------

OVERSIZE = {
    "a byte too many": header(FIN | TEXT, MESSAGE_MAX + 1),
    "a byte too many in binary": header(FIN | BINARY, MESSAGE_MAX + 1),
    "2^31": header(FIN | TEXT, 2**31),
    "2^32 + 1": header(FIN | TEXT, 2**32 + 1),
    "2^53": header(FIN | TEXT, 2**53),
    "2^63 - 1": header(FIN | BINARY, 2**63 - 1),
    "the highest bit, which must be 0": header(FIN | TEXT, 2**63),
    "2^64 - 1": header(FIN | TEXT, 2**64 - 1),
    "a first fragment": header(TEXT, MESSAGE_MAX + 1),
    "the sum of two fragments": frame(TEXT, bytes(MESSAGE_MAX), 0) + header(CONTINUATION, 1),
    "the sum of 100 fragments": frame(BINARY, bytes(10_000), 0) + frame(CONTINUATION, bytes(10_000), 0) * 99 + header(CONTINUATION, 1),
}


@pytest.mark.parametrize("data", OVERSIZE.values(), ids=OVERSIZE)
def test_a_message_over_the_limit_closes_with_1009_before_it_comes(websocket, data):
    """By its header: the mask and the payload are never awaited. `transport error` (server-behaviour.md 2.10)."""
    websocket.send_raw(data + bytes(4))
    assert websocket.closed() == TOO_BIG


def test_a_message_of_the_limit_is_taken(websocket):
    """And comes back in one event."""
    message = f'42["message","{"x" * (MESSAGE_MAX - 16)}"]'
    websocket.send(message)
    assert websocket.text() == message.replace("message", "message-back")


@pytest.mark.parametrize("form", [16, 64])
def test_a_length_in_more_bytes_than_needed_is_read(websocket, form):
    """RFC 6455 §5.2 forbids it to senders; `ws` takes it, and nothing hangs on it."""
    websocket.send_raw(frame(TEXT, b'42["echo",1]', form=form))
    assert websocket.text() == '42["echo",1]'


def test_announced_megabytes_that_never_come_cost_nothing(server):
    before = server.rss_kib()
    peers = [WebSocket.joined(server).send_raw(header(FIN | BINARY, MESSAGE_MAX) + bytes(4)) for _ in range(50)]
    assert server.rss_kib() < before + 16 * 1024
    assert all(websocket.quiet(0.001) for websocket in peers)


# ---- fragments -------------------------------------------------------------------------------------------------------------------


def test_a_message_of_50000_empty_fragments_is_a_message(server, websocket):
    before = server.rss_kib()
    websocket.send_raw(frame(TEXT, b'42["echo"', 0) + frame(CONTINUATION, b"", 0) * 50_000 + frame(CONTINUATION, b",1]"))
    assert websocket.text() == '42["echo",1]'
    assert server.rss_kib() < before + 8 * 1024


def test_a_message_byte_by_byte_in_fragments_is_a_message(websocket):
    first, *others, last = (bytes([byte]) for byte in '42["echo","é😀"]'.encode())
    websocket.send_raw(frame(TEXT, first, 0) + b"".join(frame(CONTINUATION, byte, 0) for byte in others) + frame(CONTINUATION, last))
    assert websocket.text() == '42["echo","é😀"]'


def test_pings_between_fragments_are_answered_at_once(websocket):
    """RFC 6455 §5.4."""
    websocket.send_raw(frame(TEXT, b'42["ec', 0) + frame(PING, b"now") + frame(PONG, b"") + frame(CONTINUATION, b'ho",1]'))
    assert websocket.next() == (PONG, b"now")
    assert websocket.text() == '42["echo",1]'


def test_a_frame_that_comes_byte_by_byte_is_read(websocket):
    websocket.peer.trickle(frame(TEXT, b'42["echo",1]', form=64))
    assert websocket.text() == '42["echo",1]'


# ---- text (RFC 6455 §8.1) --------------------------------------------------------------------------------------------------------

NOT_UTF8 = {
    "a lone continuation": b"\x80",
    "a cut character": b"\xe2\x82",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "an overlong of four": b"\xf0\x80\x80\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "a byte of no character": b"\xfe",
}


@pytest.mark.parametrize("fragments", [1, 2], ids=["whole", "in fragments"])
@pytest.mark.parametrize("text", NOT_UTF8.values(), ids=NOT_UTF8)
def test_text_that_is_no_utf8_closes_with_1007(websocket, text, fragments):
    data = b'42["echo","' + text + b'"]'
    at = 12
    frames = frame(TEXT, data) if fragments == 1 else frame(TEXT, data[:at], 0) + frame(CONTINUATION, data[at:])
    websocket.send_raw(frames)
    assert websocket.closed() == INVALID_DATA


# ---- close (RFC 6455 §5.5.1, §7.4) -----------------------------------------------------------------------------------------------

BAD_CLOSES = {
    "one byte": b"\x03",
    **{f"code {code}": code.to_bytes(2, "big") for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]},
}


@pytest.mark.parametrize("payload", BAD_CLOSES.values(), ids=BAD_CLOSES)
def test_a_close_that_may_not_be_sent_is_answered_with_1002(websocket, payload):
    websocket.send_raw(frame(CLOSE, payload))
    assert websocket.closed() == PROTOCOL_ERROR


def test_a_close_whose_reason_is_no_utf8_is_answered_with_1007(websocket):
    websocket.send_raw(frame(CLOSE, b"\x03\xe8\xff"))
    assert websocket.closed() == INVALID_DATA


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 3000, 4999])
def test_a_close_is_answered_with_its_code(websocket, code):
    websocket.send_raw(frame(CLOSE, code.to_bytes(2, "big") + b"bye"))
    assert websocket.closed() == code


def test_a_close_without_a_code_is_answered_without_one(websocket):
    websocket.send_raw(frame(CLOSE))
    assert websocket.closed() == NO_CODE


def test_what_follows_a_close_is_not_read(server, websocket):
    """RFC 6455 §5.5.1: nothing may; the server does not wait for the peer's end before it drops the session."""
    websocket.send_raw(frame(CLOSE, b"\x03\xe8") + frame(TEXT, b'42["echo",1]') + frame(PING, b"x"))
    assert websocket.closed() == 1000


def test_a_peer_that_does_not_answer_a_close_is_cut_off(server, websocket):
    """It stays in TCP and goes on sending; the fds come back all the same."""
    websocket.send_raw(frame(FIN | 3))
    assert websocket.next()[0] == CLOSE
    assert websocket.peer.flood(frame(PING, bytes(125)) * 500, seconds=8, bytes_max=10**12) > 0


# ---- control frames --------------------------------------------------------------------------------------------------------------


def test_1000_pings_are_answered_in_order(websocket):
    websocket.send_raw(b"".join(frame(PING, str(number).encode()) for number in range(1_000)))
    assert [websocket.next() for _ in range(1_000)] == [(PONG, str(number).encode()) for number in range(1_000)]


def test_pings_whose_answers_nobody_reads_cost_no_memory(server):
    """Only the last one need be answered (RFC 6455 §5.5.3). `ws` queues an answer to each."""
    websocket = WebSocket.joined(server, receive_buffer=4096)
    before = server.rss_kib()
    sent = websocket.peer.flood(frame(PING, bytes(125)) * 500, seconds=2, bytes_max=50_000_000)
    assert sent > 1_000_000
    assert server.rss_kib() < before + 8 * 1024


def test_100000_pongs_that_nobody_asked_for_are_ignored(websocket):
    """RFC 6455 §5.5.3."""
    websocket.send_raw(frame(PONG, b"x") * 100_000)
    assert websocket.echo()


def test_pings_and_pongs_of_websocket_are_no_heartbeat(websocket):
    """The heartbeat is Engine.IO's: who does not answer that one is gone (engine-io.md §6)."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        websocket.send_raw(frame(PING, b"x") + frame(PONG, b"2"))
        opcode, payload = websocket.next()
        if opcode == CLOSE:
            break
        time.sleep(0.1)
    assert opcode == CLOSE


# ---- ends ------------------------------------------------------------------------------------------------------------------------

CUTS = {
    "inside of a header": header(FIN | TEXT, 70_000)[:5],
    "inside of a mask": header(FIN | TEXT, 10) + b"\0",
    "inside of a payload": header(FIN | TEXT, 10) + bytes(4) + b"42",
    "between fragments": frame(TEXT, b"42[", 0),
    "after a header of a megabyte": header(FIN | BINARY, MESSAGE_MAX) + bytes(4) + bytes(300_000),
}


@pytest.mark.parametrize("end", [Peer.reset, Peer.close, Peer.half_close], ids=["reset", "closed", "half-closed"])
@pytest.mark.parametrize("data", CUTS.values(), ids=CUTS)
def test_a_connection_that_ends_inside_of_a_frame_ends_its_session(server, websocket, data, end):
    """`transport close`; what came of the message is thrown away."""
    websocket.send_raw(data)
    end(websocket.peer)
    deadline = time.monotonic() + RETURN_TIMEOUT_S
    target = f"{HANDSHAKE}&sid={websocket.sid}"
    while (answer := ask(server, "GET", target)).code != 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert answer.code == 1


def test_300_websockets_that_are_reset_leave_nothing(server):
    for _ in range(300):
        WebSocket(server).peer.reset()


def test_the_other_sessions_of_an_address_are_not_concerned(server, websocket):
    polling = Polling(server).join()
    bad = WebSocket.joined(server).send_raw(bytes(64))
    assert bad.closed() in (PROTOCOL_ERROR, ABNORMAL)
    assert websocket.echo() and polling.echo()
