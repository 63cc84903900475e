"""Turns the packets of tests/vectors into inputs for the fuzzing targets, and adds a few shapes that the vectors have not.

usage: seeds.py FOLDER
"""

import hashlib
import json
import pathlib
import struct
import sys

VECTORS = pathlib.Path(__file__).parent.parent / "tests" / "vectors"
CUT, BINARY = b"\xfe", b"\xff"


def load(name):
    return json.loads((VECTORS / name).read_text())


def found(value, key):
    """All values of `key`, however deep."""
    if isinstance(value, list):
        for item in value:
            yield from found(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from found(item, key)


def texts(value, key):
    return [text.encode("utf-8", "surrogatepass") for text in found(value, key) if isinstance(text, str)]


def frame(opcode, payload, fin=True):
    """A client's frame, with a mask of zeros."""
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack(">BH", 0xFE, len(payload))
    else:
        head += struct.pack(">BQ", 0xFF, len(payload))
    return head + bytes(4) + payload


def engine_packets():
    return texts(load("engine-io-parser.json")["v4"], "text")


def engine_bodies():
    exchanges = load("engine-io-http.json")
    return texts(exchanges, "requestBody") + texts(exchanges, "body")


def socket_packets():
    """Lists of the frames of one packet each, binary ones marked."""
    vectors = load("socket-io-parser.json")["v5"]
    for frames in [*found(vectors, "frames"), *found(vectors, "in")]:
        if not isinstance(frames, list):
            continue
        packet = []
        for item in frames:
            if isinstance(item, str):
                packet.append(item.encode("utf-8", "surrogatepass"))
            elif "text" in item:
                packet.append(item["text"].encode("utf-8", "surrogatepass"))
            else:
                hexes = [text for text in item.values() if isinstance(text, str)]
                packet.append(BINARY + bytes.fromhex(hexes[0] if hexes else ""))
        if packet:
            yield packet


def requests():
    for exchange in found(load("engine-io-http.json"), "request"):
        yield exchange.encode()


def session_steps(messages):
    head = struct.pack(">HHHB", 250, 200, 100, 1)
    for message in messages:
        yield head + bytes([6, min(len(message), 255)]) + message[:255] + b"\x01\x00"
    yield head + b"\x02\x05\x02\x00\x01\x01\x01\x01\x05\x05\x00\x01\x01\x07\x03"
    yield head + b"\x00\x00\xfa\x07\x04\x00\x00\x64\x07\x03\x01\x01\x01\x01"


def engine_steps(packets):
    """Steps of the target `engine`: an operation above the connection's two bits, and what follows it."""

    def step(op, at=0, data=None, flag=0):
        return bytes([flag | op << 2 | at]) + (b"" if data is None else bytes([len(data)]) + data)

    websocket, connect, sleep = step(8), step(12), step(13)
    for packet in packets:
        frames = b"".join(step(2, 0, part[1:]) if part[:1] == BINARY else step(3, 0, part) for part in packet if len(part) < 250)
        yield websocket + connect + step(12, flag=0x40) + frames + sleep
    polling = step(7, 1) + step(15, 1)
    yield polling + step(4, 2, b"40") + step(6, 1) + step(15, 1) + step(4, 2, b'42["a",1]\x1e42["b"]') + step(6, 1) + sleep
    yield polling + step(4, 2, b"40") + step(9, 3) + step(6, 1) + step(10, 3) + step(3, 3, b'2["abc"]') + sleep
    yield polling + step(9, 3) + step(10, 3, flag=0x40) + step(13, flag=0x40) + step(14, 3) + step(9, 3) + step(10, 3)
    yield websocket + connect + step(13, flag=0x40) + step(11) + step(0, 0, b"\x89\x80\0\0\0\0") + step(14)
    yield step(0, 0, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") + step(0, 1, b"POST /socket.io/?EIO=4 HTTP/1.1\r\n")


def seeds():
    packets, sockets = engine_packets() + engine_bodies(), list(socket_packets())
    plain = [packet[0] for packet in sockets]
    yield "engine_packet", packets + [b"4" + text for text in plain] + [b"\x1e".join(packets[:9])]
    yield "socket_packet", plain
    yield "socket_binary", [CUT.join(packet) for packet in sockets] + [
        b'51-["a",{"_placeholder":true,"num":0}]\xfe\xff\x01\x02',
        b'62-/n,7[{"\\u005fplaceholder" : true,"num":1e0},{"num":0,"_placeholder":true}]\xfe\xffa\xfe\xffb',
    ]
    arrays = [text[text.index(b"[") :] for text in plain if b"[" in text]
    pointers = [b"/0", b"/1/a", b"", b"/~0~1", b"/1/0"]
    yield "json", [text + CUT + pointers[at % len(pointers)] for at, text in enumerate(arrays)] + [
        b'["\\ud83d\\ude00\\ud800",-0.5e+3,{"a":{"":[null,true,false]}}]\xfe/2/a'
    ]
    frames = [frame(1, b"4" + packet[0]) + b"".join(frame(2, part[1:]) for part in packet[1:]) for packet in sockets]
    streams = frames + [
        frame(1, b"4he", fin=False) + frame(9, b"x") + frame(0, b"llo") + frame(8, b"\x03\xe8bye"),
        frame(2, bytes(200)) + frame(10, b""),
        frame(2, bytes(70000)),
    ]
    yield "websocket", [b"\x20\x00\x03" + stream for stream in streams]
    lines = b" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://a\r\n\r\n"
    heads = [request + lines for request in requests()] + [
        b"POST /?a=b#c HTTP/1.1\r\nhost: h\r\nContent-Length: 3\r\nCookie: a=b\r\nCookie: c\r\n\r\nabc",
        b"POST http://h/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
        b"\r\nGET * HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    ]
    yield "http_head", [b"\x00\x00" + head for head in heads]
    chunked = [
        b"3\r\nabc\r\n0\r\n\r\nGET /",
        b"A;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        b"ffffffffffffffff\r\n",
    ]
    bodies = [b"\xf0\x00\x01\x00\x00\x02" + body for body in chunked]
    yield "http_body", bodies + [b"\x00\x05\x01\x00\x00\x02abcdefg", b"\xff\xff\xff\xff\x00\x01abc"]
    queries = [request.split(b"?", 1)[1] for request in requests() if b"?" in request]
    yield "http_text", [CUT.join([query, b"12", packets[at % len(packets)], b"gzip;q=0.5, br"])
                        for at, query in enumerate(queries)] + [b"d=4a%5Cnb&j=0&%6a=%zz+\xfe3\xfe4\\n\nx\xfe*;q=0"]
    origin = b"\xfeOrigin: http://a\r\nAccess-Control-Request-Headers: x, y"
    options = [
        b'{"cors":{"origin":["http://a",{"regex":"a.*"}],"credentials":true,"maxAge":5,"methods":"GET"},"shards":2}',
        b'{"cookie":{"name":"io","maxAge":1.5,"sameSite":"none","secure":true,"expires":0},"path":"/x","transports":["polling"]}',
        b'{"headers":{"X-A":"b"},"httpCompression":{"threshold":1},"limits":{"attachments":3},"pingInterval":1}',
        b'{"origin":"http://a","exposedHeaders":["x"],"allowedHeaders":"y","optionsSuccessStatus":200}',
        b'{"name":"io","path":"/","domain":"a.b","priority":"high","partitioned":true,"httpOnly":false}',
        b'{"X-A":"b","X-C":["d"]}',
        b"true",
    ]
    yield "options", [text + origin for text in options]
    yield "proxies", [
        b"X-Forwarded-For: 1.2.3.4, 10.0.0.2",
        b"Forwarded: for=1.2.3.4;proto=http, for=\"[2001:db8::1]:80\";by=_x",
        b"Forwarded: for=unknown\r\nX-Forwarded-For: ::ffff:10.0.0.3, 5.6.7.8:90",
    ]
    yield "engine", list(engine_steps(sockets))
    yield "session", list(session_steps(frames))


def main():
    folder = pathlib.Path(sys.argv[1])
    for target, inputs in seeds():
        assert inputs, target
        (folder / target).mkdir(parents=True, exist_ok=True)
        for data in inputs:
            (folder / target / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)


main()
