#!/bin/sh
# Proves what is installed, and nothing of the tree: `make install` into a folder, then every C and C++ example is built against that
# through pkg-config, with the shared and with the static library, and through CMake if it is there; each is started and tried. Two of
# them need libssl-dev and libboost-dev.
#
#   LIB=target/dist/lib sh tests/install.sh        (`make` has built the library)
set -eu
cd "$(dirname "$0")/.."
CC=${CC:-cc}
CXX=${CXX:-c++}
MAKE=${MAKE:-make}
work=$PWD/target/install
stage=$work/stage
prefix=/opt/sockeye
rm -rf "$work"
mkdir -p "$work/shared" "$work/static"

$MAKE --silent install DESTDIR="$stage" PREFIX=$prefix
# The folder takes the place of the system's root.
export PKG_CONFIG_LIBDIR="$stage$prefix/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$stage"
cflags=$(pkg-config --cflags sockeye)
libs=$(pkg-config --libs sockeye)
static=$stage$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir sockeye)/libsockeye.a
private=$(pkg-config --libs --static sockeye | tr ' ' '\n' | grep -v -e '^-L' -e '^-lsockeye$' | tr '\n' ' ')
export LD_LIBRARY_PATH="$stage$prefix/lib"

# build <example> <compiler and standard>: two programs.
build() {
    name=$(basename "$1" | tr . -)
    # The one example with a library of another's.
    others=
    ! grep -q '<openssl/' "$1" || others="-lssl -lcrypto"
    # shellcheck disable=SC2086
    {
        $2 -Wall -Wextra -Werror $cflags -o "$work/shared/$name" "$1" $libs $others
        $2 -Wall -Wextra -Werror $cflags -o "$work/static/$name" "$1" "$static" $others $private
    }
    ldd "$work/shared/$name" | grep -q "$stage$prefix/lib/libsockeye.so" || { echo "install.sh: $name is not linked to the installed library" >&2; exit 1; }
    if ldd "$work/static/$name" | grep -q sockeye; then
        echo "install.sh: $name needs a library of ours that was linked into it" >&2
        exit 1
    fi
}
for example in examples/c/*.c; do build "$example" "$CC -std=c11"; done
for example in examples/cpp/*.cpp; do build "$example" "$CXX -std=c++17"; done
folders="$work/shared $work/static"

if command -v cmake >/dev/null; then
    cmake -S tests/install -B "$work/cmake" -DCMAKE_PREFIX_PATH="$stage$prefix" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" >"$work/cmake.log"
    cmake --build "$work/cmake" >>"$work/cmake.log"
    folders="$folders $work/cmake/shared $work/cmake/static"
else
    echo "install.sh: no cmake, so sockeyeConfig.cmake is not tried" >&2
fi
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
export CERT="$work/cert.pem" KEY="$work/key.pem"
# shellcheck disable=SC2086
python3 tests/install/drive.py $folders
