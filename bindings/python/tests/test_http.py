"""What is not Socket.IO on the same port: applications, files, browsers' origins."""

import json
import urllib.error
import urllib.request

import pytest
from conftest import eventually


def get(host, path, method="GET", body=None, headers=()):
    """Status, headers and body of an answer."""
    request = urllib.request.Request(host.url + path, data=body, method=method, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("broken")
    body = environ["wsgi.input"].read()
    start_response("201 Created", [("X-Path", environ["PATH_INFO"]), ("Content-Type", "application/json")])
    return [json.dumps([environ["REQUEST_METHOD"], environ["QUERY_STRING"], body.decode(), environ["HTTP_X_ONE"]]).encode()]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/fail":
        raise RuntimeError("broken")
    body = (await receive())["body"]
    headers = dict(scope["headers"])
    answer = [scope["method"], scope["query_string"].decode(), body.decode(), headers[b"x-one"].decode()]
    path = [(b"x-path", scope["path"].encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 201, "headers": path})
    await send({"type": "http.response.body", "body": json.dumps(answer[:2]).encode()[:-1] + b", ", "more_body": True})
    await send({"type": "http.response.body", "body": json.dumps(answer[2:]).encode()[1:]})


def test_an_application_answers_all_other_paths(host, connect, caplog):
    host.sio.on("ping", host.handler(lambda sid: "pong"))
    host.start(app=asgi if host.asynchronous else wsgi)
    status, headers, body = get(host, "/api/a%20b?q=1", "POST", b"the body", {"X-One": "1"})
    assert (status, headers["X-Path"], json.loads(body)) == (201, "/api/a b", ["POST", "q=1", "the body", "1"])
    assert connect(host).call("ping") == "pong"
    assert get(host, "/fail")[0] == 500
    eventually(lambda: "broken" in caplog.text)


@pytest.mark.parametrize("status, headers", [(200, [("x-a", "two\nlines")]), (999, [])])
def test_an_answer_that_http_does_not_know_is_an_error_and_no_silence(host, caplog, status, headers):
    def wsgi(environ, start_response):
        start_response(f"{status} Status", headers)
        return [b"whatever"]

    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        pairs = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"whatever"})

    host.start(app=asgi if host.asynchronous else wsgi)
    assert get(host, "/")[0] == 500
    assert "cannot be sent" in caplog.text


def test_an_answer_without_an_end_is_given_up(make, caplog):
    host, ended = make(options={"connectTimeout": 100}), []

    def wsgi(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"more"
        finally:
            ended.append("closed")

    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"more", "more_body": True})
        ended.append((await receive())["type"])

    host.start(app=asgi if host.asynchronous else wsgi)
    assert get(host, "/")[0] >= 500
    assert eventually(lambda: ended) == ["http.disconnect" if host.asynchronous else "closed"]
    assert "no whole answer" in caplog.text


def test_without_an_application_other_paths_are_not_found(host):
    host.start()
    assert get(host, "/")[0] == 404


def test_static_files_and_folders(host, tmp_path):
    folder = tmp_path / "public"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "index.html").write_text("<p>index")
    (folder / "app.js").write_text("1")
    (tmp_path / "data").write_text("raw")
    host.start(
        static_files={
            "/": str(folder / "index.html"),
            "/static": str(folder),
            "/data": {"filename": str(tmp_path / "data"), "content_type": "text/csv"},
        }
    )
    status, headers, body = get(host, "/")
    assert (status, headers.get_content_type(), body) == (200, "text/html", b"<p>index")
    assert get(host, "/static/app.js")[1].get_content_type() in ("text/javascript", "application/javascript")
    assert get(host, "/static/")[2] == b"<p>index"
    assert get(host, "/data")[1].get_content_type() == "text/csv"
    for path in ("/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/nothing", "/app.js", "/static/%00", "/data/x"):
        assert get(host, path)[0] in (400, 404), path
    assert get(host, "/static/app.js", "POST", b"")[0] == 404


@pytest.mark.parametrize(
    "allowed, origin, status",
    [(None, "http://elsewhere", 403), ("http://here", "http://here", 200), ("http://here", "http://elsewhere", 403), ("*", "http://any", 200)],
)
def test_origins(make, allowed, origin, status):
    host = make()
    from sockeye_io._options import engine_options

    host.sio._options = engine_options(cors_allowed_origins=allowed)
    host.start()
    answer, headers, _ = get(host, "/socket.io/?EIO=4&transport=polling", headers={"Origin": origin})
    assert answer == status
    if status == 200:
        assert headers["Access-Control-Allow-Origin"] == origin
