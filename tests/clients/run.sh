#!/bin/sh
# Runs the tests that drive a server with the clients that people use. See tests/README.md.
#
# TESTBED     the testbed (default target/testbed)
# EXAMPLES    folder of the example programs (default target/examples)
# DELIVERIES  delivery modes, with commas (default inline,thread,poll)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export TESTBED="${TESTBED:-$root/target/testbed}"
venv="$root/target/venv"

[ -x "$TESTBED" ] || { echo "run.sh: $TESTBED is missing: build it first" >&2; exit 2; }

(cd "$here/node" && npm install --package-lock=false --no-audit --no-fund --silent)
. "$root/tests/support/venv.sh"
make_venv "$venv" "$here/python/requirements.txt"

# Runs node --test on the given files; says how many passed, and everything about those that did not.
node_tests() {
    log=$1
    concurrency=$2
    shift 2
    status=0
    (cd "$here/node" && node --test --test-reporter=spec --test-concurrency="$concurrency" "$@") > "$log" 2>&1 || status=1
    [ "$status" = 0 ] || sed -n '/failing tests/,$p' "$log"
    sed -n 's/^ℹ \(tests\|pass\|fail\|cancelled\|skipped\) /node: \1 /p' "$log"
    return "$status"
}

# Most of the time is spent waiting for timers of the protocol, so files run side by side; the browser, which needs a
# processor of its own, comes after them.
failed=0
mkdir -p "$root/target"
(cd "$here/python" && "$venv/bin/pytest" -q -p no:cacheprovider) > "$root/target/clients-python.log" 2>&1 &
python=$!
node_tests "$root/target/clients-node.log" 3 $(cd "$here/node" && ls *.test.js | grep -v -e '^chat' -e '^binding') || failed=1
wait "$python" || failed=1
sed 's/^/python: /' "$root/target/clients-python.log"
node_tests "$root/target/clients-examples.log" 1 chat.test.js || failed=1

[ "$failed" = 0 ] || { echo "tests/clients: FAILED" >&2; exit 1; }
echo "tests/clients: all passed"
