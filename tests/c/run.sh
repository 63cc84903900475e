#!/bin/sh
# Builds the contract tests of the C ABI in every way that a host may use the library, and runs them: as C99 and as C++17, with the static and
# with the shared library, then once under AddressSanitizer and UndefinedBehaviorSanitizer and once under valgrind.
#
#   LIB=target/dist/lib INCLUDE=include JOBS=4 sh tests/c/run.sh [test_name ...]
#
# Tests run JOBS at a time, since most of them mostly wait. The last line is `N passed, N failed`, over all programs; the exit status is 0
# if nothing failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=tests/c
lib=${LIB:-target/dist/lib}
include=${INCLUDE:-include}
out=${OUT:-target/c-tests}
CC=${CC:-cc}
warnings="-Wall -Wextra -Wpedantic -Werror"
# What a static Rust library needs of the system.
system="-lpthread -ldl -lm"
passed=0
failed=0

mkdir -p "$out" || exit 1
lib=$(cd "$lib" && pwd) || exit 1

# build <variant> <test> <flags...>: a program `$out/<test>.<variant>`; a test that does not compile has failed.
build() {
    variant=$1
    test=$2
    shift 2
    # shellcheck disable=SC2086
    if ! $CC $warnings -g -I"$include" "$@" -o "$out/$test.$variant" $system; then
        echo "FAILED $test ($variant) does not build"
        failed=$((failed + 1))
        return 1
    fi
}

# run <variant> <test> <command...>: runs and counts. What gave no count, or ended badly without a failed check, has failed as a whole.
# SLOW tells a test that a checker watches it.
run() {
    variant=$1
    test=$2
    log=$out/$test.$variant.log
    shift 2
    timeout 300 "$@" >"$log" 2>&1
    status=$?
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    last=${last:-0 passed, 0 failed}
    bad=${last#*passed, }
    bad=${bad%% failed}
    passed=$((passed + ${last%% passed*}))
    failed=$((failed + bad))
    [ $status -eq 0 ] && [ "$last" != "0 passed, 0 failed" ] && return
    [ "$bad" -gt 0 ] || failed=$((failed + 1))
    echo "FAILED $test ($variant), exit status $status, $log:"
    grep -v '^ok ' "$log" | head -n 60
}

# every_way <test>: all programs of a test; what they gave goes to `$out/<test>.result`.
every_way() {
    test=$1
    source=$here/$test.c
    build c99-static "$test" -std=c99 "$source" "$lib/libsockeye.a" && run c99-static "$test" "$out/$test.c99-static"
    build c99-shared "$test" -std=c99 "$source" -L"$lib" -lsockeye -Wl,-rpath,"$lib" && run c99-shared "$test" "$out/$test.c99-shared"
    build cpp17-static "$test" -x c++ -std=c++17 "$source" -x none "$lib/libsockeye.a" && run cpp17-static "$test" "$out/$test.cpp17-static"
    build cpp17-shared "$test" -x c++ -std=c++17 "$source" -x none -L"$lib" -lsockeye -Wl,-rpath,"$lib" && run cpp17-shared "$test" "$out/$test.cpp17-shared"
    build asan "$test" -std=c99 -fsanitize=address,undefined -fno-sanitize-recover=all "$source" "$lib/libsockeye.a" && run asan "$test" env SLOW=1 "$out/$test.asan"
    run valgrind "$test" env SLOW=1 valgrind --quiet --fair-sched=yes --error-exitcode=9 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all \
        --suppressions="$here/valgrind.supp" --child-silent-after-fork=yes --num-callers=30 "$out/$test.c99-static"
    echo "$passed $failed" >"$out/$test.result"
}

if [ "${1:-}" = --one ]; then
    every_way "$2"
    exit 0
fi
if [ $# -eq 0 ]; then
    for source in "$here"/test_*.c; do
        set -- "$@" "$(basename "$source" .c)"
    done
fi
for test in "$@"; do
    rm -f "$out/$test.result"
done
printf '%s\n' "$@" | xargs -n 1 -P "${JOBS:-$(($(nproc) * 2))}" sh "$here/run.sh" --one
for test in "$@"; do
    # A test whose run did not come to its end has failed.
    read -r good bad <"$out/$test.result" || { good=0; bad=1; }
    passed=$((passed + good))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
