# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# boot.sh - runs one guest and judges its console.
#
# Sourced by tests/vm/rig. Always TCG: the rig's results must not depend on whether the host has a
# usable KVM, and it never looks at /dev/kvm. The hypervisor bit of the CPU is off because Linux
# refuses to commit a CXL region under a hypervisor that cannot invalidate caches by range. So are
# the bits of the fast string instructions: TCG makes a step of each byte of them, and memset
# without them stores eight at a time.

# What must never be on a console, whatever the tests say.
RIG_SPLAT='BUG:|WARNING:|Oops|KASAN|Kernel panic|general protection fault|Call Trace:'
RIG_SPLAT+='|RIG insmod .* failed'

RIG_CPU=max,-hypervisor,-erms,-fsrm,-fsrs,-fzrm

# Guest's second serial port is QEMU's own QMP port: a test unplugs and plugs the card by writing
# to /dev/ttyS1.
rig_qemu_arguments() {
	local hdm=${RIG_HDM:-1G} ram=${RIG_RAM:-1G}
	local window=cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=4G
	QEMU=(
		qemu-system-x86_64 -accel tcg,thread=multi -cpu "$RIG_CPU" -smp "${RIG_SMP:-2}"
		-machine "q35,cxl=on,memory-backend=ram0,$window"
		-m "$ram,slots=4,maxmem=8G"
		-object "memory-backend-memfd,id=ram0,size=$ram,share=on"
		-object "memory-backend-memfd,id=cxl-mem0,size=$hdm,share=on"
		-device pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1
		-device cxl-rp,port=0,bus=cxl.1,id=rp0,chassis=0,slot=2
		-device cxl-type3,bus=rp0,volatile-memdev=cxl-mem0,id=cxl-vmem0,sn=0x5eedcafe
		-nodefaults -no-reboot -display none -serial stdio
		-chardev "socket,id=host0,path=host.sock,server=on,wait=off" -serial chardev:host0
		-chardev "socket,id=qmp0,path=host.sock" -object monitor-qmp,id=qmp1,chardev=qmp0
		-kernel vmlinux -initrd initrd.cpio
	)
}

# Options that only take time out of a TCG boot, and those that make a splat fatal.
RIG_APPEND_FIXED="console=ttyS0 quiet panic=-1 oops=panic panic_on_warn=1 \
mitigations=off nokaslr tsc=reliable \
no_timer_check cryptomgr.notests lsm= audit=0 rcupdate.rcu_expedited=1 pcie_ports=native"

# rig_run [--systemd] KERNEL TESTS [qemu arguments...] - boot KERNEL, run TESTS/run.sh in it; 0 if
# it said so and nothing splatted.
rig_run() {
	local release work image=rig_image seconds=${RIG_TIMEOUT:-540}
	local append="$RIG_APPEND_FIXED ${RIG_APPEND:-}"
	if [ "$1" = --systemd ]; then
		image=rig_systemd_image
		append+=" systemd.unit=rig.target systemd.getty_auto=0"
		append+=" systemd.firstboot=0 systemd.show_status=0"
		shift
	fi
	release=$(rig_kernel "$1") || exit 1
	local tests=$2
	shift 2
	[ -f "$tests/run.sh" ] || rig_die "$tests has no run.sh"
	work=$(mktemp -d -p "$RIG_ROOT/rig" run.XXXXXX)
	"$image" "$release" "$tests" "$work/initrd.cpio"
	ln "$(rig_vmlinux "$release")" "$work/vmlinux"
	rig_qemu_arguments
	rig_watch_pauses "$work/console.pauses" >/dev/null 2>&1 &
	local watch=$!
	# shellcheck disable=SC2016
	timeout --foreground -k 5 "$seconds" \
		unshare --mount --pid --fork --kill-child --mount-proc="$RIG_ROOT/proc" \
		chroot "$RIG_ROOT" sh -c 'cd "$1" && shift && exec "$@"' sh "${work#"$RIG_ROOT"}" \
		"${QEMU[@]}" -append "$append" "$@" </dev/null 2>&1 |
		sed -u 's|\r$||' | tee "$work/console" |
		grep -av --line-buffered '^RIG EXIT 0$' || :
	kill "$watch"
	local verdict=0
	rig_judge "$work/console" "$release" "$seconds" || verdict=$?
	[ -z "${RIG_CONSOLE:-}" ] || cp "$work/console" "$RIG_CONSOLE"
	rm -rf "$work"
	return $verdict
}

# Linux 7.3's pciehp takes two locks of its own in both orders when a card is pulled, and lockdep
# says so. Two lines of that report, and nothing else between them, are no complaint about anybody
# here: "WARNING: ..." and "Call Trace:". One that names speckv stays what it is.
rig_without_known() {
	awk '
	function end() {
		if (known()) sub(/WARNING: possible circular[^\n]*/, "(known)", block)
		if (known()) sub(/Call Trace:/, "(known)", block)
		printf "%s", block
		inside = 0
	}
	function known() {
		return block ~ /\(&ctrl->reset_lock\)[^\n]*at: pciehp_unconfigure_device/ && \
			block ~ /\(pci_rescan_remove_lock\)[^\n]*at: pciehp_unconfigure_device/ && \
			block !~ /speckv_/
	}
	!inside && /WARNING: possible circular locking dependency/ { block = ""; inside = 1 }
	!inside { print; next }
	{ block = block $0 "\n" }
	/<\/TASK>/ { end() }
	END { if (inside) end() }' "$1"
}

# Writes into FILE, a line each time, for how many seconds this machine stood still (a virtual one
# can be stopped for minutes). The guest's clock runs on, so its watchdog then finds a CPU stuck.
rig_watch_pauses() { # FILE
	local before=$EPOCHSECONDS
	while kill -0 $$ 2>/dev/null && sleep 1; do
		[ $((EPOCHSECONDS - before)) -lt 10 ] || echo $((EPOCHSECONDS - before)) >>"$1"
		before=$EPOCHSECONDS
	done
}

rig_judge() {
	local console=$1.judged
	rig_without_known "$1" >"$console"
	if [ -s "$1.pauses" ]; then
		rig_say "this machine stood still for $(xargs <"$1.pauses") s while the guest ran"
		sed -i 's/BUG: soft lockup/(known) soft lockup/' "$console"
	fi
	if grep -qaE "$RIG_SPLAT" "$console"; then
		rig_say "$2: the kernel complained:"
		grep -naE "$RIG_SPLAT" "$console" | head -5 >&2
		return 1
	fi
	if grep -qa '^RIG EXIT 0' "$console"; then return 0; fi
	rig_say "$2: $(grep -a '^RIG EXIT' "$console" ||
		echo "the guest never finished (limit $3 s)")"
	return 1
}
