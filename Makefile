# SPDX-License-Identifier: Apache-2.0
# A thin front of Meson: `make run` and `make test` do everything on a fresh Debian machine.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
MESON_FLAGS ?=
# The emulated machine is ten to thirty times slower than the real one.
VM_TIMEOUT ?= 4800
# What is worth half an hour there: the engine, and the agent on top of it. ARGS names others.
VM_TESTS = engine image monitor agent faults native container_spare embed

# The machine has a /tmp of its own: a tree below ours is handed over.
VM = test/vm/run $(if $(filter /tmp/% /run/%,$(CURDIR)),--share $(CURDIR))

.PHONY: all build run test test-vm conformance bench install clean format check deps

all: build

deps:
	@tools/deps build test check

# Installs what is missing, configures once, compiles. The programs are $(BUILD)/zlayer-*.
build:
	@tools/deps build
	@test -f $(BUILD)/build.ninja || meson setup --prefix=$(PREFIX) $(MESON_FLAGS) $(BUILD)
	@ninja -C $(BUILD)

# The example deployment on this machine, start to end, from a real registry on loopback.
run: deps build
	@ZL_BUILD=$(BUILD) tools/run-example

# Unit and system tests. ARGS goes to test/run: make test ARGS='--unit' or ARGS=test/system/run.bats
test: deps build
	@tools/test-venv >/dev/null
	@tools/wasmtime cli >/dev/null || true
	@tools/wasmtime jco >/dev/null 2>&1 || true
	@test/run --build $(BUILD) $(ARGS)

# The tests of the container engine and the agent on a kernel with cgroup v2 only, in an emulated machine.
test-vm: deps build
	@tools/deps vm
	@ZL_SOURCE=$(CURDIR) ZL_CACHE=$(abspath $(BUILD))/test-cache bash -c \
		'. test/system/parts.bash && busybox_layout && debian_layout' >/dev/null
	@$(VM) --timeout $(VM_TIMEOUT) -- \
		test/run --system --build $(BUILD) --timeout 900 --file-timeout 3600 \
		$(if $(ARGS),$(ARGS),$(VM_TESTS:%=test/system/%.bats))
	@$(if $(ARGS),:,$(VM) --timeout $(VM_TIMEOUT) -- test/run --system --build $(BUILD) --timeout 900 --filter 'cgroup version 2' \
		test/system/oci_rootless.bats test/system/rootless.bats)
	@$(if $(ARGS),:,$(VM) --timeout $(VM_TIMEOUT) -- test/run --system --build $(BUILD) --timeout 900 --filter '^version 2' \
		test/system/oci_compat.bats)
	@$(if $(ARGS),:,$(VM) -- env ZL_BUILD=$(abspath $(BUILD)) bats test/vm/checkpoint.bats)
	@$(if $(ARGS),:,$(VM) --systemd -- env ZL_BUILD=$(abspath $(BUILD)) bats test/vm/systemd.bats)
	@$(if $(ARGS),:,$(VM) --systemd --cgroups hybrid -- env ZL_BUILD=$(abspath $(BUILD)) bats test/vm/systemd_v1.bats)
	@$(if $(ARGS),:,$(VM) --systemd --cgroups v1 -- env ZL_BUILD=$(abspath $(BUILD)) bats test/vm/systemd_v1.bats)

# The validation programs of the OCI project on zlayer-oci, runc and crun. Needs go 1.21 and its module proxy the first time.
conformance: deps build
	@tools/deps conformance
	@ZL_BUILD=$(BUILD) tools/conformance $(ARGS)

bench: deps build
	@tools/deps bench
	@ZL_BUILD=$(BUILD) bench/run $(ARGS)

install: build
	@meson configure $(BUILD) -Dprefix=$(PREFIX) >/dev/null
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD)

check:
	@tools/deps check
	@tools/check-layers
	@tools/check-size
	@tools/check-text
	@tools/check-claims
	@tools/check-format

format:
	@tools/deps check
	@tools/check-format --fix
