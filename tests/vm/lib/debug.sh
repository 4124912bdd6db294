# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# debug.sh - makes the debug kernel: Debian's backports source with config/machine.config and
# config/checks.config (KASAN, lockdep, fault injection, KUnit...).
#
# Sourced by tests/vm/rig and driver-lint. Kept below $RIG_ROOT/rig/debug, one folder per (source
# version, hash of what configures it), and carried over when the root is made anew: a build takes
# some ten minutes of CPU. Never takes a kernel that lost a line of its configuration: what Kconfig
# cannot have, it drops without a word.

RIG_DEBUG_PACKAGES=(flex bison bc libelf-dev libssl-dev perl python3)
RIG_DEBUG_MUST=(KASAN KASAN_VMALLOC PROVE_LOCKING DEBUG_ATOMIC_SLEEP FAILSLAB DEBUG_OBJECTS UBSAN
	KUNIT)

# Version of the source that the root's backports kernel was built from.
rig_source_version() {
	rig_in_root dpkg-query -W -f '${Version}' "linux-binary-$(rig_kernel backports)"
}

# rig_source - path inside the root of the unpacked kernel source, fetched once.
rig_source() {
	local version package path
	version=$(rig_source_version) || rig_die "the root does not know its backports kernel"
	path=/rig/debug/source-$version
	if [ ! -e "$RIG_ROOT$path/Makefile" ]; then
		package=linux-source-$(printf '%s' "$version" | cut -d. -f1,2)
		rig_say "fetching $package $version (170 MB, once)"
		rm -rf "$RIG_ROOT$path" "$RIG_ROOT/rig/fetch" && mkdir -p "$RIG_ROOT/rig/fetch"
		cp /etc/resolv.conf "$RIG_ROOT/etc/resolv.conf"
		rig_in_root sh -ec "apt-get -qq update && cd /rig/fetch &&
			apt-get -qq download $package=$version && dpkg-deb -x *.deb package &&
			mkdir -p $path.part && tar -C $path.part --strip-components=1 \
				-xf package/usr/src/$package.tar.xz" >&2 ||
			rig_die "no $package $version on the mirror; if that has moved on, remove" \
				"$RIG_ROOT so that it is made anew"
		mv "$RIG_ROOT$path.part" "$RIG_ROOT$path"
		rm -rf "$RIG_ROOT/rig/fetch"
	fi
	printf '%s\n' "$path"
}

# rig_debug_dir - path inside the root of the debug kernel's build folder, made or not.
rig_debug_dir() {
	local version hash
	version=$(rig_source_version) || return 1
	hash=$(cat "$RIG_DIR"/config/*.config | cat - <(rig_in_root gcc -dumpfullversion) |
		sha256sum | cut -c1-12)
	printf '/rig/debug/%s-%s\n' "$version" "$hash"
}

# Every line of the two files is in the final configuration, and so is what must be there.
rig_debug_config_check() {
	local config=$1 line lost=0
	while IFS= read -r line; do
		grep -qxF -- "$line" "$config" && continue
		rig_say "the debug kernel's configuration lost: $line"
		lost=1
	done < <(grep -hE '^(# )?CONFIG_' "$RIG_DIR"/config/*.config)
	for line in "${RIG_DEBUG_MUST[@]}"; do
		grep -qx "CONFIG_$line=y" "$config" && continue
		rig_say "the debug kernel has no $line"
		lost=1
	done
	return $lost
}

rig_debug_make() {
	local source=$1 out=$2
	mkdir -p "$RIG_ROOT$out"
	cp "$RIG_DIR"/config/*.config "$RIG_ROOT$out/"
	# The two fragments come last, so their lines win over tinyconfig's.
	rig_in_root sh -ec "make -s -C $source O=$out tinyconfig
		cat $out/*.config >>$out/.config
		make -s -C $source O=$out olddefconfig" >"$RIG_ROOT$out/log" 2>&1 ||
		rig_die "the debug kernel cannot be configured: $(tail -3 "$RIG_ROOT$out/log")"
	rig_debug_config_check "$RIG_ROOT$out/.config" || rig_die "see above; not building that"
	rig_say "building the debug kernel (some 10 minutes of CPU, once)"
	rig_in_root nice -n 10 make -s -j"$(nproc)" -C "$source" O="$out" bzImage modules \
		>"$RIG_ROOT$out/log" 2>&1 ||
		rig_die "the debug kernel does not build: $(tail -5 "$RIG_ROOT$out/log")"
	rig_in_root make -s -C "$source" O="$out" INSTALL_MOD_PATH="$out/root" modules_install \
		>"$RIG_ROOT$out/log" 2>&1 || rig_die "modules_install failed, see $RIG_ROOT$out/log"
	rig_in_root find "$out/root" -name '*.ko' -exec strip --strip-debug {} +
	touch "$RIG_ROOT$out/done"
}

# rig_debug_setup - the debug kernel is there after this. Locked apart from the root's builds, so
# that it can be made while the stock kernels are in use.
rig_debug_setup() {
	local out
	out=$(rig_debug_dir) || rig_die "the root does not know its backports kernel"
	[ ! -e "$RIG_ROOT$out/done" ] || return 0
	mkdir -p "$RIG_ROOT/rig/debug"
	(
		flock 7
		[ ! -e "$RIG_ROOT$out/done" ] || exit 0
		rig_add debug "${RIG_DEBUG_PACKAGES[@]}"
		source=$(rig_source) || exit 1
		# One at a time: half a gigabyte each.
		find "$RIG_ROOT/rig/debug" -mindepth 1 -maxdepth 1 -type d ! -name 'source-*' \
			! -path "$RIG_ROOT$out" -exec rm -rf {} +
		rig_debug_make "$source" "$out"
	) 7>"$RIG_ROOT/rig/debug/lock" || exit 1
}
