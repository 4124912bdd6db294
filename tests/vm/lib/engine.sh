# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# engine.sh - the codec engine's device process (fpga/device) beside a guest.
#
# Sourced by vm-test, which has $repo and $work. QEMU sees only what lies under its root, so that is
# where sockets are. SPECKV_DEVICE names another program.

# engines_build [BACKEND] - golden, or verilated or both, which need the program with the RTL.
engines_build() {
	local name=speckv-device
	engine_backend=${1:-golden}
	[ "$engine_backend" = golden ] || name=speckv-device-rtl
	engine_root=${RIG_ROOT:-/var/cache/speckv-rig}
	engine_program=${SPECKV_DEVICE:-$repo/build/release/bin/$name}
	(cd "$repo" && tools/build release "$name" engine_cases) >"$work/engine.build" 2>&1 ||
		{ cat "$work/engine.build" >&2 && return 1; }
	"$repo/build/release/bin/engine_cases" "$work/engine-cases"
}

# engine_start ARRAY - a device process of this shell's; puts QEMU's arguments into ARRAY. One at a
# time in each shell.
engine_start() {
	local -n arguments=$1
	local socket
	engine_folder=$(mktemp -d -p "$engine_root/rig" engine.XXXXXX)
	echo "$engine_folder" >>"$work/engine.folders"
	"$engine_program" --backend "$engine_backend" --socket "$engine_folder/engine.sock" \
		--control "$engine_folder/control.sock" >"$engine_folder/log" 2>&1 &
	engine_pid=$!
	for _ in $(seq 100); do [ -S "$engine_folder/control.sock" ] || sleep 0.1; done
	socket='{"type":"unix","path":"'${engine_folder#"$engine_root"}'/engine.sock"}'
	# The guest's third serial port is where it asks the device to do wrong.
	# shellcheck disable=SC2034
	arguments=(-device
		'{"driver":"vfio-user-pci","id":"engine0","bus":"pcie.0","socket":'"$socket"'}'
		-chardev "socket,id=control0,path=${engine_folder#"$engine_root"}/control.sock"
		-serial chardev:control0)
}

engine_stop() {
	[ -n "${engine_pid:-}" ] || return 0
	kill "$engine_pid" 2>/dev/null || :
	wait "$engine_pid" || :
	engine_pid=
	rm -rf "$engine_folder"
}

# What a guest that was ended left behind.
engines_stop() {
	engine_stop
	[ ! -e "$work/engine.folders" ] || xargs rm -rf <"$work/engine.folders"
}
