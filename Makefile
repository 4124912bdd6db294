# SPDX-License-Identifier: Apache-2.0
# speckv's front door. `make` alone says what there is. Each target first installs what it needs
# (root, Debian 12) or prints what is missing and stops; the work itself is in small scripts under
# tools/ and in each room. Does no work of its own, and names no target whose room does not exist
# yet.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
PRESET ?= release

.PHONY: help run test test-all sim test-vm test-fpga fpga demo-cxl demo-engine bench quality
.PHONY: install deps format format-check lint clean calibrate test-llama-server
.PHONY: test-engines bench-engines bench-engine bench-peers bench-think test-chaos

help: ## this list
	@echo 'speckv: a KV-cache tier in CXL memory for LLM servers. See README.md.'
	@echo
	@tools/make-help $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'Variables: PREFIX=$(PREFIX) DESTDIR= (install), PRESET=$(PRESET) (build),'
	@echo '           QUICK=1 (run: under 4 minutes once built), JOBS=$(JOBS)'

build: ## [CMakeLists.txt] configure and compile everything in build/release
	@tools/need build test
	@tools/build $(PRESET)

run: ## [tests/bench/server/run] llama-server with and without speckv over HTTP, one table
	@tools/need build run
	@tests/bench/server/run

test: ## [tools/test] every part of the product's tests, each against its budget
	@tools/need build test vm binding fpga
	@tools/test

test-all: ## [tools/test] test, a million codec pages, NEON, all sanitizers, fuzz, llama-server
	@tools/need build test vm binding fpga lint python neon million run
	@tools/test --all

sim: ## [tests/sim/README.md] one seed (SEED=n) of the simulation, with its trace
	@tools/need build test
	@tools/build $(PRESET) speckv_sim
	@build/$(PRESET)/bin/speckv_sim $(or $(SEED),1)

test-chaos: ## [tests/chaos/README.md] 2,000 deaths of real daemons under real clients (SEED=n)
	@tools/need build test
	@tools/build $(PRESET) speckv_chaos
	@build/$(PRESET)/bin/speckv_chaos --loud $(or $(SEED),1) $(or $(DEATHS),2000)

test-engines: build ## [tests/engines/run] LMCache, Dynamo's indexer, a vLLM engine (12 GB, once)
	@tools/need binding
	@tests/engines/run

bench-engines: build ## [tests/engines/vllm/bench.py] a vLLM engine: KV computed, loaded, resident
	@tools/need binding
	@tests/engines/vllm/run --bench

test-vm: ## [tests/vm/vm-test] the kernel driver on two kernels in QEMU
	@tools/need build test vm
	@tests/vm/vm-test

test-fpga: ## [fpga/test] the codec engine's RTL: lint, benches, proofs, seeded faults
	@tools/need fpga
	@fpga/test

fpga: ## [fpga/full] a million pages, every seeded fault, place and route: an hour
	@tools/need fpga
	@fpga/full

demo-cxl: ## [tests/vm/e2e/e2e] a CXL card in QEMU: put, get, crash, pull the card
	@tools/need build test vm
	@tests/vm/e2e/e2e --demo

demo-engine: ## [tests/vm/e2e/e2e] a codec engine in QEMU: it encodes, is reset, lies, falls silent
	@tools/need build test vm fpga
	@tests/vm/e2e/e2e --demo-engine

bench: ## [tests/bench/run] every number of the design, as ratios side by side
	@tools/need build test bench
	@tests/bench/run

bench-peers: build ## [tests/bench/peers/run] Redis, Mooncake, LMCache and NIXL beside speckv
	@tools/need binding bench
	@tests/bench/peers/run

bench-think: ## [tests/bench/server/think.py] llama-server, a small pool, sessions that come back
	@tools/need build run
	@tests/bench/server/run think

bench-engine: ## [tests/bench/engine/run] llama.cpp in one process, a sequence at a time
	@tools/need build run
	@tests/bench/engine/run

quality: ## [tests/quality/run] what each codec preset costs in KLD, top-1 and perplexity
	@tools/need build run quality
	@tests/quality/run

test-llama-server: ## [tests/integration/llama_server/CMakeLists.txt] stock llama-server on a pool
	@tools/need build test run
	@tests/bench/engine/setup build/engine server
	@SPECKV_LLAMA_ROOT=build/engine tools/build release llama_server_tests
	@ctest --test-dir build/release -L '^servers$$' --output-on-failure

calibrate: ## [libspeckv/tools/speckv_calibrate.cpp] speckv-calibrate, with its engine (once)
	@tools/need build run
	@tests/bench/engine/setup build/engine
	@SPECKV_LLAMA_ROOT=build/engine tools/build release speckv-calibrate

install: ## [libspeckv/src/CMakeLists.txt] daemon, library, headers, man pages, units
	@tools/need build
	@tools/build install "$(DESTDIR)" "$(PREFIX)"

deps: ## [tools/need] install the packages of every target
	@tools/need build test run bench lint vm python binding fpga

format: ## [.clang-format] rewrite C and C++ files that are not formatted
	@tools/need lint
	@tools/format --write

format-check: ## [.clang-format] name C and C++ files that are not formatted
	@tools/need lint
	@tools/format --check

lint: ## [tools/lint] clang-tidy, cppcheck and shellcheck over the sources
	@tools/need build test lint
	@tools/lint

clean: ## [Makefile] remove build/
	rm -rf build
