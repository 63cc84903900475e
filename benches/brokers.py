"""The brokers of clusters: a Redis or a PostgreSQL of the benchmark's own, on a free port, with its data in a temporary folder."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import servers

START_TIMEOUT_S = 15


class Broker:
    """A started broker, on the servers' CPU; ended at the end of a `with` block. `environment` tells servers where it is."""

    def __init__(self):
        self.port = servers.free_port()
        self.folder = tempfile.mkdtemp(prefix="sockeye-bench-")
        try:
            command = ["taskset", "-c", str(servers.SERVER_CPU), *self.command()]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def __enter__(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise servers.Unavailable(f"{type(self).__name__} does not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)

    def is_ready(self):
        with socket.socket() as probe:
            return probe.connect_ex((servers.HOST, self.port)) == 0


class Redis(Broker):
    def command(self):
        if shutil.which("redis-server") is None:
            raise servers.Unavailable("redis-server is not installed")
        return ["redis-server", "--port", str(self.port), "--bind", servers.HOST, "--save", "", "--appendonly", "no", "--dir", self.folder]

    @property
    def environment(self):
        return {"REDIS_URL": f"redis://{servers.HOST}:{self.port}"}


class Postgres(Broker):
    """PostgreSQL does not run as root: it is then run by the user whom its package makes."""

    def command(self):
        programs = postgres_programs()
        by = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if by:
            shutil.chown(self.folder, "postgres")
        data = str(Path(self.folder) / "data")
        made = subprocess.run([*by, str(programs / "initdb"), "-D", data, "-U", "bench", "-A", "trust"], capture_output=True)
        if made.returncode != 0:
            raise servers.Unavailable(f"initdb: {made.stderr.decode().strip()}")
        where = ["-p", str(self.port), "-h", servers.HOST, "-k", self.folder]
        return [*by, str(programs / "postgres"), "-D", data, *where, "-c", "fsync=off"]

    def is_ready(self):
        asked = [str(postgres_programs() / "pg_isready"), "-q", "-h", servers.HOST, "-p", str(self.port)]
        return subprocess.run(asked).returncode == 0

    @property
    def environment(self):
        return {"DATABASE_URL": f"postgres://bench@{servers.HOST}:{self.port}/postgres"}


def postgres_programs():
    """The folder of its programs, which Debian does not put into the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders:
        raise servers.Unavailable("PostgreSQL is not installed")
    return folders[-1].parent


KINDS = {"redis": Redis, "sharded-redis": Redis, "redis-streams": Redis, "postgres": Postgres}
