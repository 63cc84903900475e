"""Starts each program of the given folders, the examples as they were built against the installed library, and tries it: it answers
polls and its page, threads do not grow with its clients, and SIGTERM ends it with 0.

usage: drive.py FOLDER...
"""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).parent.parent.parent
TIMEOUT_S = 20
SESSIONS = 20
# Passes a listening socket on as a supervisor does: descriptor 3, for the process that the program becomes.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def source_of(program):
    name, _, kind = program.name.rpartition("-")
    return ROOT / "examples" / kind / f"{name}.{kind}"


def start(program, log):
    """The process, and the address that it serves."""
    env = {**os.environ, "HOST": "127.0.0.1", "PORT": "0", "SPREAD_MS": "0", "CLIENT_DIR": ""}
    page = ROOT / "examples" / "c" / program.name.rpartition("-")[0]
    if page.is_dir():
        env["PAGE_DIR"] = str(page)
    if "LISTEN_FDS" in source_of(program).read_text():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            command = [sys.executable, "-c", LAUNCHER, str(listener.fileno()), str(program)]
            process = subprocess.Popen(command, env=env, pass_fds=[listener.fileno()], stdout=log, stderr=log)
            return process, f"http://127.0.0.1:{listener.getsockname()[1]}"
    process = subprocess.Popen([str(program)], env=env, stdout=log, stderr=log)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        said = re.search(r"https?://127\.0\.0\.1:\d+", pathlib.Path(log.name).read_text())
        if said:
            return process, said[0]
        time.sleep(0.02)
    raise AssertionError("it does not say where it listens")


def get(address, path):
    # The certificate is one for this test.
    context = ssl._create_unverified_context() if address.startswith("https:") else None
    with urllib.request.urlopen(address + path, timeout=TIMEOUT_S, context=context) as answer:
        return answer.read().decode()


def threads(process):
    return len(os.listdir(f"/proc/{process.pid}/task"))


def try_emitter(program, log):
    # It serves nothing, and says how it is used.
    status = subprocess.run([str(program)], stdout=log, stderr=log, timeout=TIMEOUT_S).returncode
    assert status == 2 and "usage" in pathlib.Path(log.name).read_text(), f"exit status {status}"


def try_program(program, log):
    if "sockeye_emitter.hpp" in source_of(program).read_text():
        return try_emitter(program, log)
    process, address = start(program, log)
    try:
        poll = "/socket.io/?EIO=4&transport=polling"
        assert json.loads(get(address, poll)[1:])["sid"]
        before = threads(process)
        for _ in range(SESSIONS):
            get(address, poll)
        assert threads(process) == before, f"{before} threads became {threads(process)}"
        if "PAGE_DIR" in source_of(program).read_text():
            assert "<html" in get(address, "/")
        process.send_signal(signal.SIGTERM)
        status = process.wait(TIMEOUT_S)
        assert status == 0, f"exit status {status} after SIGTERM"
    finally:
        process.kill()
        process.wait()


def main():
    tried, failed = 0, 0
    for folder in map(pathlib.Path, sys.argv[1:]):
        programs = [program for program in sorted(folder.iterdir()) if source_of(program).is_file()]
        assert programs, f"no programs in {folder}"
        for program in programs:
            tried += 1
            with open(f"{program}.log", "w+", buffering=1) as log:
                try:
                    try_program(program, log)
                except Exception as error:
                    failed += 1
                    said = pathlib.Path(log.name).read_text()
                    print(f"FAILED {folder.name}/{program.name}: {error!r}\n{said}", file=sys.stderr)
    print(f"install: {tried - failed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
