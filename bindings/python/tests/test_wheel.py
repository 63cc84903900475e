"""What is distributed: the wheel in an empty environment, and what the sdist carries."""

import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import pytest
from conftest import PACKAGE

TALK = """
import sockeye_io, urllib.request, pathlib
assert "site-packages" in sockeye_io.__file__
assert pathlib.Path(sockeye_io.__file__).with_name("py.typed").exists()
sio = sockeye_io.Server()
port = sio.start(port=0)
print(urllib.request.urlopen(f"http://127.0.0.1:{port}/socket.io/?EIO=4&transport=polling").read()[:1])
"""


@pytest.fixture(scope="module")
def built():
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", out, str(PACKAGE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        yield pathlib.Path(out)


def test_the_wheel_works_in_an_empty_environment(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith("sockeye_io-0.1.0-py3-none-linux_")
    with zipfile.ZipFile(wheel) as archive:
        assert "sockeye_io/libsockeye.so" in archive.namelist()
    talks_when_installed(tmp_path, "--no-index", str(wheel))


def talks_when_installed(folder, *what, env=None):
    """Installs into an environment with nothing in it, and lets a server answer from there."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what], check=True, env=env)
    talked = subprocess.run([python, "-c", TALK], env={}, capture_output=True, text=True, cwd=folder)
    assert (talked.returncode, talked.stdout, talked.stderr) == (0, "b'0'\n", "")


@pytest.mark.skipif("SDIST" not in os.environ, reason="takes minutes: make test-python-sdist")
def test_the_sdist_builds_the_library_and_works_in_an_empty_environment(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    env = {name: value for name, value in os.environ.items() if name != "SOCKEYE_LIBRARY"}
    talks_when_installed(tmp_path, str(sdist), env=env)


def test_the_sdist_carries_the_sources_of_the_library(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"sockeye_io/_ffi.py", "hatch_build.py", "engine/Cargo.lock", "engine/src/lib.rs", "engine/build.rs", "engine/cbindgen.toml",
            "engine/include/sockeye.h", "engine/README.md"} <= names  # fmt: skip
    assert not any(name.endswith((".so", ".pyc")) for name in names)
