# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# build.sh - compiles kernel modules and guest programs inside the cached root, with the kernels'
# own compiler.
#
# Sourced by tests/vm/rig. Each kernel has a build folder of its own
# ($RIG_ROOT/rig/build/<release>): make would keep a stale .ko of the other kernel without a word.

# rig_build KERNEL DIR OUT [make arguments...] - build the modules of DIR for KERNEL and put the
# .ko files into OUT.
rig_build() {
	local release headers source out work
	release=$(rig_kernel "$1")
	headers=$(rig_headers "$release")
	source=$(realpath "$2")
	mkdir -p "$3"
	out=$(realpath "$3")
	shift 3
	work=/rig/build/$release/$(basename "$source")
	mkdir -p "$RIG_ROOT$work"
	rig_mirror_tree "$source" "$RIG_ROOT$work"
	# The uapi header is shared with user space and lives outside the driver's folder.
	mkdir -p "$RIG_ROOT$work/include/uapi"
	rig_mirror_tree "$RIG_REPO/include/uapi" "$RIG_ROOT$work/include/uapi"
	# So are the registers and descriptors of the engine.
	mkdir -p "$RIG_ROOT$work/include/hw"
	rig_mirror_tree "$RIG_REPO/include/hw" "$RIG_ROOT$work/include/hw"
	# The debug kernel has no BTF, and is of the source that the backports kernel was made of.
	if [ -e "$source/check-dax-abi" ] && [ "${headers#/usr/src}" != "$headers" ]; then
		rig_in_root "$work/check-dax-abi" "$headers" || exit 1
	fi
	rig_in_root make -s -C "$headers" M="$work" "$@" modules >&2 ||
		rig_die "modules of $source do not build for $release"
	find "$out" -name '*.ko' -delete
	find "$RIG_ROOT$work" -name '*.ko' -exec cp {} "$out/" \;
	# Debug information is nine tenths of a module, and only slows the guest's start.
	find "$out" -name '*.ko' -exec strip --strip-debug {} +
}

# rig_mirror_tree FROM TO - copy sources, keeping times, so that make rebuilds only what changed;
# sources that are gone from FROM go from TO as well.
rig_mirror_tree() {
	local from=$1 to=$2 file
	(cd "$from" && find . -type f \( -name '*.[ch]' -o -name Makefile -o -name Kbuild \
		-o -name 'check-*' \) -print0) |
		(cd "$from" && xargs -0 -r cp --parents --preserve=timestamps -u -t "$to")
	(cd "$to" && find . -type f -name '*.[ch]' ! -name '*.mod.c' ! -path './include/*') |
		while read -r file; do
		[ -e "$from/$file" ] || rm -f "$to/$file"
	done
}

# rig_compile OUT SOURCE... - one static guest program, so that it runs in any initramfs.
rig_compile() {
	local out=$1 work=/rig/build/guest
	shift
	mkdir -p "$RIG_ROOT$work" "$(dirname "$out")"
	rm -rf "${RIG_ROOT:?}$work/src" && mkdir -p "$RIG_ROOT$work/src"
	cp -r "$RIG_REPO/include" "$RIG_ROOT$work/src/include"
	cp "$RIG_DIR"/guest/*.h "$@" "$RIG_ROOT$work/src/"
	local names=()
	local source
	for source in "$@"; do names+=("$work/src/$(basename "$source")"); done
	rig_in_root gcc -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -static -pthread \
		-I "$work/src/include" -I "$work/src/include/uapi" \
		"${names[@]}" -o "$work/$(basename "$out")" ||
		rig_die "guest program $(basename "$out") does not compile"
	cp "$RIG_ROOT$work/$(basename "$out")" "$out"
}
