"""Bodies of POST requests: their framing (RFC 9112 §7), their size, and connections that end inside of one."""

import gzip

import pytest

from sessions import HANDSHAKE, Polling
from wire import Peer, request

BODY_MAX = 1_000_000
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
def session(server):
    return Polling(server).join()


def begun(session, *lines, body=b""):
    """A POST of the session: its head, and as much of its body as is given."""
    return Peer(session.server).send(request("POST", session.target, *lines) + body)


# ---- chunks --------------------------------------------------------------------------------------------------------------------

BROKEN_CHUNKS = {
    "no size": b"\r\n\r\n",
    "a size of 17 digits": b"10000000000000004\r\n3\r\n",
    "a negative size": b"-1\r\n3\r\n",
    "a size with a prefix": b"0x1\r\n3\r\n0\r\n\r\n",
    "a size after a space": b" 1\r\n3\r\n0\r\n\r\n",
    "no digit": b"g\r\n3\r\n",
    "a bare line feed after the size": b"1\n3\r\n0\r\n\r\n",
    "a bare line feed in an extension": b"1;a\nb\r\n3\r\n0\r\n\r\n",
    "more data than announced": b"1\r\n33\r\n0\r\n\r\n",
    "no line end after the data": b"1\r\n30\r\n\r\n",
    "an extension of 1 MB": b"1;" + b"x" * 1_000_000,
    "extensions without end": (b"1;" + b"x" * 200 + b"\r\n3\r\n") * 2_000,
    "a trailer without end": b"0\r\nX: " + b"x" * 1_000_000,
    "trailers without end": b"0\r\n" + b"X: yyyyyyyyyyyy\r\n" * 20_000,
    "a trailer with a bare line feed": b"0\r\nX: y\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_broken_chunks_are_refused(session, body):
    """The request is refused and its connection closed, as Node does; the session is not to blame and goes on."""
    peer = begun(session, CHUNKED, body=body)
    assert peer.answer().status == 400
    assert peer.closed()
    assert session.echo()


def test_a_body_of_many_small_chunks_is_read(session):
    peer = begun(session, CHUNKED, body=b"".join(b"1;x\r\n%c\r\n" % c for c in b'42["echo",1]') + b"0\r\nX: y\r\n\r\n")
    assert peer.answer().text == "ok"
    assert session.take(1) == ['42["echo",1]']


# ---- size ----------------------------------------------------------------------------------------------------------------------

OVERSIZE = {
    "a length": (f"Content-Length: {BODY_MAX + 1}", b""),
    "a length of 2^63": (f"Content-Length: {2**63}", b"3"),
    "a length of 2^64 - 1": (f"Content-Length: {2**64 - 1}", b"3"),
    "a chunk": (CHUNKED, b"f4241\r\n"),
    "a chunk of 2^64 - 1": (CHUNKED, b"ffffffffffffffff\r\n3"),
    "the sum of chunks": (CHUNKED, (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 31),
}


@pytest.mark.parametrize("line, body", OVERSIZE.values(), ids=OVERSIZE)
def test_a_body_over_the_limit_is_refused_by_what_it_announces(session, line, body):
    """413, and the session goes on (server-behaviour.md 2.10)."""
    peer = begun(session, line, body=body)
    assert peer.answer().status == 413
    assert peer.closed()
    assert session.echo()


def test_a_body_of_the_limit_is_taken(session):
    packet = f'42["message","{"x" * (BODY_MAX - 16)}"]'
    assert len(packet) == BODY_MAX
    assert session.post(packet).text == "ok"
    assert session.take(1) == [packet.replace("message", "message-back")]
    assert session.echo()


def test_a_body_over_the_limit_is_refused_for_who_waits_to_send_it(session):
    """RFC 9110 §10.1.1: after 100 Continue, which Node sends as well, comes the refusal, without a byte of the body."""
    peer = begun(session, "Expect: 100-continue", f"Content-Length: {BODY_MAX + 1}")
    answer = peer.answer()
    assert (peer.answer() if answer.status == 100 else answer).status == 413


def test_a_bomb_of_gzip_is_not_inflated(server):
    """A request's Content-Encoding means nothing to the official server: the bytes are text, and no packet."""
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < BODY_MAX
    session = Polling(server).join()
    before = server.rss_kib()
    assert session.post(bomb, "Content-Encoding: gzip").text == "ok"
    assert not session.is_alive()
    assert server.rss_kib() < before + 10_000


def test_a_large_body_without_a_session_is_not_kept(server):
    """No handshake is made by POST (error 2); the body is bounded like any."""
    peer = Peer(server).send(request("POST", HANDSHAKE, body=b"x" * 900_000))
    assert (peer.answer().code) == 2
    peer = Peer(server).send(request("POST", HANDSHAKE, f"Content-Length: {BODY_MAX + 1}"))
    assert peer.answer().status == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_a_body_after_any_method_belongs_to_its_request(server, method):
    """RFC 9110 §9.3.1: a body has no meaning there, but its bytes are no request."""
    smuggled = request("GET", HANDSHAKE)
    peer = Peer(server).send(request(method, HANDSHAKE, body=smuggled))
    assert peer.answer().status == (200 if method == "GET" else 400)
    assert peer.silent(0.1)


# ---- connections that end inside of a body ---------------------------------------------------------------------------------------

ENDINGS = {"reset": Peer.reset, "closed": Peer.close, "half-closed": Peer.half_close}


@pytest.mark.parametrize("framing", [("Content-Length: 100", b"42["), (CHUNKED, b"64\r\n42[")], ids=["length", "chunks"])
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_body_that_breaks_off_ends_its_session(session, end, framing):
    """`transport error` in the official server: the packets in it are lost, so the session cannot go on."""
    peer = begun(session, framing[0], body=framing[1])
    assert peer.silent(0.05)
    end(peer)
    session.get()
    assert not session.is_alive()


def test_bytes_after_a_body_are_the_next_request(session):
    """RFC 9112 §9.3.2: here they are none, so the first is answered and the second refused."""
    peer = begun(session, "Content-Length: 1", body=b"3garbage\r\n\r\n")
    assert peer.answer().text == "ok"
    assert peer.answer().status == 400
    assert peer.closed()
    assert session.is_alive()


def test_a_body_that_comes_byte_by_byte_is_read(session):
    peer = begun(session, "Content-Length: 12").trickle(b'42["echo",1]')
    assert peer.answer().text == "ok"
    assert session.take(1) == ['42["echo",1]']


# ---- content ---------------------------------------------------------------------------------------------------------------------

FATAL = {
    "nothing": b"",
    "no packet": b"abc",
    "a separator": b"\x1e",
    "a trailing separator": b"3\x1e",
    "a leading separator": b"\x1e3",
    "100,000 separators": b"\x1e" * 100_000,
    "a ping, which only servers send": b"2",
    "an unknown packet type": b"7",
    "bytes that are no UTF-8": b"\xff\xfe",
    "an attachment that none announced": b"bAQID",
    "an attachment of nothing": b"b",
    "an attachment that is no base64": b"b!!!",
}


@pytest.mark.parametrize("body", FATAL.values(), ids=FATAL)
def test_a_payload_that_cannot_be_read_ends_the_session(session, body):
    """The answer is `ok`, as it was sent to those of the official server before the packets were read; the session is over."""
    request_with_body = request("POST", session.target, f"Content-Length: {len(body)}") + body
    assert Peer(session.server).send(request_with_body).answer().text == "ok"
    session.get()
    session.get()
    assert not session.is_alive()


def test_a_payload_of_bytes_is_of_revision_3(session):
    """400, and the session is closed (engine-io.md §3)."""
    assert session.post(b"\x00\x01\xff3", "Content-Type: application/octet-stream").status == 400
    assert not session.is_alive()


def test_packets_after_a_bad_one_are_not_read(session):
    session.post('9\x1e42["echo",1]')
    assert not session.is_alive()


def test_a_payload_of_300000_packets_is_read(session):
    assert session.post("\x1e".join(["3"] * 300_000)).text == "ok"
    assert session.echo()


def test_bad_utf8_inside_of_text_becomes_replacement_characters(session):
    """As Node reads a body; JSON that holds them is still JSON."""
    session.post(b'42["echo","\xff\xed\xa0\x80"]')
    assert session.take(1) == ['42["echo","\ufffd\ufffd\ufffd\ufffd"]']
