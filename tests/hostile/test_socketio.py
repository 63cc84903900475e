"""Socket.IO packets that no client sends (socket-io.md §1, §3, §5). Each violation ends the whole connection, as with the
official server; what is odd and allowed there is odd and allowed here."""

import json

import pytest

from sessions import NO_CODE, WebSocket
from wire import ask


@pytest.fixture
def websocket(server):
    return WebSocket.joined(server)


# ---- packets -----------------------------------------------------------------------------------------------------------------------

FATAL = {
    # The type.
    "type 7": "7",
    "type 8": '8["echo",1]',
    "type 9": "9",
    "a minus for a type": "-2",
    "a letter for a type": "x",
    "a digit of another script": '２["echo"]',
    # CONNECT.
    "connect twice": "0",
    "connect with an array": "0/custom,[]",
    "connect with a string": '0/custom,"x"',
    "connect with null": "0/custom,null",
    "connect with a number": "0/custom,1.5",
    "connect with half of an object": '0/custom,{"a":',
    "connect with two objects": "0/custom,{}{}",
    "nothing at all, which is connect": "",
    # DISCONNECT.
    "disconnect with a payload": "1{}",
    "disconnect from a namespace that was not joined": "1/custom,",
    "disconnect from one that does not exist": "1/nowhere,",
    # EVENT.
    "an event without a name": "2[]",
    "an event named null": "2[null]",
    "an event named by an object": '2[{"echo":1}]',
    "an event named by an array": '2[["echo"]]',
    "an event named true": "2[true]",
    "an object for an event": '2{"0":"echo"}',
    "a string for an event": '2"echo"',
    "a number for an event": "2.5",
    "an event that is not closed": '2["echo",1',
    "an event with a trailing comma": '2["echo",]',
    "an event with a leading comma": '2[,"echo"]',
    "an event with something behind it": '2["echo",1]x',
    "two events": '2["echo",1]["echo",2]',
    "single quotes": "2['echo',1]",
    "a comment": '2["echo"/**/,1]',
    "a bare word": '2["echo",undefined]',
    "NaN": '2["echo",NaN]',
    "Infinity": '2["echo",-Infinity]',
    "a hexadecimal number": '2["echo",0x10]',
    "a leading zero": '2["echo",01]',
    "a plus": '2["echo",+1]',
    "a point without digits": '2["echo",1.]',
    "an exponent without digits": '2["echo",1e]',
    "an escape that is none": '2["echo","\\x41"]',
    "an escape that is cut": '2["echo","\\u12"]',
    "a line feed in a string": '2["echo","a\nb"]',
    "a NUL in a string": '2["echo","a\0b"]',
    "a NUL behind the event": '2["echo",1]\0',
    "a byte order mark before the event": '2\ufeff\ufeff["echo"',
    "a million brackets": "2" + "[" * 900_000,
    "a million braces": '2["echo",' + '{"":' * 200_000,
    "an event for a namespace that was not joined": '2/custom,["echo",1]',
    "an event for one that does not exist": '2/nowhere,["echo",1]',
    "an event for a namespace with a query": '2/?x=1,["echo",1]',
    "an event whose namespace ends nowhere": '2/["echo",1]',
    "an event with a negative ack id": '2-1["echo",1]',
    "an event with a fraction for an ack id": '21.5["echo",1]',
    "an event with an exponent in its ack id": '21e3["echo",1]',
    # Reserved names.
    **{
        f"the reserved event {name}": f'2["{name}"]'
        for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
    },
    "a reserved name in escapes": '2["\\u0063onnect"]',
    # ACK.
    "an object for an ack": "30{}",
    "a string for an ack": '30"x"',
    "an ack that is not closed": "30[",
    "an ack for a namespace that was not joined": "3/custom,0[]",
    # CONNECT_ERROR.
    "connect_error": "4",
    "connect_error with a message": '4{"message":"x"}',
    "connect_error with an array": "4[]",
    "connect_error for another namespace": '4/custom,"x"',
}


@pytest.mark.parametrize("packet", FATAL.values(), ids=FATAL)
def test_a_violation_ends_the_connection(websocket, packet):
    websocket.send(f"4{packet}", '42["echo",1]')
    assert websocket.closed() == NO_CODE


ALLOWED = {
    "an event without a payload": "2",
    "an ack without an id": "3[]",
    "an ack without a payload": "37",
    "an ack that answers nothing": "3123[1]",
    "an ack with an id of 20 digits": "399999999999999999999[1]",
    "an ack with an id of 100,000 digits": "3" + "9" * 100_000 + "[]",
    "a numeric event": "2[1]",
    "an event named 1e999": "2[1e999]",
    "an event with an empty name": '2[""]',
    "an event named error": '2["error","x"]',
    "an event named message": '2["toString"]',
    "an event named __proto__": '2["__proto__",{"a":1}]',
    "an event named constructor": '2["constructor"]',
    "an event named by a lone surrogate": '2["\\ud800"]',
    "an event named by a NUL": '2["\\u0000"]',
    "white space around the payload": '2 \t\n["nobody"]\r\n ',
    "join without a room": '2["join"]',
    "join of a number": '2["join",1e400]',
    "join of a lone surrogate": '20["join","\\ud800"]',
    "join of a NUL": '2["join","\\u0000"]',
    "join of __proto__": '2["join","__proto__"]',
    "leave of a room that one is not in": '2["leave","nowhere"]',
    "a broadcast to no room": '2["room-emit",null,null,null]',
    "a command of another shape": '2["cmd",[]]',
    "a command without an operation": '20["cmd",{"op":{"__proto__":1}}]',
    "a command with wrong types": '20["cmd",{"op":"emit","to":{"length":1e9},"flags":7,"event":[],"args":{}}]',
    "bin of a negative size": '2["bin",-1]',
}


@pytest.mark.parametrize("packet", ALLOWED.values(), ids=ALLOWED)
def test_what_is_odd_and_allowed_does_no_harm(websocket, packet):
    websocket.send(f"4{packet}", '42["echo","after"]')
    while (text := websocket.text()) != '42["echo","after"]':
        assert text.startswith(("43", "42", "45"))
        if text.startswith("45"):
            for _ in range(int(text[2])):
                websocket.next()


PAYLOADS = {
    "a number of 100,000 digits": "9" * 100_000,
    "a number that is too large": "1e99999",
    "a number that is too small": "-1e-99999",
    "a minus zero": "-0",
    "a lone surrogate": '"\\ud800"',
    "a NUL": '"\\u0000"',
    "characters that end lines in JavaScript": '"\u2028\u2029"',
    "a key twice": '{"a":1,"a":2}',
    "__proto__ for a key": '{"__proto__":{"admin":true},"constructor":{"prototype":{}}}',
    "an empty key": '{"":{"":{}}}',
    "toJSON for a key": '{"toJSON":1,"length":-1,"then":"x"}',
    "a placeholder without an attachment": '{"_placeholder":true,"num":0}',
    "a placeholder with a wrong number": '{"_placeholder":true,"num":"x"}',
    "1000 levels": "[" * 1_000 + "]" * 1_000,
    "100,000 arguments": ",".join(["0"] * 100_000),
    "a million spaces": " " * 900_000 + "1",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_that_is_json_comes_back_as_it_is(websocket, payload):
    """Nothing of it is interpreted: no number rounded, no key set on anything, no level climbed."""
    event = f'2["echo",{payload}]'
    websocket.send(f"4{event}")
    assert websocket.text().replace(" ", "") == f"4{event}".replace(" ", "")


ACK_IDS = {
    "0": "0",
    "00012": "12",
    "9007199254740991": "9007199254740991",
    "9007199254740993": "9007199254740992",
    "18446744073709551616": "18446744073709552000",
    "99999999999999999999": "100000000000000000000",
    "999999999999999999999": "1e+21",
    "9" * 310: "Infinity",
    " 7": "7",
    " ": "0",
    "1 2": "NaN",
}


@pytest.mark.parametrize("given, answered", ACK_IDS.items(), ids=[f"{len(given)} characters, {given[:12]}" for given in ACK_IDS])
def test_an_ack_id_comes_back_as_javascript_reads_it(websocket, given, answered):
    """server-behaviour.md 2.24."""
    websocket.send(f'42{given}["ack",1]')
    assert websocket.text() == f"43{answered}[1]"


def test_one_ack_id_for_several_events_is_answered_for_each(websocket):
    """Ids are the client's business; the server keeps a list of what it owes and no map."""
    websocket.send(*['427["ack",1]'] * 100)
    assert [websocket.text() for _ in range(100)] == ["437[1]"] * 100


def test_a_second_answer_to_an_ack_is_ignored(websocket):
    websocket.send('420["ask","question"]')
    question = websocket.text()
    ack_id = question[2 : question.index("[")]
    websocket.send(f'43{ack_id}["first"]', f'43{ack_id}["second"]', f'43/,{ack_id}["third"]')
    assert websocket.text() == '430[null,"first"]'
    assert websocket.echo()


def test_an_ack_of_another_client_is_not_an_answer(server, websocket):
    """Whoever guesses the id."""
    other = WebSocket.joined(server)
    websocket.send('420["ask","question"]')
    question = websocket.text()
    ack_id = question[2 : question.index("[")]
    other.send(*[f'43{guess}["stolen"]' for guess in {ack_id, "0", "1", "2"}])
    assert other.echo()
    websocket.send(f'43{ack_id}["mine"]')
    assert websocket.text() == '430[null,"mine"]'


def test_an_ack_for_a_namespace_that_is_not_its_own_is_no_answer(websocket):
    websocket.join("/custom,")
    websocket.send('420["ask","question"]')
    question = websocket.text()
    ack_id = question[2 : question.index("[")]
    websocket.send(f'43/custom,{ack_id}["wrong"]', f'43{ack_id}["right"]')
    assert websocket.text() == '430[null,"right"]'


# ---- before CONNECT ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", ['2["echo",1]', "1", "3[]", '2/custom,["echo",1]', '51-["x",{"_placeholder":true,"num":0}]'])
def test_a_packet_before_connect_ends_the_connection(server, packet):
    """server-behaviour.md 2.19. A binary event does when its attachment has come."""
    websocket = WebSocket.open(server).send(f"4{packet}")
    if packet.startswith("5"):
        websocket.send(b"x")
    assert websocket.closed() == NO_CODE


AUTHS = {
    "__proto__": '{"__proto__":{"admin":true},"rooms":["a"],"data":{"__proto__":{}}}',
    "wrong types": '{"rooms":{"length":1e9},"data":[]}',
    "rooms that are no strings": '{"rooms":[1,null,{},[],"\\ud800",""]}',
    "50,000 keys": json.dumps({f"k{number}": number for number in range(50_000)}, separators=(",", ":")),
    "1000 levels": '{"a":' * 1_000 + "1" + "}" * 1_000,
    "pid and offset": '{"pid":"x","offset":"y"}',
}


@pytest.mark.parametrize("auth", AUTHS.values(), ids=AUTHS)
def test_any_object_may_be_auth(server, auth):
    websocket = WebSocket.open(server).send(f"40{auth}")
    assert websocket.text().startswith("40{")
    assert websocket.text() == f'42["auth",{auth}]'
    assert websocket.echo()


# ---- namespaces --------------------------------------------------------------------------------------------------------------------

UNKNOWN_NAMESPACES = {
    "/nowhere": "/nowhere",
    "a query": "/custom?token=1",
    "a slash more": "/custom/",
    "two slashes": "//",
    "dots": "/../custom",
    "another case": "/CUSTOM",
    "an escape": "/%63ustom",
    "__proto__": "/__proto__",
    "a NUL": "/\0",
    "brackets": '/["echo",1]'.replace(",", ";"),
    "a pattern": "/dyn-.*",
    "a pattern and a line feed": "/dyn-1\n",
    "a pattern in other digits": "/dyn-１",
    "900,000 characters": "/" + "x" * 900_000,
}


@pytest.mark.parametrize("name", UNKNOWN_NAMESPACES.values(), ids=UNKNOWN_NAMESPACES)
def test_a_namespace_is_its_name_to_the_letter(websocket, name):
    """Nothing in it is interpreted (server-behaviour.md 2.21); who asks for another is told so and stays."""
    websocket.send(f"40{name},")
    assert websocket.text() == f'44{name},{{"message":"Invalid namespace"}}'
    assert websocket.echo()


def test_2000_namespaces_that_do_not_exist_leave_nothing(server, websocket):
    before = server.rss_kib()
    for number in range(2_000):
        websocket.send(f"40/no-{number},")
        assert websocket.text().startswith("44")
    assert server.rss_kib() < before + 8 * 1024
    assert websocket.echo()


def test_a_namespace_left_may_be_joined_again_1000_times(websocket):
    websocket.send("40/custom,")
    for _ in range(1_000):
        websocket.send("41/custom,", "40/custom,")
        while not websocket.text().startswith("40/custom,{"):
            pass


def test_a_refused_namespace_may_be_asked_for_again(websocket):
    for _ in range(20):
        websocket.send("40/deny,")
        assert websocket.text() == '44/deny,{"message":"denied","data":{"code":4001}}'
    assert websocket.echo()


def test_a_namespace_asked_for_twice_before_the_answer_ends_the_connection(websocket):
    """The official server makes two sockets of it, the first of which nothing can reach any more (server-behaviour.md 2.20)."""
    websocket.send("40/deny,", "40/deny,")
    assert websocket.closed() == NO_CODE


def test_an_event_for_a_namespace_that_has_not_answered_yet_ends_the_connection(websocket):
    """server-behaviour.md 2.19."""
    websocket.send("40/deny,", '42/deny,["echo",1]')
    assert websocket.closed() == NO_CODE


def test_what_is_left_of_a_session_is_not_found_by_its_sid(server, websocket):
    websocket.send("47")
    assert websocket.closed() == NO_CODE
    assert ask(server, "GET", f"/socket.io/?EIO=4&transport=polling&sid={websocket.sid}").code == 1
