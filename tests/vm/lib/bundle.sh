# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# bundle.sh - takes programs that were built on this machine into a guest, with their libraries and
# their own loader, so that they run beside the guest's other C library.
#
# Sourced by tests/vm/rig. The guest then runs OUT/NAME, a script that calls the loader.

# rig_bundle OUT PROGRAM...
rig_bundle() {
	local out=$1 program name library
	shift
	mkdir -p "$out/bin" "$out/lib"
	for program in "$@"; do
		[ -x "$program" ] || rig_die "no program $program; build it first"
		name=$(basename "$program")
		cp "$program" "$out/bin/$name"
		strip "$out/bin/$name"
		ldd "$program" | grep -q 'not found' &&
			rig_die "$program lacks a library: $(ldd "$program" | grep 'not found')"
		ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
			cp -uL "$library" "$out/lib/"
		done
		# The guest's path of OUT is where this script lies.
		# shellcheck disable=SC2016
		printf '%s\n' '#!/bin/sh' 'here=${0%/*}' \
			'exec "$here/lib/ld-linux-x86-64.so.2" --library-path "$here/lib" \' \
			"	\"\$here/bin/$name\" \"\$@\"" >"$out/$name"
		chmod +x "$out/$name"
	done
}
