# sockeye: everything that a user or a developer runs. Each target only calls other tools.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ABI := $(shell sed -n 's/.*SOCKEYE_ABI: u32 = \([0-9]*\);/\1/p' src/ffi/constants.rs)
TARGET := $(or $(CARGO_TARGET_DIR),target)
DIST := target/dist
LIB := $(DIST)/lib
WARNINGS := -Wall -Wextra -Wpedantic -Werror
CFLAGS ?= -O2 -g
SYSTEM_LIBS := -lpthread -ldl -lm
CLIENT_DIR := target/client/node_modules/socket.io-client
EXAMPLES := $(addprefix target/examples/,broker chat game epoll inherit chat-cpp emit)
# Those that show the engine in another server need that server's packages: libssl-dev and libboost-dev.
HOST_EXAMPLES := $(addprefix target/examples/,tls beast)

.PHONY: all lib examples examples-host testbed run run-python test test-rust test-c test-clients test-hostile check fuzz soak bench install client clean

all: lib examples

# ---- the library -----------------------------------------------------------------------------------------------------

lib:
	$(CARGO) build --release
	@mkdir -p $(LIB)
	@scripts/package.sh $(TARGET)/release $(LIB) $(ABI) $(VERSION)

# CMake's package is found wherever it lies, so its paths are relative.
FILL = sed -e 's|@libdir@|$(LIBDIR)|' -e 's|@includedir@|$(INCLUDEDIR)|' -e 's|@version@|$(VERSION)|' -e 's|@abi@|$(ABI)|' \
	-e "s|@includedir_from_libdir@|$$(realpath -m --relative-to=$(LIBDIR) $(INCLUDEDIR))|"

# Copies what `make` built, and builds nothing: `make && sudo make install`.
install:
	@test -f $(LIB)/libsockeye.a || { echo "nothing is built yet: run make first" >&2; exit 1; }
	install -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 include/*.h include/*.hpp $(DESTDIR)$(INCLUDEDIR)/
	install -m 644 $(LIB)/libsockeye.a $(DESTDIR)$(LIBDIR)/
	install -m 755 $(LIB)/libsockeye.so.$(VERSION) $(DESTDIR)$(LIBDIR)/
	ln -sf libsockeye.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libsockeye.so.$(ABI)
	ln -sf libsockeye.so.$(ABI) $(DESTDIR)$(LIBDIR)/libsockeye.so
	$(FILL) scripts/sockeye.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/sockeye.pc
	install -d $(DESTDIR)$(LIBDIR)/cmake/sockeye
	$(FILL) scripts/sockeyeConfig.cmake.in > $(DESTDIR)$(LIBDIR)/cmake/sockeye/sockeyeConfig.cmake
	$(FILL) scripts/sockeyeConfigVersion.cmake.in > $(DESTDIR)$(LIBDIR)/cmake/sockeye/sockeyeConfigVersion.cmake

# ---- programs on it --------------------------------------------------------------------------------------------------

target/examples/%: examples/c/%.c include/sockeye.h | lib
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) -Iinclude -o $@ $< $(LIB)/libsockeye.a $(SYSTEM_LIBS)

target/examples/chat-cpp: examples/cpp/chat.cpp $(wildcard include/*) | lib
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CFLAGS) $(WARNINGS) -Iinclude -o $@ $< $(LIB)/libsockeye.a $(SYSTEM_LIBS)

target/examples/emit: examples/cpp/emit.cpp $(wildcard include/*) | lib
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CFLAGS) $(WARNINGS) -Iinclude -o $@ $< $(LIB)/libsockeye.a $(SYSTEM_LIBS)

target/examples/beast: examples/cpp/beast.cpp $(wildcard include/*) | lib
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CFLAGS) $(WARNINGS) -Iinclude -o $@ $< $(LIB)/libsockeye.a $(SYSTEM_LIBS)

target/examples/tls: SYSTEM_LIBS := -lssl -lcrypto $(SYSTEM_LIBS)

# The library is built by cargo, which knows best whether it changed; programs are linked anew each time it was.
$(EXAMPLES) $(HOST_EXAMPLES): $(LIB)/libsockeye.a
$(LIB)/libsockeye.a: lib ;

examples: $(EXAMPLES)

examples-host: $(HOST_EXAMPLES)

testbed: lib
	$(CC) -std=gnu11 $(CFLAGS) $(WARNINGS) -Iinclude -o target/testbed tests/c/testbed*.c $(LIB)/libsockeye.a $(SYSTEM_LIBS)

# The browser client comes from npm; nothing of it is kept here.
client: $(CLIENT_DIR)/package.json
$(CLIENT_DIR)/package.json:
	npm install --silent --no-audit --no-fund --no-package-lock --prefix target/client socket.io-client@4.8.4

run: target/examples/chat client
	CLIENT_DIR=$(CLIENT_DIR) target/examples/chat

# The chat in Python, with the package as it lies here.
run-python: lib client
	SOCKEYE_LIBRARY=$(LIB)/libsockeye.so PYTHONPATH=bindings/python CLIENT_DIR=$(CLIENT_DIR) python3 examples/python/chat.py

# ---- tests -----------------------------------------------------------------------------------------------------------

test: check test-rust test-c test-abi test-install test-clients test-hostile test-python test-node

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTFLAGS="--cfg fuzzing" $(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir target/fuzz/check -- -D warnings

test-rust:
	$(CARGO) test

test-c: lib testbed
	LIB=$(LIB) INCLUDE=include sh tests/c/run.sh

.PHONY: test-tsan test-miri test-abi abi-baseline test-install
# These need a nightly toolchain with rust-src and miri, and say so (exit status 3) if there is none.
test-tsan:
	sh tests/c/tsan.sh

test-miri:
	sh tests/miri.sh

# The ABI as recorded; abi-baseline records what was added.
test-abi: lib
	LIB=$(LIB) sh tests/abi/run.sh

abi-baseline:
	sh tests/abi/run.sh record

# What is installed, through pkg-config and CMake.
test-install: lib
	sh tests/install.sh

test-clients: testbed examples examples-host
	sh tests/clients/run.sh

test-hostile: testbed
	sh tests/hostile/run.sh

.PHONY: test-python test-python-sdist
test-python: lib
	sh bindings/python/tests/run.sh

# As test-python, and the sdist is built and installed where there is nothing but Rust: some minutes more.
test-python-sdist: lib
	SDIST=1 sh bindings/python/tests/run.sh

# Each target of fuzz/ for so many seconds.
SECONDS ?= 30
fuzz:
	fuzz/run.sh $(SECONDS)

# An hour of guests good and bad, and what the process holds meanwhile: target/soak/soak.svg. `make soak SECONDS=60` is a try.
soak: export SECONDS := $(if $(filter file,$(origin SECONDS)),3600,$(SECONDS))
soak: testbed
	cd tests/clients/node && npm install --package-lock=false --no-audit --no-fund --silent
	python3 tests/soak/soak.py

# ---- Node ------------------------------------------------------------------------------------------------------------

.PHONY: node prebuilds test-node test-node-asan run-node
# Headers of the node that is installed, so that nothing is downloaded for them.
NODE_HOME := $(shell node -p "path.resolve(process.execPath, '../..')" 2>/dev/null)
NODE_BUILD = SOCKEYE_LIB=$(abspath $(LIB)) $(if $(wildcard $(NODE_HOME)/include/node/node_api.h),npm_config_nodedir=$(NODE_HOME))

node: lib
	@# What is there already would be taken for a build.
	rm -rf bindings/node/build/Release/sockeye.node bindings/node/prebuilds
	cd bindings/node && $(NODE_BUILD) npm install --package-lock=false --no-audit --no-fund --silent

# The addon where node-gyp-build looks for it in a published package.
prebuilds: node
	scripts/prebuilds.sh bindings/node

test-node: prebuilds
	for example in chat auth; do (cd examples/node/$$example && npm install --package-lock=false --no-audit --no-fund --silent) || exit 1; done
	cd bindings/node && node --test --test-concurrency=2 test/*.test.js
	cd tests/clients/node && npm install --package-lock=false --no-audit --no-fund --silent && \
		TESTBED=$(CURDIR)/bindings/node/test/testbed.js DELIVERIES=poll node --test --test-concurrency=3 --test-reporter=dot \
		messaging.test.js namespaces.test.js rooms.test.js connections.test.js limits.test.js protocol-socket.test.js client-v3.test.js && \
		TESTBED=$(CURDIR)/bindings/node/test/testbed.js node --test --test-reporter=dot \
		--test-name-pattern='garbage|is killed|is stopped' cluster-redis.test.js && \
		SOCKEYE_LIBRARY=$(abspath $(LIB))/libsockeye.so node --test --test-reporter=dot binding-cluster.test.js && \
		TESTBED=$(CURDIR)/bindings/node/test/testbed.js node --test --test-reporter=dot binding-emitter.test.js chat-node.test.js

# The addon under AddressSanitizer.
test-node-asan: node
	LIB=$(LIB) sh bindings/node/test/asan.sh

run-node: node
	cd examples/node/chat && npm install --package-lock=false --no-audit --no-fund --silent && node index.js

# ---- measurements ----------------------------------------------------------------------------------------------------

.PHONY: bench-level bench-start
bench: testbed
	python3 benches/run.py $(BENCH_ARGS)

# Memory over 100,000 clients that come and go and 10 million messages, and CPU until the first server listens, of the Node and the Python package.
bench-level:
	python3 benches/level.py $(BENCH_ARGS)

bench-start:
	python3 benches/start.py $(BENCH_ARGS)

clean:
	$(CARGO) clean
	rm -rf target
