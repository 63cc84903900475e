"""Request heads that no client sends.

What a proxy in front could read in another way is refused, and the connection closed: a request that was not understood has no
end, so nothing after it may be taken for another (RFC 9112 §11.2). Node's parser, which the official server stands on, answers
with 400 too unless a case says otherwise.
"""

import os

import pytest

from sessions import HANDSHAKE
from wire import Peer, ask, request, send_raw

GET = f"GET {HANDSHAKE} HTTP/1.1\r\nHost: h\r\n".encode()
POST = f"POST {HANDSHAKE} HTTP/1.1\r\nHost: h\r\n".encode()
# Would be answered with 200 if it were taken for a request.
SMUGGLED = GET + b"\r\n"


def head(lines):
    return POST + lines + b"\r\n"


# ---- where a body ends (RFC 9112 §6.3) ---------------------------------------------------------------------------------------

AMBIGUOUS = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "one length twice": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "a list of lengths": b"Content-Length: 5, 5\r\n",
    "a negative length": b"Content-Length: -5\r\n",
    "a length with a plus": b"Content-Length: +5\r\n",
    "a hexadecimal length": b"Content-Length: 0x5\r\n",
    "a length with a space in it": b"Content-Length: 1 5\r\n",
    "a length with a fraction": b"Content-Length: 5.0\r\n",
    "a length of nothing": b"Content-Length:\r\n",
    "a length of 20 digits": b"Content-Length: 18446744073709551616\r\n",
    "a length in other digits": "Content-Length: ５\r\n".encode(),
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked before another coding": b"Transfer-Encoding: chunked, gzip\r\n",
    "chunked and identity in two lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "a vertical tab before chunked": b"Transfer-Encoding:\x0bchunked\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "a tab before the colon": b"Content-Length\t: 5\r\n",
}


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_body_is_refused(server, lines):
    assert send_raw(server, head(lines) + b"0\r\n\r\n" + SMUGGLED).status == 400


@pytest.mark.parametrize("coding", ["gzip", "identity", "xchunked", "gzip, chunked"])
def test_other_transfer_codings_are_not_implemented(server, coding):
    """RFC 9112 §6.1 names 501; Node gives 400."""
    assert send_raw(server, head(f"Transfer-Encoding: {coding}\r\n".encode()) + SMUGGLED).status == 501


def test_http_1_0_has_no_chunks(server):
    """RFC 9112 §6.1: such framing is faulty."""
    data = request("POST", HANDSHAKE, "Transfer-Encoding: chunked", version="1.0")
    assert send_raw(server, data + b"0\r\n\r\n" + SMUGGLED).status == 400


# ---- lines (RFC 9112 §2.2, §5; RFC 9110 §5) -----------------------------------------------------------------------------------

BAD_LINES = {
    "a bare line feed": b"X: a\nContent-Length: 5\r\n",
    "bare line feeds to the end": b"X: a\n\n" + SMUGGLED,
    "a bare carriage return": b"X: a\rContent-Length: 5\r\n",
    "a NUL in a value": b"X: a\0b\r\n",
    "a NUL in a name": b"X\0Y: a\r\n",
    "a folded line": b"X: a\r\n Transfer-Encoding: chunked\r\n",
    "a line of white space": b" \r\n",
    "no colon": b"Transfer-Encoding chunked\r\n",
    "no name": b": chunked\r\n",
    "a name in brackets": b"[X]: a\r\n",
    "a name beyond ASCII": "É: a\r\n".encode(),
    "a control character in a value": b"X: \x01\r\n",
    "a second Host": b"Host: other\r\n",
}


@pytest.mark.parametrize("lines", BAD_LINES.values(), ids=BAD_LINES)
def test_a_malformed_line_is_refused(server, lines):
    assert send_raw(server, GET + lines + b"\r\n" + SMUGGLED).status == 400


def test_http_1_1_without_a_host_is_refused(server):
    """RFC 9112 §3.2."""
    assert send_raw(server, f"GET {HANDSHAKE} HTTP/1.1\r\n\r\n".encode()).status == 400


# ---- the request line ----------------------------------------------------------------------------------------------------------

NOT_REQUESTS = {
    "HTTP/0.9": b"GET /\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab": b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: h\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "a control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a version without a point": b"GET / HTTP/11\r\nHost: h\r\n\r\n",
    "a version of two digits": b"GET / HTTP/1.10\r\nHost: h\r\n\r\n",
    "another protocol": b"GET / ICY/1.1\r\nHost: h\r\n\r\n",
    "a lower-case version": b"GET / http/1.1\r\nHost: h\r\n\r\n",
    "a TLS ClientHello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "the greeting of SSH": b"SSH-2.0-OpenSSH_9.7\r\n",
    "NULs": bytes(64),
    "high bytes": b"\xff" * 64,
}


@pytest.mark.parametrize("data", NOT_REQUESTS.values(), ids=NOT_REQUESTS)
def test_what_is_no_request_is_refused(server, data):
    assert send_raw(server, data).status == 400


@pytest.mark.parametrize("version", ["2.0", "1.2", "3.0", "0.9"])
def test_other_versions_are_not_supported(server, version):
    """RFC 9110 §15.6.6; Node gives 400."""
    assert send_raw(server, request("GET", HANDSHAKE, version=version)).status == 505


def test_the_preface_of_http_2_is_refused(server):
    """RFC 9113 §3.4: written so that servers of HTTP/1 refuse it."""
    assert send_raw(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)).status == 505


@pytest.mark.parametrize("method", ["get", "Post", "BREW", "PRI", "M-SEARCH", "!#$%&'*+-.^_`|~"])
def test_other_methods_make_no_handshake(server, method):
    """Methods are case-sensitive (RFC 9110 §9.1). Node's parser refuses those that it does not know; the status is the same."""
    answer = ask(server, method, HANDSHAKE)
    assert (answer.status, answer.code) == (400, 2)


def test_head_is_answered_without_a_body(server):
    """RFC 9110 §9.3.2: its bytes would be taken for the start of the next answer. The status is that of other methods."""
    peer = Peer(server).send(request("HEAD", HANDSHAKE) + SMUGGLED)
    assert peer.answer(to_head=True).status == 400
    assert peer.answer().status == 200


def test_connect_opens_no_tunnel(server):
    """RFC 9110 §9.3.6: only a 2xx would."""
    assert ask(server, "CONNECT", "127.0.0.1:22").status == 404


@pytest.mark.parametrize("target", ["*", "http://h/socket.io/?EIO=4&transport=polling", "//socket.io/", "/SOCKET.IO/", "/%73ocket.io/"])
def test_other_forms_of_the_target_are_not_on_the_path(server, target):
    """The official server compares the target as it came with its path, and what is not on it is the application's."""
    assert ask(server, "GET", target).status == 404


# ---- size ----------------------------------------------------------------------------------------------------------------------

TOO_LARGE = {
    "a target of 64 KiB": f"GET {HANDSHAKE}&t={'x' * 65_536} HTTP/1.1\r\nHost: h\r\n\r\n".encode(),
    "a value of 1 MiB": GET + b"X: " + b"x" * 2**20,
    "a name of 1 MiB": GET + b"x" * 2**20,
    "a method of 1 MiB": b"G" * 2**20,
    "300 headers": GET + b"X: y\r\n" * 300 + b"\r\n",
    "cookies without end": GET + b"Cookie: a=b\r\n" * 100_000,
    "empty lines without end": b"\r\n" * 500_000,
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_that_is_too_large_is_refused(server, data):
    """RFC 6585 §5, and Node's status; refused when the bound is passed and not when the head ends."""
    peer = Peer(server).send(data)
    assert peer.answer().status == 431
    assert peer.closed()


def test_random_bytes_do_no_harm(server):
    for _ in range(200):
        Peer(server).send(os.urandom(300)).half_close().rest()
