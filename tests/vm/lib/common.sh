# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# common.sh - paths, messages and kernel names that every part of the rig shares.
#
# Sourced by tests/vm/rig; never run by itself. Holds no step of its own.

# Where the cached root lives. It is only ever written by rig_setup, and by builds below
# $RIG_ROOT/rig.
RIG_ROOT=${RIG_ROOT:-/var/cache/speckv-rig}
RIG_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RIG_REPO=$(cd "$RIG_DIR/../.." && pwd)

rig_say() { printf '# rig: %s\n' "$*" >&2; }

# rig_die MESSAGE... - the rig never skips: whatever it cannot do ends the run with a reason and a
# failure.
rig_die() {
	printf '# rig: error: %s\n' "$*" >&2
	exit 1
}

# rig_in_root COMMAND... - run inside the cached root, in mount and pid namespaces of its own, so
# that nothing of the host's /dev is bound there (a package script could change it) and no process
# outlives the command.
rig_in_root() {
	unshare --mount --pid --fork --kill-child --mount-proc="$RIG_ROOT/proc" \
		chroot "$RIG_ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
}

# rig_kernel NAME - full release of a kernel in the root. NAME is `stable` or `backports` (as
# rig_setup resolved them), `debug` (which debug.sh makes), or the beginning of a release, such as
# `6.12` or `7`.
rig_kernel() {
	local name=$1 found
	case $name in
	debug) found=$(cat "$RIG_ROOT$(rig_debug_dir)/include/config/kernel.release") ;;
	stable | backports) found=$(sed -n "s/^$name //p" "$RIG_ROOT/rig/kernels") ;;
	*)
		found=$(awk '{print $2}' "$RIG_ROOT/rig/kernels" |
			grep "^${name//./\\.}[.-]" | sort -V | tail -1)
		;;
	esac
	[ -n "$found" ] || rig_die "no kernel '$name' in $RIG_ROOT; there are:" \
		"$(tr '\n' ';' <"$RIG_ROOT/rig/kernels")"
	printf '%s\n' "$found"
}

# rig_headers RELEASE - path inside the root of what modules for that kernel are built against.
rig_headers() {
	case $1 in
	*-speckv-debug) rig_debug_dir ;;
	*) printf '/usr/src/linux-headers-%s\n' "$1" ;;
	esac
}
