#!/bin/sh
# Tests the Python package: its own suite, the client tests on its testbed, and the chat in a browser. See tests/README.md.
#
# SOCKEYE_LIBRARY  the library (default target/dist/lib/libsockeye.so)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
export SOCKEYE_LIBRARY="${SOCKEYE_LIBRARY:-$root/target/dist/lib/libsockeye.so}"
venv="$root/target/venv-python"

[ -f "$SOCKEYE_LIBRARY" ] || { echo "run.sh: $SOCKEYE_LIBRARY is missing: build it first" >&2; exit 2; }

. "$root/tests/support/venv.sh"
make_venv "$venv" "$here/requirements.txt"
(cd "$root/tests/clients/node" && npm install --package-lock=false --no-audit --no-fund --silent)

failed=0
(cd "$here/.." && PYTHONPATH=. "$venv/bin/pytest" -q -p no:cacheprovider) || failed=1

# The same without the interpreter's lock, where such a build is found; but for what needs packages that are not there for all of these builds.
free_threaded=$(command -v python3.14t || command -v python3.13t || true)
if [ -n "$free_threaded" ]; then
    grep -Ev '^(aiohttp|build|fastapi|flask|hatchling|mypy)=' "$here/requirements.txt" > "$root/target/requirements-free-threaded.txt"
    make_venv "$venv-free-threaded" "$root/target/requirements-free-threaded.txt" "$free_threaded"
    (cd "$here/.." && PYTHON_GIL=0 PYTHONPATH=. "$venv-free-threaded/bin/pytest" -q -p no:cacheprovider \
        --ignore=tests/test_apps.py --ignore=tests/test_types.py --ignore=tests/test_wheel.py -k 'not fastapi') || failed=1
fi

# python-socketio's clients on the package's testbed.
(cd "$root/tests/clients/python" &&
    PATH="$venv/bin:$PATH" TESTBED="$here/testbed.py" DELIVERIES=poll,thread "$venv/bin/pytest" -q -p no:cacheprovider test_sync_client.py test_async_client.py) ||
    failed=1

# What the C testbed is held to, but for what the package does not offer (bare Engine.IO, options of the environment).
log="$root/target/python-clients.log"
(cd "$root/tests/clients/node" &&
    PATH="$venv/bin:$PATH" TESTBED="$here/testbed.py" DELIVERIES=poll,thread SERVER_SIDE=0 node --test --test-reporter=spec --test-concurrency=2 \
        messaging.test.js namespaces.test.js rooms.test.js connections.test.js client-v3.test.js protocol-socket.test.js) > "$log" 2>&1 || failed=1
(cd "$root/tests/clients/node" &&
    PATH="$venv/bin:$PATH" TESTBED="$here/testbed.py" DELIVERIES=poll,thread node --test --test-reporter=spec \
        --test-name-pattern='garbage|is killed|is stopped' cluster-redis.test.js) >> "$log" 2>&1 || failed=1
(cd "$root/tests/clients/node" &&
    PATH="$venv/bin:$PATH" PYTHONPATH="$here/.." node --test --test-reporter=spec chat-python.test.js) >> "$log" 2>&1 || failed=1
[ "$failed" = 0 ] || sed -n '/failing tests/,$p' "$log"
sed -n 's/^ℹ \(tests\|pass\|fail\|cancelled\|skipped\) /python, node: \1 /p' "$log"

[ "$failed" = 0 ] || { echo "bindings/python: FAILED" >&2; exit 1; }
echo "bindings/python: all passed"
