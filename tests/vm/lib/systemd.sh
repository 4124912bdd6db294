# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# systemd.sh - a guest whose first process is systemd, for testing units, udev rules and
# modprobe.d: a Debian of its own, small enough to be an initramfs.
#
# Sourced by tests/vm/rig. The tree is made once by mmdebstrap and cached as an archive; the
# kernel's modules and the tests are another one behind it.

RIG_SYSTEMD_PACKAGES=(systemd systemd-sysv udev kmod libstdc++6)

rig_systemd_make() {
	local mirror out=$1
	mirror=$(rig_mirror) || return 1
	mmdebstrap --variant=essential --quiet --format=tar \
		--aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/zoneinfo/*' \
		--dpkgopt='path-exclude=/usr/lib/udev/hwdb.d/*' \
		--include="$(IFS=, && printf '%s' "${RIG_SYSTEMD_PACKAGES[*]}")" \
		"$RIG_SUITE" "$out.tar" \
		"deb $mirror $RIG_SUITE main" "deb $mirror $RIG_SUITE-updates main"
}

# The test is a unit after multi-user.target; it talks on the console and ends the machine.
rig_systemd_units() {
	local units=$1/etc/systemd/system
	cat >"$units/rig.target" <<'UNIT'
[Unit]
Requires=multi-user.target rig.service
After=multi-user.target
AllowIsolate=yes
UNIT
	cat >"$units/rig.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '{ sh /t/run.sh; echo "RIG EXIT $?"; } >/dev/ttyS0 2>&1; poweroff -ff'
UNIT
}

# rig_systemd_base - path of the cached archive.
rig_systemd_base() {
	local out tree stamp
	stamp=$(rig_setup_hash; declare -f rig_systemd_make rig_systemd_units rig_systemd_base)
	stamp=$(printf '%s\n' "$stamp" "${RIG_SYSTEMD_PACKAGES[@]}" | sha256sum | cut -c1-12)
	out=$RIG_ROOT/rig/systemd-$stamp.cpio
	if [ ! -s "$out" ]; then
		rig_say "making the systemd guest (once)"
		rm -f "$RIG_ROOT"/rig/systemd-*.cpio
		rig_systemd_make "$out" >"$out.log" 2>&1 ||
			rig_die "mmdebstrap failed: $(tail -3 "$out.log")"
		tree=$(mktemp -d -p "$RIG_ROOT/rig")
		chmod 755 "$tree"
		tar -C "$tree" --exclude='./dev/*' -xf "$out.tar"
		rm -rf "$tree"/var/{lib/dpkg,cache}/* "$tree/usr/share/bash-completion"
		ln -sf usr/lib/systemd/systemd "$tree/init"
		echo rig >"$tree/etc/hostname"
		# An id that is there already: else the first boot asks questions on the console.
		printf '%032x\n' 1 >"$tree/etc/machine-id"
		rig_systemd_units "$tree"
		rm -f "$tree"/etc/systemd/system/getty.target.wants/* # there is no screen
		# Nothing to rebuild (catalogue, linker cache, hardware database) at each boot.
		touch "$tree/usr" "$tree/etc/.updated" "$tree/var/.updated"
		rig_pack "$tree" >"$out.part"
		mv "$out.part" "$out"
		rm -rf "$tree" "$out.tar"
	fi
	printf '%s\n' "$out"
}

# rig_systemd_image RELEASE TESTS OUT - the whole initramfs. TESTS is /t, but for TESTS/rootfs,
# which is laid over the root; modules of TESTS go where modprobe finds them.
rig_systemd_image() {
	local release=$1 tests=$2 base tree file to
	base=$(rig_systemd_base) || exit 1
	tree=$(mktemp -d -p "$RIG_ROOT/rig")
	chmod 755 "$tree"
	mkdir -p "$tree/t" "$tree/usr/lib/modules/$release/updates"
	cp -a "$tests/." "$tree/t/"
	rm -rf "$tree/t/rootfs"
	[ ! -d "$tests/rootfs" ] || cp -a "$tests/rootfs/." "$tree/"
	# Its own libraries are newer than this machine's, and systemd needs them to be.
	rig_in_root cpio --quiet -it <"$base" | grep -oE '[^/]+\.so\.[0-9.]+$' |
		while read -r file; do
			rm -f "$tree/usr/local/lib/x86_64-linux-gnu/$file"
		done
	rig_module_files "$release" | while read -r file; do
		to=$tree/usr${file%.xz}
		mkdir -p "$(dirname "$to")"
		case $file in
		*.xz) xz -dc "$RIG_ROOT$file" >"$to" ;;
		*) cp "$RIG_ROOT$file" "$to" ;;
		esac
	done
	find "$tests" -maxdepth 1 -name '*.ko' \
		-exec cp {} "$tree/usr/lib/modules/$release/updates/" \;
	cp "$RIG_ROOT/usr/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} \
		"$tree/usr/lib/modules/$release/"
	rig_in_root depmod -b "${tree#"$RIG_ROOT"}/usr" "$release"
	cat "$base" >"$3"
	rig_pack "$tree" >>"$3"
	rm -rf "$tree"
}
