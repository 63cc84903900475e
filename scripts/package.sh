#!/bin/sh
# Makes the libraries that are installed out of those that cargo built: a static one that shows only our symbols, and a shared one
# under its versioned name.
# usage: package.sh BUILT LIB ABI VERSION
set -eu
built=$1 lib=$2 abi=$3 version=$4

if [ ! -f "$lib/libsockeye.a" ] || [ "$built/libsockeye.a" -nt "$lib/libsockeye.a" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # One object, so that what the crates share with each other can be made local to it.
    ld -r --whole-archive "$built/libsockeye.a" -o "$work/sockeye.o"
    # The standard library's bitcode would be taken for ours by a linker plugin of another LLVM.
    objcopy -w --keep-global-symbol='sockeye_*' -R .llvmbc -R .llvmcmd "$work/sockeye.o"
    rm -f "$lib/libsockeye.a"
    ar rcs "$lib/libsockeye.a" "$work/sockeye.o"
fi
cp -p "$built/libsockeye.so" "$lib/libsockeye.so.$version"
ln -sf "libsockeye.so.$version" "$lib/libsockeye.so.$abi"
ln -sf "libsockeye.so.$abi" "$lib/libsockeye.so"
