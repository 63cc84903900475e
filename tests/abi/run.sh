#!/bin/sh
# Compares the library with the ABI as it is recorded beside this script: nothing that a compiled program uses may go or change, as long
# as SOCKEYE_ABI is the same. What is new is recorded with `make abi-baseline`, and committed with the change.
#
#   LIB=target/dist/lib sh tests/abi/run.sh
#   sh tests/abi/run.sh record                  (of the header alone: nothing need be built)
#
# symbols.txt   the functions that the shared library exports, and all that the static one defines for others
# numbers.c     numbers of the header
# layout.c      where the fields of its structs are
# sockeye.abi   types of functions and structs, for abidiff (Debian's abigail-tools); structs may grow at their end
set -eu
cd "$(dirname "$0")/../.."
here=tests/abi
lib=${LIB:-target/dist/lib}
header=include/sockeye.h
work=target/abi
CC=${CC:-cc}
mkdir -p "$work"
failed=0
fail() {
    echo "FAILED $*" >&2
    failed=1
}

[ "${1:-}" = record ] || layout=$here/layout.c
# shellcheck disable=SC2086
python3 $here/stubs.py $header ${layout:-} >"$work/stubs.c"
soname=libsockeye.so.$(awk '$2 == "SOCKEYE_ABI" { print $3 }' $header)
$CC -g -O0 -fPIC -shared -w -Wl,-soname,"$soname" -o "$work/libstubs.so" "$work/stubs.c"
nm -D --defined-only "$work/libstubs.so" | awk '{ print $3 }' | LC_ALL=C sort >"$work/declared.txt"
has_abigail=$(command -v abidw || true)
if [ -n "$has_abigail" ]; then
    abidw --no-show-locs --no-corpus-path --no-comp-dir-path "$work/libstubs.so" >"$work/sockeye.abi"
fi

if [ "${1:-}" = record ]; then
    [ -n "$has_abigail" ] || { echo "abidw is missing: install abigail-tools" >&2; exit 1; }
    cp "$work/declared.txt" $here/symbols.txt
    cp "$work/sockeye.abi" $here/sockeye.abi
    for part in numbers layout; do
        # shellcheck disable=SC2086
        python3 $here/layout.py $part $header $CC >$here/$part.c
    done
    exit
fi

# What other programs can link to: weak symbols are as good as others.
nm -D --defined-only "$lib/libsockeye.so" | awk '{ print $3 }' | LC_ALL=C sort >"$work/shared.txt"
nm -g --defined-only "$lib/libsockeye.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | LC_ALL=C sort >"$work/static.txt"

diff -u $here/symbols.txt "$work/shared.txt" || fail "libsockeye.so exports other functions than recorded"
diff -u $here/symbols.txt "$work/static.txt" || fail "libsockeye.a defines other symbols than recorded"
diff -u "$work/declared.txt" "$work/shared.txt" || fail "$header declares other functions than are exported"
$CC -std=c11 -Wall -Wextra -Werror -Iinclude -fsyntax-only $here/numbers.c $here/layout.c || fail "numbers or layouts differ from those recorded"
if [ -n "$has_abigail" ]; then
    # Bits of its exit status: 1 and 2 errors, 4 a change, 8 one that breaks programs.
    status=0
    abidiff --no-added-syms $here/sockeye.abi "$work/sockeye.abi" || status=$?
    [ $status -eq 0 ] || fail "abidiff gives $status"
else
    echo "tests/abi: no abidiff, so types are not compared" >&2
fi
[ $failed -eq 0 ] && echo "tests/abi: $(wc -l <$here/symbols.txt) functions, $(cat $here/numbers.c $here/layout.c | grep -c '^SAME') numbers and offsets, as recorded"
exit $failed
