#!/bin/sh
# Puts a built addon into prebuilds/<platform>-<arch>/, without what only debuggers want. The argument is the folder of the binding.
set -eu
folder=$1/prebuilds/$(node -p 'process.platform + "-" + process.arch')
mkdir -p "$folder"
# The C library is named, since one that was built on glibc does not load on musl.
strip --strip-unneeded -o "$folder/sockeye.glibc.node" "$1/build/Release/sockeye.node"
echo "$folder/sockeye.glibc.node"
