#!/bin/sh
# Makes the committed corpus anew: of all inputs at hand the fewest that reach what all of them reach, without the seeds, and of these
# the 64 smallest. `fuzz/run.sh` has built the targets, and has run for long.
#
#   fuzz/minimise.sh [target ...]
set -eu
cd "$(dirname "$0")/.."
out=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- $(cd fuzz/targets && ls | sed 's/\.rs$//')
for target in "$@"; do
    rm -rf "$out/merged"
    mkdir -p "$out/merged" "fuzz/corpus/$target" "$out/corpus/$target"
    cp "$out/seeds/$target"/* "$out/merged"
    # Only what fits the folder: inputs of thousands of bytes tell little that shorter ones do not.
    "$out/build/$host/release/$target" -set_cover_merge=1 -use_counters=0 -max_len=400 "$out/merged" "$out/corpus/$target" "fuzz/corpus/$target" 2>/dev/null
    for seed in "$out/seeds/$target"/*; do
        rm -f "$out/merged/$(basename "$seed")"
    done
    # More than this is for target/fuzz/corpus: the repository is no place for thousands of files.
    find "$out/merged" -type f -printf '%s %p\n' | sort -n | tail -n +65 | cut -d ' ' -f 2- | xargs -r rm
    rm -rf "fuzz/corpus/$target"
    mv "$out/merged" "fuzz/corpus/$target"
    echo "$target: $(find "fuzz/corpus/$target" -type f | wc -l) inputs, $(cat "fuzz/corpus/$target"/* 2>/dev/null | wc -c) bytes"
done
