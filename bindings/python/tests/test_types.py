"""What a type checker says to the package, to a program that uses it, and to an example."""

import os
import subprocess
import sys

import pytest
from conftest import PACKAGE

EXAMPLES = PACKAGE.parents[1] / "examples" / "python"


CHECKED = {
    "package": ["--strict", PACKAGE / "sockeye_io", PACKAGE / "tests" / "typed_app.py"],
    "example": [EXAMPLES / "chat.py"],
}


@pytest.mark.parametrize("what", CHECKED.values(), ids=CHECKED)
def test_a_checker_finds_nothing(what, tmp_path):
    env = {**os.environ, "MYPYPATH": str(PACKAGE)}
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(PACKAGE.parents[1] / "target" / "mypy"), *map(str, what)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
