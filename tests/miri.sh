#!/bin/sh
# Runs under Miri what needs no sockets: all unit tests of queues, handles, timers and names once, and those in which threads race under
# many schedules, with the reorderings that weaker processors do. Atomics, locks and channels are the real ones. proto has no unsafe code,
# and its tests are too long for Miri; what does I/O is for ThreadSanitizer (c/tsan.sh).
#
#   rustup toolchain install nightly --component miri,rust-src
#   sh tests/miri.sh [schedules]
#
# Without Miri nothing is tested, and the script says so and exits with 3.
set -eu
cd "$(dirname "$0")/.."
cargo +nightly miri --version >/dev/null 2>&1 || {
    echo "miri.sh: NOT TESTED under Miri: rustup toolchain install nightly --component miri,rust-src" >&2
    exit 3
}
isolation=-Zmiri-disable-isolation
run() {
    cargo +nightly miri test --quiet --lib --target-dir target/miri-build -- "$@"
}
MIRIFLAGS="$isolation" run queue:: server::atoms server::mailbox server::slots server::deadlines server::outbound net::table
MIRIFLAGS="$isolation -Zmiri-many-seeds=0..${1:-32}" run has_missed_nothing another_thread_gave of_many_who
