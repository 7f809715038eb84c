# `make` alone lists what there is. People and CI use the same targets: .ci/run calls `make test`.

SWIFT ?= swift
PYTHON ?= python3
PREFIX ?= /usr/local
DESTDIR ?=
# Debug builds optimise the store, the parsers and the server, since tests compute for minutes in them. All assertions
# stay. To step through them in a debugger: make debug LARDER_OPTIMIZED_DEBUG=
export LARDER_OPTIMIZED_DEBUG ?= 1
ifeq ($(LARDER_OPTIMIZED_DEBUG),)
unexport LARDER_OPTIMIZED_DEBUG
endif
# What `make run` hands to the server: make run ARGS="-m 1024 -vv"
ARGS ?=
# How many compile jobs at once.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# The server that `make compare` measures against; QUICK=1 takes less than two minutes.
MEMCACHED ?= /usr/bin/memcached
QUICK ?=
# Random sequences of each of five kinds for the model store, and the seed of the first.
MODEL_SEQUENCES ?= 20000
MODEL_SEED ?= 1
# Turns of each thread under the thread sanitizer.
TSAN_ROUNDS ?= 1000
# How many seconds each target of `make fuzz` runs, and which targets run: all of them if empty.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
# `make soak` ends after so many verified operations, or after so many seconds. The seed decides the requests and the
# faults.
SOAK_OPERATIONS ?= 1000000000
SOAK_SECONDS ?= 7200
SOAK_SEED ?= 1
# First it sends so many chunks of some 70 commands to servers with each size of batch, for each of 15 combinations of
# options and dialect: a million commands and more.
BATCH_CHUNKS ?= 1000

# The dependency check makes the build hold the table of who may import whom.
SWIFT_FLAGS := -j $(JOBS) --explicit-target-dependency-import-check error
# The server carries its Swift runtime: it then needs libevent and libc only, OpenSSL for -Z, and 3 MB less memory.
RELEASE_FLAGS := $(SWIFT_FLAGS) -c release --static-swift-stdlib
# Traits of the package switch the parts on that only some users need. The client has the default trait. The server
# needs none of them; tests need all.
SERVER_TRAITS := --disable-default-traits
ALL_TRAITS := --enable-all-traits
# SwiftPM hands the traits to the compiler in the order of a set, which is another one in each run. Without this variable
# most builds with several traits would build everything anew.
SWIFT_BUILD = SWIFT_DETERMINISTIC_HASHING=1 $(SWIFT) build
SOURCES := Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources Benchmarks/Tests
VENV := .venv-test

# A crashing test must die at once, not be held up by the backtracer.
test test-swift test-store test-server test-libraries test-clients: export SWIFT_BACKTRACE := enable=no

.DEFAULT_GOAL := help
.PHONY: help run build debug test test-swift test-store test-server test-libraries test-benchmarks test-clients test-engine test-programs readers generator floor client-probe qsets-demo database-programs setup setup-debug setup-test install install-built deb deb-built format check lint tidy public-api clean bench compare gates parts expiry hitratio density overwrites replication test-model test-tsan fuzz test-fuzz fuzz-merge soak soak-program test-soak

help: ## list these targets
	@echo "Larder, a memcached-compatible cache server. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo "Variables: ARGS (run, compare), MEMCACHED and QUICK (compare), MODEL_SEQUENCES and MODEL_SEED (test-model), TSAN_ROUNDS (test-tsan), FUZZ_SECONDS and FUZZ_TARGETS (fuzz), SOAK_OPERATIONS, SOAK_SECONDS, SOAK_SEED and BATCH_CHUNKS (soak), PREFIX and DESTDIR (install), JOBS, SWIFT, PYTHON."

run: build ## build optimised and serve on 127.0.0.1:11211 (make run ARGS="-m 1024 -v")
	@exec .build/release/larder $(ARGS)

build: setup ## build the optimised server: .build/release/larder
	$(SWIFT_BUILD) $(RELEASE_FLAGS) $(SERVER_TRAITS) --product larder

debug: setup-debug ## build everything, tests and what stands behind traits too, for debugging: .build/debug/larder
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --build-tests

test: setup-test ## check the layout, build both ways, warnings being errors, then run every test (what CI runs)
	@$(MAKE) --no-print-directory -j2 --output-sync=target check build
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-engine test-programs
	@$(MAKE) --no-print-directory test-swift
	@$(MAKE) --no-print-directory test-clients
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-soak gates

# An optimised build uses one core for most of its time. `make test` lets two chains of builds work side by side, each
# with directories of its own: SwiftPM builds one thing at a time in a directory.
test-engine: setup-debug
	@$(MAKE) --no-print-directory -j1 test-model test-tsan debug

test-programs: setup
	@$(MAKE) --no-print-directory -j1 readers generator soak-program
	$(SWIFT_BUILD) $(SWIFT_FLAGS) --package-path Benchmarks --build-tests
	@JOBS=1 $(MAKE) --no-print-directory test-fuzz

# Three groups of tests, two of them side by side, and each one test at a time. Tests of one process at the same time
# starve each other: some compute for minutes, others talk to servers within time-outs, and all together took twice as
# long. The program of the tests is called directly, since `swift test` waits for another one in its directory.
CLIENT_TESTS := LarderReplicationTests|LarderClientTests|LarderTestServerTests|LarderHummingbirdTests|LarderGRDBTests
STORE_TESTS := LarderStoreTests
SWIFT_TESTS := NO_COLOR=1 .build/debug/larderPackageTests.xctest --testing-library swift-testing --no-parallel

test-swift: debug ## run the Swift tests
	$(PYTHON) Tests/PublicAPI/public_api.py check
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-store test-server test-libraries test-benchmarks

test-store:
	@$(SWIFT_TESTS) --filter "$(STORE_TESTS)"

test-server:
	@$(SWIFT_TESTS) --skip "$(STORE_TESTS)|$(CLIENT_TESTS)"

test-libraries:
	@$(SWIFT_TESTS) --filter "$(CLIENT_TESTS)"

test-benchmarks:
	$(SWIFT) test $(SWIFT_FLAGS) --package-path Benchmarks

test-clients: setup-test build readers generator client-probe qsets-demo database-programs ## run real clients and the container's script against the optimised server
	$(VENV)/bin/python -m pytest -q -rs -n 2 --dist loadfile Tests/Clients

readers: setup
	$(SWIFT_BUILD) $(RELEASE_FLAGS) --package-path Benchmarks --product larder-readers

generator: setup
	$(SWIFT_BUILD) $(RELEASE_FLAGS) --package-path Benchmarks --product larder-bench

floor: setup
	$(SWIFT_BUILD) $(RELEASE_FLAGS) --package-path Benchmarks --product larder-floor

client-probe: setup-debug
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --product client-probe

qsets-demo: setup-debug ## build the Django example in Swift: .build/debug/qsets-demo --memory
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --product qsets-demo

# `make debug` has built them already, if it came before.
database-programs: setup-debug ## build server, larder-log and example with the logs of databases: .build/debug/larder
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --product larder
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --product larder-log
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --product replicated-demo
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(ALL_TRAITS) --product replication-probe

setup: ## install what a build needs (libevent, OpenSSL; apt-get, only what is missing)
	@SWIFT="$(SWIFT)" .ci/setup build

setup-debug: setup
	@SWIFT="$(SWIFT)" .ci/setup debug

setup-test: setup ## install what the tests need (memcached's tools, Python clients in .venv-test)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" .ci/setup test

install: build ## install server, manual page, completions and units under $(DESTDIR)$(PREFIX); it needs no Swift runtime there
	@$(MAKE) --no-print-directory install-built

# Installs a program that is already built: BUILT.
BUILT ?= .build/release/larder
INSTALLED = $(DESTDIR)$(PREFIX)
install-built:
	install -d "$(INSTALLED)/bin" "$(INSTALLED)/share/man/man1" "$(INSTALLED)/share/bash-completion/completions" \
		"$(INSTALLED)/share/zsh/site-functions" "$(INSTALLED)/share/fish/vendor_completions.d" \
		"$(INSTALLED)/lib/systemd/system" "$(INSTALLED)/lib/sysusers.d"
	install -s -m 755 "$(BUILT)" "$(INSTALLED)/bin/larder"
	"$(BUILT)" --man | install -m 644 /dev/stdin "$(INSTALLED)/share/man/man1/larder.1"
	"$(BUILT)" --completions bash | install -m 644 /dev/stdin "$(INSTALLED)/share/bash-completion/completions/larder"
	"$(BUILT)" --completions zsh | install -m 644 /dev/stdin "$(INSTALLED)/share/zsh/site-functions/_larder"
	"$(BUILT)" --completions fish | install -m 644 /dev/stdin "$(INSTALLED)/share/fish/vendor_completions.d/larder.fish"
	for unit in larder.service larder@.service larder.socket; do \
		sed 's|/usr/bin/larder|$(PREFIX)/bin/larder|' "systemd/$$unit" > "$(INSTALLED)/lib/systemd/system/$$unit" || exit 1; \
	done
	install -m 644 systemd/sysusers.conf "$(INSTALLED)/lib/sysusers.d/larder.conf"

deb: build ## build a Debian package: .build/larder_VERSION_ARCHITECTURE.deb (DEB_MAINTAINER="Name <address>")
	@$(MAKE) --no-print-directory deb-built

# Packages a program that is already built (BUILT), and puts the package into DEB_DIRECTORY.
DEB_DIRECTORY ?= .build
deb-built:
	rm -rf "$(DEB_DIRECTORY)/deb"
	@$(MAKE) --no-print-directory install-built DESTDIR="$(DEB_DIRECTORY)/deb" PREFIX=/usr
	packaging/debian/build "$(DEB_DIRECTORY)/deb" "$(DEB_DIRECTORY)"
	rm -rf "$(DEB_DIRECTORY)/deb"

format: ## lay the Swift sources out as .swift-format says
	$(SWIFT) format format --in-place --recursive --parallel $(SOURCES)

check: lint tidy ## run the checks that need no build

lint: ## report where the layout differs from .swift-format
	$(SWIFT) format lint --strict --recursive --parallel $(SOURCES)

tidy: ## hold the sources against the house rules: Tests/Tidy
	$(PYTHON) -m unittest discover -q -s Tests/Tidy
	$(PYTHON) -m unittest discover -q -s Tests/PublicAPI
	$(PYTHON) Tests/Tidy/tidy.py

public-api: debug ## write the public symbols of the libraries anew: Tests/PublicAPI
	$(PYTHON) Tests/PublicAPI/public_api.py write

bench: generator ## build the load generator, Benchmarks/.build/release/larder-bench, and print its options
	@Benchmarks/.build/release/larder-bench --help

gates: setup-test build generator ## hold instructions, system calls and bytes against their ceilings (some two minutes)
	$(PYTHON) Benchmarks/gates.py

compare: build generator floor ## measure Larder against memcached (make compare MEMCACHED=PATH QUICK=1)
	$(PYTHON) Benchmarks/compare.py --memcached "$(MEMCACHED)" $(if $(QUICK),--quick) $(ARGS)

parts: setup-test build generator ## where user instructions go, by part, in Larder and memcached (some two minutes)
	$(PYTHON) Benchmarks/parts.py --memcached "$(MEMCACHED)" $(ARGS)

expiry: build generator ## let a million items expire under load: how late, and how long anybody waited
	$(PYTHON) Benchmarks/expiry.py $(ARGS)

hitratio: build ## hit ratios of Larder, memcached and (where installed) Redis on eight mixes, some 20 minutes
	$(SWIFT_BUILD) $(RELEASE_FLAGS) $(SERVER_TRAITS) --product larder-hits
	$(PYTHON) Benchmarks/hitratio.py --memcached "$(MEMCACHED)" $(ARGS)

density: build ## how many items of seven sizes Larder and memcached hold with -m 256
	$(PYTHON) Benchmarks/density.py --memcached "$(MEMCACHED)" $(ARGS)

overwrites: build ## overwrite keys at random in Larder and memcached, and count the missing ones (some 20 minutes)
	$(PYTHON) Benchmarks/overwrites.py --memcached "$(MEMCACHED)" $(ARGS)

replication: setup-test ## measure replicated caches over files and both databases (some minutes)
	$(SWIFT_BUILD) $(RELEASE_FLAGS) --traits Databases --package-path Benchmarks --product larder-replicas
	$(PYTHON) Benchmarks/replication.py $(ARGS)

test-model: setup ## 100,000 random sequences against the model store, every invariant checked after each step
	$(SWIFT_BUILD) $(RELEASE_FLAGS) $(SERVER_TRAITS) --product larder-model
	.build/release/larder-model --seed $(MODEL_SEED) --sequences $(MODEL_SEQUENCES)

soak-program: setup
	$(SWIFT_BUILD) $(RELEASE_FLAGS) --package-path Benchmarks --product larder-soak
	$(SWIFT_BUILD) $(RELEASE_FLAGS) --package-path Benchmarks --product soak-clock

soak: build debug soak-program ## verify 10^9 operations with every fault at once (docs/reliability.md; up to two hours)
	LARDER_BATCH_CHUNKS=$(BATCH_CHUNKS) $(SWIFT) test $(SWIFT_FLAGS) $(ALL_TRAITS) --skip-build --filter BatchSizeTests
	Benchmarks/.build/release/larder-soak --seed $(SOAK_SEED) --seconds $(SOAK_SECONDS) \
		--operations $(SOAK_OPERATIONS) $(ARGS)

test-soak: build soak-program ## run soak for half a minute, then as long without faults under more load
	Benchmarks/.build/release/larder-soak --seed $(SOAK_SEED) --seconds 28 --workers 2,4
	Benchmarks/.build/release/larder-soak --stress --seed $(SOAK_SEED) --seconds 24 --workers 2,8 --patience 8

# Without the default traits no package is resolved.
test-tsan: setup ## run four threads at a store under the thread sanitizer (make test-tsan TSAN_ROUNDS=5000)
	$(SWIFT_BUILD) $(SWIFT_FLAGS) $(SERVER_TRAITS) --sanitize thread --scratch-path .build/tsan --product larder-model
	.build/tsan/debug/larder-model --rounds $(TSAN_ROUNDS)

fuzz: setup ## let libFuzzer make inputs for all parsers and for whole conversations (make fuzz FUZZ_SECONDS=3600)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) Tests/Fuzzing/fuzz run

test-fuzz: setup ## run the fuzz targets on the corpus in Tests/Fuzzing, then 20 seconds each on new inputs
	@FUZZ_SECONDS=20 Tests/Fuzzing/fuzz run

fuzz-merge: setup ## rebuild the corpus from itself and from the inputs that make fuzz has found
	@Tests/Fuzzing/fuzz merge

clean: ## remove what was built, and the Python environment of the tests
	rm -rf .build Benchmarks/.build $(VENV)
