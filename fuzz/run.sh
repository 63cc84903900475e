#!/bin/sh
# Builds the fuzzing targets and runs each of them for a while.
#
#   fuzz/run.sh [seconds for each target] [target ...]
#
# The stable toolchain suffices: libFuzzer comes with a crate, and what cargo-fuzz takes a nightly compiler for, AddressSanitizer,
# RUSTC_BOOTSTRAP makes of any. What a run finds interesting is added to target/fuzz/corpus; inputs that fail are left in
# target/fuzz/failures, and `fuzz/run.sh 0 TARGET` runs those again, and the committed corpus, without looking for more.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-30}
[ $# -eq 0 ] || shift
out=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# Counters and comparisons for libFuzzer, as cargo-fuzz sets them; checks that a release build leaves out; AddressSanitizer.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# With a target named, the flags are not for build scripts.
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$out/build" --bins

[ $# -gt 0 ] || set -- $(cd fuzz/targets && ls | sed 's/\.rs$//')
python3 fuzz/seeds.py "$out/seeds"
failed=
for target in "$@"; do
    mkdir -p "$out/corpus/$target" "$out/failures" "$out/seeds/$target" "fuzz/corpus/$target"
    again=$(find "$out/failures" -name "$target-*")
    log=$out/$target.log
    if [ "$seconds" = 0 ]; then
        # Each input once.
        set +e
        # shellcheck disable=SC2086
        "$out/build/$host/release/$target" -runs=0 -timeout=10 "fuzz/corpus/$target" "$out/seeds/$target" $again >"$log" 2>&1
    else
        set +e
        "$out/build/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$out/failures/$target-" \
            "$out/corpus/$target" "fuzz/corpus/$target" "$out/seeds/$target" >"$log" 2>&1
    fi
    status=$?
    set -e
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ $status -eq 0 ]; then
        echo "fuzz: $target: ${runs:-all} inputs in $seconds s"
    else
        failed="$failed $target"
        echo "fuzz: $target FAILED, $log:"
        grep -aE -A 25 'panicked|ERROR|SUMMARY' "$log" | head -n 60
    fi
done
[ -z "$failed" ] || { echo "fuzz: failed:$failed" >&2; exit 1; }
