# The front door. `make help` lists the verbs; CMake and its presets do the work.
#
#   make demo ARGS="--duration 10s"     options for weir demo
#   make test ARGS="-R unit_record"     options for ctest
#   make install PREFIX=/usr/local      also DESTDIR

PREFIX ?= /usr/local
ARGS ?=

.DEFAULT_GOAL := all
.PHONY: all demo test soak bench lint format fuzz asan tsan install clean help

all: ## release build into build/ (the program is build/weir)
	@scripts/build release

demo: ## broker, provider and model server in one process; installs what it needs
	@scripts/deps build
	@scripts/build release weir
	@exec build/weir demo $(ARGS)

test: ## release build and every test of it, under ten minutes; installs what it needs
	@scripts/deps build test
	@scripts/build release
	@for v in 4.1.0 3.9.1 --streams; do scripts/fetch-kafka $$v || echo "no Apache Kafka $$v: its tests will skip"; done
	@scripts/run-tests build $(ARGS)

soak: ## the long tier, hours: kills and stalls, 10,000 swaps, repeated integration, ten minutes per fuzzer
	@scripts/soak

bench: ## every benchmark, with its ratio to the target
	@scripts/deps build
	@scripts/build release
	@set -e; for program in build/bench/bench_*; do \
	    if [ -f "$$program" ] && [ -x "$$program" ]; then echo "== $${program##*/}"; "$$program" $(ARGS); fi; \
	done
	@echo "== brokers"; bench/brokers.py

lint: ## house rules, layout, clang-tidy, cppcheck, shellcheck
	@scripts/lint

format: ## lay out every C file by .clang-format
	@scripts/deps lint
	@scripts/format

fuzz: ## every libFuzzer target for FUZZ_SECONDS (60) seconds
	@scripts/fuzz

asan: ## unit tests and fuzz corpora under AddressSanitizer and UBSan
	@scripts/deps build test
	@scripts/build asan
	@scripts/run-tests build/asan -L 'unit|fuzz-replay'

tsan: ## tests of everything with threads under ThreadSanitizer
	@scripts/deps build test
	@scripts/build tsan
	@scripts/run-tests build/tsan -R '^unit_(base|loop|kafka|flow|plog|streams|broker|http|serving)_'

install: all ## into PREFIX (/usr/local)
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"

clean: ## remove build/
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1 	/p' Makefile | expand -t 16
