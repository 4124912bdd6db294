# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh - makes the cached root: one Debian tree with QEMU, two kernels with headers, a
# compiler and the CXL tools.
#
# Sourced by tests/vm/rig. A finished root is stamped with a hash of what went into it; another
# package list gives another stamp, and the root is made anew. Later only rig_add changes it, and
# only by adding packages that a part of the rig needs and the short suite does not.
# Package versions are resolved at this time and never written in the repository.

RIG_SUITE=trixie
RIG_PACKAGES=(
	ca-certificates
	qemu-system-x86 seabios       # from backports: stable's QEMU has no vfio-user
	gcc libc6-dev make dwarves    # the kernels' own compiler; pahole reads BTF
	kmod cpio xz-utils zstd       # to make an initramfs
	busybox-static ndctl cxl daxctl
)

# The mirror that this machine's own apt uses, so that the rig goes through the same cache or proxy.
rig_mirror() {
	if [ -n "${RIG_MIRROR:-}" ]; then
		printf '%s\n' "$RIG_MIRROR"
		return
	fi
	local uri
	uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
		grep -v '^[[:space:]]*#' |
		grep -oE '[a-z+]+://[^[:space:]]+/debian/?([[:space:]]|$)' |
		sed -n '1{s/[[:space:]]//g;p}') || :
	[ -n "$uri" ] || rig_die "no Debian archive in the apt sources; name one in RIG_MIRROR"
	printf '%s\n' "$uri"
}

rig_setup_hash() {
	printf '%s\n' "$RIG_SUITE" "${RIG_PACKAGES[@]}" \
		"$(declare -f rig_setup_make rig_setup_kernels_script)" | sha256sum | cut -c1-16
}

# What runs in the new root to add the kernels: their versions come from the two suites' own meta
# packages. backports splits its image package; -binary and -modules hold the kernel without
# asking for an initramfs tool.
rig_setup_kernels_script() {
	cat <<'SCRIPT'
set -eu
export DEBIAN_FRONTEND=noninteractive INITRD=No
newest() {
	apt-cache depends "linux-headers-amd64/$1" | sed -n 's/.*Depends: linux-headers-//p' |
		head -1
}
stable=$(newest trixie)
backports=$(newest trixie-backports)
[ -n "$stable" ] && [ -n "$backports" ]
apt-get install -y --no-install-recommends "linux-image-$stable" "linux-headers-$stable"
apt-get install -y --no-install-recommends -t trixie-backports \
	"linux-binary-$backports" "linux-modules-$backports" "linux-headers-$backports"
mkdir -p /rig
printf 'stable %s\nbackports %s\n' "$stable" "$backports" >/rig/kernels
SCRIPT
}

rig_setup_make() {
	local mirror root=$1
	mirror=$(rig_mirror) || return 1
	# shellcheck disable=SC2016  # $1 is mmdebstrap's, not ours
	mmdebstrap --variant=minbase --quiet \
		--aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
		--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--include="$(IFS=, && printf '%s' "${RIG_PACKAGES[*]}")" \
		--setup-hook='mkdir -p "$1/etc/apt/preferences.d"' \
		--setup-hook="upload $RIG_SCRATCH/preferences /etc/apt/preferences.d/rig" \
		--customize-hook="upload $RIG_SCRATCH/kernels.sh /tmp/kernels.sh" \
		--customize-hook='chroot "$1" sh /tmp/kernels.sh' \
		"$RIG_SUITE" "$root" \
		"deb $mirror $RIG_SUITE main" "deb $mirror $RIG_SUITE-updates main" \
		"deb $mirror $RIG_SUITE-backports main"
}

# rig_setup - make the root unless it is there. Locked, so that two runs do not make it twice.
rig_setup() {
	local stamp
	stamp=$(rig_setup_hash)
	[ "$(cat "$RIG_ROOT/rig/stamp" 2>/dev/null)" != "$stamp" ] || return 0
	[ "$(id -u)" = 0 ] || rig_die "making $RIG_ROOT needs root (mmdebstrap, chroot)"
	command -v mmdebstrap >/dev/null || rig_die "mmdebstrap is missing: apt-get install" \
		"$(tr '\n' ' ' <"$RIG_REPO/tools/deps/vm.txt")"
	mkdir -p "$(dirname "$RIG_ROOT")"
	(
		flock 9
		[ "$(cat "$RIG_ROOT/rig/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
		RIG_SCRATCH=$(mktemp -d)
		trap 'rm -rf "$RIG_SCRATCH"' EXIT
		rig_setup_kernels_script >"$RIG_SCRATCH/kernels.sh"
		printf '%s\n' 'Package: qemu-system-* seabios' \
			"Pin: release n=$RIG_SUITE-backports" 'Pin-Priority: 990' \
			>"$RIG_SCRATCH/preferences"
		rig_say "making $RIG_ROOT (1 GB, a few minutes, once)"
		# The debug kernel has a key of its own, and outlives the root.
		[ ! -d "$RIG_ROOT/rig/debug" ] || mv "$RIG_ROOT/rig/debug" "$RIG_ROOT.debug"
		rm -rf "$RIG_ROOT"
		rig_setup_make "$RIG_ROOT" >"$RIG_SCRATCH/log" 2>&1 ||
			{
				tail -40 "$RIG_SCRATCH/log" >&2
				rig_die "mmdebstrap failed; its last lines are above"
			}
		[ ! -d "$RIG_ROOT.debug" ] || mv "$RIG_ROOT.debug" "$RIG_ROOT/rig/debug"
		printf '%s\n' "$stamp" >"$RIG_ROOT/rig/stamp"
		rig_say "kernels: $(tr '\n' ' ' <"$RIG_ROOT/rig/kernels")"
	) 9>"$RIG_ROOT.lock" || exit 1
}

# rig_add NAME PACKAGE... - put packages into the finished root, once; NAME says who wants them.
rig_add() {
	local stamp=$RIG_ROOT/rig/added-$1
	shift
	[ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
	(
		flock 9
		rig_say "adding to $RIG_ROOT: $*"
		cp /etc/resolv.conf "$RIG_ROOT/etc/resolv.conf"
		rig_in_root env DEBIAN_FRONTEND=noninteractive sh -ec 'apt-get -qq update &&
			apt-get -qq install -y --no-install-recommends "$@"' sh "$@" \
			>"$stamp.log" 2>&1 ||
			rig_die "apt-get cannot add $*: $(grep ^E: "$stamp.log" | tail -2)"
		printf '%s\n' "$*" >"$stamp"
	) 9>"$RIG_ROOT.lock" || exit 1
}
