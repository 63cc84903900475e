#!/bin/sh
# Runs the contract tests of the C ABI under ThreadSanitizer: library, Rust's standard library and tests are all instrumented, so that
# no synchronization is missed. That takes a nightly toolchain with the standard library's sources:
#
#   rustup toolchain install nightly --component rust-src
#
# and clang. Without them nothing is tested, and the script says so and exits with 3.
#
#   sh tests/c/tsan.sh [test_name ...]
set -u
cd "$(dirname "$0")/../.." || exit 1
out=target/tsan
CARGO=${CARGO:-cargo}

lacks() {
    echo "tsan.sh: NOT TESTED for races: $*" >&2
    exit 3
}
sysroot=$(rustc +nightly --print sysroot 2>/dev/null) || lacks "no nightly toolchain: rustup toolchain install nightly --component rust-src"
[ -d "$sysroot/lib/rustlib/src/rust/library" ] || lacks "no sources of std: rustup component add rust-src --toolchain nightly"
command -v clang >/dev/null || lacks "no clang"
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
runtime=$sysroot/lib/rustlib/$host/lib/librustc-nightly_rt.tsan.a
[ -f "$runtime" ] || lacks "the toolchain has no $runtime"

RUSTFLAGS="-Zsanitizer=thread" $CARGO +nightly rustc --quiet --lib --crate-type staticlib -Zbuild-std --target "$host" --target-dir "$out/build" || exit 1
lib=$out/build/$host/debug/libsockeye.a

# build <program> <source>: the toolchain's runtime, not clang's, so that there is one version of it.
build() {
    clang -g -std=c99 -Iinclude -fsanitize=thread -c "$2" -o "$out/$1.o" &&
        clang "$out/$1.o" "$lib" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lpthread -ldl -lm -o "$out/$1"
}

# A race that is none of ours shows that races are seen at all.
cat >"$out/race.c" <<'END'
#include <pthread.h>
static int shared;
static void *add(void *unused) { shared++; return unused; }
int main(void)
{
    pthread_t a, b;
    return pthread_create(&a, 0, add, 0) || pthread_create(&b, 0, add, 0) || pthread_join(a, 0) || pthread_join(b, 0);
}
END
build race "$out/race.c" || exit 1
if "$out/race" >"$out/race.log" 2>&1 || ! grep -q "data race" "$out/race.log"; then
    echo "tsan.sh: the sanitizer does not find a plain race: see $out/race.log" >&2
    exit 1
fi
nm "$lib" 2>/dev/null | grep -q "U __tsan_write" || { echo "tsan.sh: the library is not instrumented" >&2; exit 1; }

if [ $# -eq 0 ]; then
    for source in tests/c/test_*.c; do
        set -- "$@" "$(basename "$source" .c)"
    done
fi
failed=
for test in "$@"; do
    build "$test" "tests/c/$test.c" || { failed="$failed $test"; continue; }
    # Threads that a forked child leaves behind are the test's point.
    TSAN_OPTIONS="exitcode=66 die_after_fork=0" SLOW=1 timeout 600 "$out/$test" >"$out/$test.log" 2>&1
    status=$?
    races=$(grep -c "WARNING: ThreadSanitizer" "$out/$test.log")
    echo "$test: exit status $status, $races reports, $(tail -n 1 "$out/$test.log" | head -c 100)"
    if [ $status -ne 0 ] || [ "$races" -ne 0 ]; then
        failed="$failed $test"
        grep -v '^ok ' "$out/$test.log" | head -n 60
    fi
done
[ -z "$failed" ] || { echo "tsan.sh: failed:$failed" >&2; exit 1; }
