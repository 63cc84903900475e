#!/bin/sh
# The tests of the package with its addon under AddressSanitizer and UndefinedBehaviorSanitizer, and a look for what it leaks.
#
# Node itself is not instrumented, so the sanitizer's library is loaded before it (LD_PRELOAD); it then sees every allocation of the process,
# the engine's included. The package is a copy in target/node-asan, with the instrumented addon as its build.
#
# LIB  folder of libsockeye.a (default target/dist/lib)
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
lib=${LIB:-$root/target/dist/lib}
copy=$root/target/node-asan
headers=$(node -p "path.resolve(process.execPath, '../../include/node')")
cc=${CC:-cc}

[ -f "$lib/libsockeye.a" ] || { echo "asan.sh: $lib/libsockeye.a is missing: build it first" >&2; exit 2; }
[ -f "$headers/node_api.h" ] || { echo "asan.sh: $headers has no node_api.h" >&2; exit 2; }

rm -rf "$copy"
mkdir -p "$copy/build/Release"
cp -r "$here/lib" "$here/test" "$here/index.js" "$here/package.json" "$copy/"
ln -s "$here/node_modules" "$copy/node_modules"
"$cc" -std=gnu11 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -Wall -Wextra -Wno-unused-parameter -shared -fPIC \
    -I"$headers" -I"$root/include" -o "$copy/build/Release/sockeye.node" "$here"/src/*.c "$lib/libsockeye.a" -lpthread -ldl -lm

reports=$copy/reports
mkdir "$reports"
preload=$("$cc" -print-file-name=libasan.so)
# Leaks are looked for in a run of their own: Node leaves much to the end of its process.
options="log_path=$reports/asan:abort_on_error=0:exitcode=99"
under_asan() {
    leaks=$1
    shift
    LD_PRELOAD="$preload" ASAN_OPTIONS="$options:detect_leaks=$leaks" UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan" "$@"
}

failed=0
cd "$copy"
for file in messaging guest handlers tls door upgrade emitter; do
    under_asan 0 node --test --test-reporter=dot "test/$file.test.js" || failed=1
done
(cd "$root/tests/clients/node" && TESTBED="$copy/test/asan-testbed" && export TESTBED DELIVERIES=poll &&
    printf '#!/bin/sh\nexec env LD_PRELOAD=%s ASAN_OPTIONS=%s:detect_leaks=0 node %s\n' "$preload" "$options" "$copy/test/testbed.js" > "$TESTBED" && chmod +x "$TESTBED" &&
    node --test --test-concurrency=2 --test-reporter=dot messaging.test.js rooms.test.js) || failed=1

# Of all that is left at the end, what Node allocated itself (frame 1) is Node's to free.
under_asan 1 node test/support/leaks.js 2000 > /dev/null 2>&1 || true
find "$reports" -type f -exec cat {} + > "$copy/report.txt"
if grep -q -E '(ERROR: AddressSanitizer|runtime error)' "$copy/report.txt"; then
    grep -m 1 -A 40 -E '(ERROR: AddressSanitizer|runtime error)' "$copy/report.txt"
    failed=1
fi
leaks=$(awk -v RS= '/leak of/ && /bindings\/node\/src\/|sockeye\.node/ && !/#1 [^\n]*\/node\+/' "$copy/report.txt")
if [ -n "$leaks" ]; then
    printf 'leaked:\n%s\n' "$leaks"
    failed=1
fi
[ "$failed" = 0 ] || { echo "bindings/node under AddressSanitizer: FAILED" >&2; exit 1; }
echo "bindings/node under AddressSanitizer: all passed"
