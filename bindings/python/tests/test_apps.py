"""Applications of other frameworks on the server's port: Flask (WSGI) with threads, FastAPI (ASGI) on the loop, each beside a real client."""

import json
import urllib.request

import pytest
from conftest import eventually


def flask_app(sio):
    import flask

    app = flask.Flask("test")

    @app.get("/")
    def index():
        answer = flask.make_response(f"{len(sio.fetch_sockets())} here")
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    @app.post("/tell")
    def tell():
        sio.emit("told", flask.request.get_json()["text"])
        return {"by": flask.request.headers["X-By"], "query": flask.request.args["q"]}

    return app


def fastapi_app(sio):
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/", response_class=fastapi.responses.PlainTextResponse)
    async def index(response: fastapi.Response):
        answer = fastapi.responses.PlainTextResponse(f"{len(await sio.fetch_sockets())} here")
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    @app.post("/tell")
    async def tell(request: fastapi.Request, q: str):
        await sio.emit("told", (await request.json())["text"])
        return {"by": request.headers["x-by"], "query": q}

    return app


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids="-".join)
def test_a_framework_and_clients_share_a_port(host, connect, transports):
    host.sio.on("twice", host.handler(lambda sid, n: n * 2))
    host.start(app=fastapi_app(host.sio) if host.asynchronous else flask_app(host.sio))
    client = connect(host, transports=transports)
    assert client.call("twice", 21) == 42
    with urllib.request.urlopen(host.url) as answer:
        assert answer.read() == b"1 here"
        assert [cookie.split(";")[0] for cookie in answer.headers.get_all("Set-Cookie")] == ["a=1", "b=2"]
    body = json.dumps({"text": "h\u00e9"}).encode()
    request = urllib.request.Request(f"{host.url}/tell?q=%C3%A9", body, {"Content-Type": "application/json", "X-By": "me"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {"by": "me", "query": "\u00e9"}
    eventually(lambda: ("told", "h\u00e9") in client.received)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{host.url}/nothing")
    assert client.call("twice", 4) == 8


def test_an_answer_of_asgi_does_not_wait_for_what_comes_after_it(make, connect):
    host = make()
    if not host.asynchronous:
        pytest.skip("ASGI is for the loop")
    import asyncio
    import contextlib

    import fastapi

    done, answered = [], []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield {"word": "kept"}

    app = fastapi.FastAPI(lifespan=lifespan)

    async def later():
        while not answered:
            await asyncio.sleep(0.01)
        done.append(True)

    @app.get("/")
    async def index(request: fastapi.Request, tasks: fastapi.BackgroundTasks):
        tasks.add_task(later)
        return request.state.word

    @app.get("/half")
    async def half():
        async def body():
            yield b"half"
            raise RuntimeError("broken")

        return fastapi.responses.StreamingResponse(body())

    host.start(app=app)
    with urllib.request.urlopen(host.url) as answer:
        assert (answer.read(), done) == (b'"kept"', [])
    answered.append(True)
    eventually(lambda: done)
    with pytest.raises(urllib.error.HTTPError, match="500"):
        urllib.request.urlopen(f"{host.url}/half")
