"""Sessions that are guessed, mixed up, or asked of in ways that no client does (engine-io.md §2, §3)."""

import pytest

from sessions import HANDSHAKE, PATH, SEPARATOR, Polling, WebSocket
from wire import Peer, ask, request

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def session(server):
    return Polling(server).join()


# ---- session ids -----------------------------------------------------------------------------------------------------------------

UNKNOWN_SIDS = [
    "0",
    "A" * 19,
    "A" * 20,
    "A" * 21,
    "A" * 15_000,
    "../../../etc/passwd",
    "%00" * 20,
    "%F0%9F%98%80" * 5,
    "%ff" * 20,
    "%zz%",
    "null",
    "__proto__",
    "constructor",
    "'%20OR%20'1'='1",
    "-1",
    "%2B" * 20,
]


@pytest.mark.parametrize("sid", UNKNOWN_SIDS, ids=lambda sid: sid[:24])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_sid_is_refused(server, method, sid):
    answer = ask(server, method, f"{HANDSHAKE}&sid={sid}")
    assert (answer.status, answer.code) == (400, 1)


def test_a_sid_that_differs_in_one_character_is_refused(server, session):
    for at, char in enumerate(session.sid):
        other = ALPHABET[(ALPHABET.index(char) + 1) % len(ALPHABET)]
        sid = session.sid[:at] + other + session.sid[at + 1 :]
        assert ask(server, "GET", f"{HANDSHAKE}&sid={sid}").code == 1
    assert session.echo()


@pytest.mark.parametrize("change", [str.swapcase, lambda sid: sid + "A", lambda sid: sid[:-1], lambda sid: sid + "%20"])
def test_a_sid_is_compared_byte_by_byte(server, session, change):
    assert ask(server, "GET", f"{HANDSHAKE}&sid={change(session.sid)}").code == 1
    assert session.echo()


def test_a_sid_that_is_over_is_unknown(server, session):
    session.leave()
    assert session.get().code == 1


def test_an_empty_sid_is_none(server):
    assert ask(server, "GET", f"{HANDSHAKE}&sid=").text.startswith("0{")


def test_the_last_of_several_parameters_counts(server, session):
    """server-behaviour.md 2.38."""
    assert ask(server, "GET", f"{HANDSHAKE}&sid={session.sid}&sid=x").code == 1
    assert ask(server, "POST", f"{HANDSHAKE}&sid=x&sid={session.sid}", body=b"3").text == "ok"
    assert ask(server, "POST", f"{HANDSHAKE}&sid=x&%73id={session.sid}", body=b"3").text == "ok"
    assert ask(server, "GET", f"{HANDSHAKE}&sid={session.sid}&sid=").text.startswith("0{")
    assert ask(server, "GET", f"{HANDSHAKE}&EIO=3").code == 5
    assert session.echo()


def test_a_session_of_websocket_does_not_answer_polls(server):
    """Error 3, and nothing happens to the session (server-behaviour.md 2.5)."""
    websocket = WebSocket.joined(server)
    target = f"{HANDSHAKE}&sid={websocket.sid}"
    for method, body in [("GET", b""), ("POST", b"1"), ("POST", b"41"), ("PUT", b"x")]:
        answer = ask(server, method, target, body=body)
        assert (answer.status, answer.code) == (400, 3)
    assert websocket.echo()


def test_a_session_of_polling_is_not_served_as_websocket_without_an_upgrade(server, session):
    answer = ask(server, "GET", f"{PATH}?EIO=4&transport=websocket&sid={session.sid}")
    assert (answer.status, answer.code) == (400, 3)
    assert session.echo()


@pytest.mark.parametrize("revision", ["3", "5", "", "04", "4.0", "%34%00"])
def test_another_revision_is_refused_for_a_session(server, session, revision):
    """Error 3 (PROTOCOL_MISMATCH of engine.io 6.6.11)."""
    answer = ask(server, "GET", f"{PATH}?EIO={revision}&transport=polling&sid={session.sid}")
    assert (answer.status, answer.code) == (400, 3)
    assert session.echo()


# ---- handshakes ------------------------------------------------------------------------------------------------------------------

REFUSED = {
    "": 0,
    "EIO=4": 0,
    "EIO=4&transport=": 0,
    "EIO=4&transport=POLLING": 0,
    "EIO=4&transport=webtransport": 0,
    "EIO=4&transport=__proto__": 0,
    "EIO=4&transport=constructor": 0,
    "EIO=4&transport=flashsocket": 0,
    "EIO=4&transport=polling%00": 0,
    "EIO=4&transport=websocket": 3,
    "transport=polling": 5,
    "EIO=3&transport=polling": 5,
    "EIO=5&transport=polling": 5,
    "EIO=4&EIO=5&transport=polling": 5,
    "EIO=-4&transport=polling": 5,
    "EIO=44444444444444444444&transport=polling": 5,
    "&".join(["EIO=4"] * 1_000 + ["transport=x"]): 0,
}


@pytest.mark.parametrize("query, code", REFUSED.items(), ids=lambda value: str(value)[:40])
def test_a_handshake_with_wrong_parameters_is_refused(server, query, code):
    answer = ask(server, "GET", f"{PATH}?{query}")
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_a_handshake_is_a_get(server, method):
    answer = ask(server, method, HANDSHAKE, body=b"40" if method == "POST" else b"")
    assert (answer.status, answer.code) == (400, 2)


@pytest.mark.parametrize("origin", [b"\xff", b"http://a\xe9"])
def test_an_origin_of_other_bytes_is_taken_as_node_takes_it(server, origin):
    """Bytes from 0x80 on are allowed in a header's value (RFC 9110 §5.5)."""
    answer = Peer(server).send(f"GET {HANDSHAKE} HTTP/1.1\r\nHost: h\r\nOrigin: ".encode() + origin + b"\r\n\r\n").answer()
    assert answer.status == 200


def test_a_handshake_with_a_query_of_16000_bytes_is_taken(server):
    assert ask(server, "GET", f"{HANDSHAKE}&{'a[]=%2500&' * 1_500}").status == 200


# ---- requests of a session -------------------------------------------------------------------------------------------------------


def test_two_polls_at_a_time_end_the_session(server, session):
    """400 for the newcomer, and the one that waits is told that it is over (server-behaviour.md 2.9)."""
    waiting = session.waiting_poll()
    answer = session.get()
    assert (answer.status, answer.body) == (400, b"")
    assert waiting.answer().text == "1"
    assert not session.is_alive()


def test_two_posts_at_a_time_end_the_session(server, session):
    session.waiting_post(10, b"4")
    answer = session.post("3")
    assert (answer.status, answer.body) == (400, b"")
    assert not session.is_alive()


def test_a_second_post_is_refused_before_its_body(server, session):
    session.waiting_post(10, b"4")
    second = Peer(server).send(request("POST", session.target, "Content-Length: 10"))
    assert second.answer().status == 400
    assert second.closed()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE", "BREW"])
def test_other_methods_do_nothing_to_a_session(server, session, method):
    """500 without a body (engine-io.md §3)."""
    answer = ask(server, method, session.target)
    assert (answer.status, answer.body) == (500, b"")
    assert session.echo()


def test_a_close_packet_releases_the_poll_and_ends_the_session(server, session):
    waiting = session.waiting_poll()
    assert session.post('1\x1e42["echo",1]').text == "ok"
    assert waiting.answer().text == "6"
    assert not session.is_alive()


def test_100_sessions_do_not_hear_each_other(server):
    sessions = [Polling(server).join() for _ in range(100)]
    for number, session in enumerate(sessions):
        session.post(f'42["echo",{number}]')
    for number, session in enumerate(sessions):
        assert session.get().text == f'42["echo",{number}]'
        session.leave()


# ---- JSONP (engine-io.md §7) -----------------------------------------------------------------------------------------------------

INDEXES = {
    "0": "0",
    "12abc34": "1234",
    "</script><script>alert(1)</script>": "1",
    "];alert(1)//": "1",
    "%0d%0aSet-Cookie:x=1": "1",
    "__proto__": "",
    "-1.5e3": "153",
    "%EF%BC%91": "",
    "9" * 5_000: "9" * 16,
}


@pytest.mark.parametrize("index, kept", INDEXES.items(), ids=lambda value: value[:16])
def test_a_callback_index_is_digits_and_no_more(server, index, kept):
    """What a query says comes back in a script; the digits are as many as anyone counts to."""
    session = Polling(server, query=f"&j={index}")
    assert session.handshake.text.startswith(f'___eio[{kept}]("0{{')
    assert session.handshake.headers["content-type"] == "text/plain; charset=UTF-8"
    assert "set-cookie" not in session.handshake.headers


def test_what_a_script_carries_cannot_end_it(server):
    session = Polling(server, query="&j=1")
    session.post("d=40")
    session.get()
    session.post('d=42["echo","\\"); alert(1); (\\"%E2%80%A8</script>"]')
    for _ in range(3):
        text = session.get().text
        if "alert" in text:
            break
    assert text == '___eio[1]("42[\\"echo\\",\\"\\\\\\"); alert(1); (\\\\\\"\\u2028</script>\\"]");'


FORMS = ["", "x=1", "d", "%", "d=%", "d=%ff%fe%zz", "&&&&", "=" * 10_000, "d=1&d=3"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form[:12])
def test_a_form_of_any_shape_is_answered(server, form):
    """Without `d` it says nothing; with one that holds no packet the session is over."""
    session = Polling(server, query="&j=1")
    data = request("POST", session.target, f"Content-Length: {len(form)}") + form.encode()
    assert Peer(server).send(data).answer().text == "ok"


def test_packets_that_wait_come_once_and_in_order(server, session):
    session.post(SEPARATOR.join(f'42["echo",{number}]' for number in range(5_000)))
    assert session.take(5_000) == [f'42["echo",{number}]' for number in range(5_000)]
