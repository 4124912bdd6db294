# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# image.sh - makes what a guest boots from: an uncompressed kernel and an initramfs with tools,
# modules and tests.
#
# Sourced by tests/vm/rig. The common half of the initramfs is made once per kernel and cached;
# the tests are a second cpio archive that is appended to it (the kernel unpacks one after the
# other).

# Modules that every guest has, in the order of their needs. kmem is there but never loaded by
# itself: it would take the region and put its pages online within milliseconds.
RIG_MODULES=(cxl_port cxl_mem cxl_pci cxl_acpi dax_cxl device_dax dax_hmem hwpoison_inject kmem)

# rig_vmlinux RELEASE - path of the kernel, uncompressed: QEMU starts it by PVH, which saves
# unpacking it under TCG. But a kernel with KASAN dies of PVH, so that one stays packed.
rig_vmlinux() {
	local release=$1 out=$RIG_ROOT/rig/vmlinux-$1 packed
	case $release in
	*-speckv-debug)
		printf '%s\n' "$RIG_ROOT$(rig_debug_dir)/arch/x86/boot/bzImage"
		return
		;;
	esac
	if [ ! -s "$out" ]; then
		packed=$RIG_ROOT/boot/vmlinuz-$release
		[ -f "$packed" ] || packed=$RIG_ROOT/lib/modules/$release/vmlinuz
		python3 "$RIG_DIR/lib/extract_vmlinux.py" "$packed" "$out.part" ||
			rig_die "cannot unpack the kernel $packed"
		mv "$out.part" "$out"
	fi
	printf '%s\n' "$out"
}

# The list of module files of one kernel, needs first. -C: a modprobe.d line of ndctl hides
# libnvdimm.
rig_module_files() {
	local name root=/
	case $1 in *-speckv-debug) root=$(rig_debug_dir)/root ;; esac
	for name in "${RIG_MODULES[@]}"; do
		rig_in_root modprobe -d "$root" -C /nonexistent -S "$1" --show-depends "$name" \
			2>/dev/null || :
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

rig_base_modules() {
	local release=$1 tree=$2 file base
	mkdir -p "$tree/lib/modules"
	rig_module_files "$release" | while read -r file; do
		base=$(basename "${file%.xz}")
		case $file in
		*.xz) xz -dc "$RIG_ROOT$file" >"$tree/lib/modules/$base" ;;
		*) cp "$RIG_ROOT$file" "$tree/lib/modules/$base" ;;
		esac
		[ "$base" = kmem.ko ] || printf '%s\n' "$base"
	done >"$tree/lib/modules/order"
	grep -q '^dax_cxl.ko$' "$tree/lib/modules/order" ||
		rig_die "kernel $release has no dax_cxl module"
}

rig_base_programs() {
	local tree=$1 program library
	mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,etc,t,usr/bin}
	cp "$RIG_ROOT/usr/bin/busybox" "$tree/bin/busybox"
	rig_in_root busybox --list | grep -vxE 'busybox|init' | while read -r program; do
		ln -s busybox "$tree/bin/$program"
	done
	for program in cxl daxctl ndctl; do cp "$RIG_ROOT/usr/bin/$program" "$tree/usr/bin/"; done
	rig_in_root ldd /usr/bin/cxl /usr/bin/daxctl /usr/bin/ndctl |
		grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
		while read -r library; do
			mkdir -p "$tree$(dirname "$library")"
			cp -L "$RIG_ROOT$library" "$tree$library"
		done
	printf '%s\n' root:x:0:0:root:/:/bin/sh one:x:1001:1001::/:/bin/sh \
		two:x:1002:1002::/:/bin/sh >"$tree/etc/passwd"
	printf 'root:x:0:\none:x:1001:\ntwo:x:1002:\n' >"$tree/etc/group"
	cp "$RIG_DIR/guest/init" "$tree/init"
	chmod +x "$tree/init"
}

# Pack a folder below the root as an uncompressed newc archive.
rig_pack() {
	# shellcheck disable=SC2016
	rig_in_root sh -c 'cd "$1" && find . | cpio --quiet -o -H newc' sh "${1#"$RIG_ROOT"}"
}

# rig_base RELEASE - path of the cached common archive of that kernel.
rig_base() {
	local release=$1 out tree stamp
	stamp=$(cat "$RIG_DIR/guest/init" "$RIG_DIR/lib/image.sh" | sha256sum | cut -c1-12)
	out=$RIG_ROOT/rig/base-$release-$stamp.cpio
	if [ ! -s "$out" ]; then
		rm -f "$RIG_ROOT"/rig/base-"$release"-*.cpio
		tree=$(mktemp -d -p "$RIG_ROOT/rig")
		chmod 755 "$tree"
		rig_base_programs "$tree"
		rig_base_modules "$release" "$tree"
		rig_pack "$tree" >"$out.part"
		mv "$out.part" "$out"
		rm -rf "$tree"
	fi
	printf '%s\n' "$out"
}

# rig_image RELEASE TESTS OUT - the whole initramfs: the base and the folder TESTS as /t.
rig_image() {
	local base tree
	base=$(rig_base "$1") || exit 1
	tree=$(mktemp -d -p "$RIG_ROOT/rig")
	chmod 755 "$tree" # mktemp's 0700 would keep every other uid out of the guest's root
	mkdir "$tree/t"
	cp -a "$2/." "$tree/t/"
	cat "$base" >"$3"
	rig_pack "$tree" >>"$3"
	rm -rf "$tree"
}
