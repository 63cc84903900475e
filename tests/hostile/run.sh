#!/bin/sh
# Runs the hostile peers against the testbed, in two delivery modes side by side. See tests/README.md.
#
# TESTBED   the testbed (default target/testbed)
# Further arguments go to pytest.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export TESTBED="${TESTBED:-$root/target/testbed}"
venv="$root/target/venv"

[ -x "$TESTBED" ] || { echo "run.sh: $TESTBED is missing: build it first" >&2; exit 2; }

# The same environment as that of the Python clients, one of which is the bystander.
. "$root/tests/support/venv.sh"
make_venv "$venv" "$root/tests/clients/python/requirements.txt"

cases() {
    (cd "$here" && HOSTILE_DELIVERIES=$1 "$venv/bin/pytest" -q -p no:cacheprovider ${arguments+"$arguments"})
}

[ $# -eq 0 ] || arguments="$*"
failed=0
cases inline > "$root/target/hostile-inline.log" 2>&1 &
inline=$!
cases poll > "$root/target/hostile-poll.log" 2>&1 || failed=1
wait "$inline" || failed=1
for delivery in inline poll; do
    sed "s/^/$delivery: /" "$root/target/hostile-$delivery.log"
done

[ "$failed" = 0 ] || { echo "tests/hostile: FAILED" >&2; exit 1; }
echo "tests/hostile: all passed"
