"""The FastAPI example, started and used; the chat is used in a browser: tests/clients/node/chat-python.test.js."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import socketio
from conftest import PACKAGE, PATIENCE_S, eventually
from ports import free_port

EXAMPLES = PACKAGE.parents[1] / "examples" / "python"


def answer(request):
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as got:
        return json.load(got)


def test_a_route_of_fastapi_emits():
    port = free_port()
    env = {**os.environ, "PYTHONPATH": str(PACKAGE), "PORT": str(port)}
    process = subprocess.Popen([sys.executable, str(EXAMPLES / "fastapi_app.py")], env=env, stderr=subprocess.PIPE, text=True)
    client = socketio.Client(reconnection=False)
    heard = []
    client.on("announcement", heard.append)
    try:
        url = f"http://127.0.0.1:{port}"

        def up():
            try:
                return answer(url)
            except OSError:
                return None

        assert eventually(up) == {"sockets": 0}
        client.connect(url, wait_timeout=PATIENCE_S)
        assert client.call("echo", ("a", b"b")) == ("a", b"b")
        body = json.dumps({"text": "hello"}).encode()
        request = urllib.request.Request(url + "/announce", data=body, headers={"Content-Type": "application/json"})
        assert answer(request) == {"heard_by": 1}
        eventually(lambda: heard == ["hello"])
        client.disconnect()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
