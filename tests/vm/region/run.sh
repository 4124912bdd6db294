# SPDX-License-Identifier: Apache-2.0
# `speckvctl region` on a card: every wrong state says what is wrong, and one region goes through
# the three modes and back in one boot. Run in the guest by tests/vm/region-test, with the host's
# own libcxl and libdaxctl.
number=0 failed=0
ctl=/t/host/speckvctl
verdict() { # STATUS NAME
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - region: $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $number - region: $2"
	sed 's/^/# /' /tmp/out
}
does() { # NAME COMMAND...
	name=$1
	shift
	"$@" >/tmp/out 2>&1
	verdict $? "$name"
}
# refuses NAME SENTENCE ARGUMENTS... - exit 1 and exactly this reason in the answer.
refuses() {
	name=$1 sentence=$2
	shift 2
	"$ctl" region "$@" >/tmp/out 2>&1
	[ $? = 1 ] && grep -qF -- "$sentence" /tmp/out
	verdict $? "$name"
}
says() { # NAME PATTERN ARGUMENTS...
	name=$1 pattern=$2
	shift 2
	"$ctl" "$@" >/tmp/out 2>&1 && tr -d '\n' </tmp/out | grep -qE -- "$pattern"
	verdict $? "$name"
}

says "an empty machine has no region" 'no CXL region and no DAX device' region list
refuses "a device that is not there" "no CXL memory device mem9" create mem9
refuses "a region that is not there" "no region region7" destroy region7
refuses "a mode for nothing" "there is no DAX device" mode dax
says "create makes one of the whole card" 'region0: 1.00? GiB at 0x[0-9a-f]+ of mem0' region create
says "it is nobody's, as nobody asked for it" '"mode": "none"' --json region list
refuses "a card that is taken" "mem0 is in a region already" create mem0
refuses "no card that is free" "is in no region yet" create
refuses "a driver that is not loaded" "the driver speckv is not loaded" mode speckv
insmod /t/speckv.ko
says "speckv takes it" 'mode speckv, /dev/speckv0' region mode speckv
does "its node is there" test -c /dev/speckv0
says "asking for what is, is fine" '"mode": "speckv"' --json region mode speckv dax0.0
poison_list() {
	records='{"offset":6291456,"length":64},{"offset":"0x600100","length":64}'
	echo "[{\"media_errors\":[$records]}]" |
		"$ctl" region poison >/tmp/out 2>&1 &&
		grep -q '^2 records, 128 bytes' /tmp/out &&
		[ "$(cat /sys/class/speckv/speckv0/poisoned_bytes)" = 2097152 ]
}
does "the card's poison list is taken" poison_list
exec 5<>/dev/speckv0
refuses "speckv's device in use" "is busy: process $$ (sh) uses /dev/speckv0" mode dax dax0.0
refuses "a region in use" "is busy" destroy region0
does "and was left as it is" test -c /dev/speckv0
exec 5>&-
says "device_dax takes it" 'mode dax, /dev/dax0.0' region mode dax
exec 5</dev/dax0.0
refuses "device_dax's device in use" "is busy: process $$ (sh) uses /dev/dax0.0" mode speckv
exec 5<&-
refuses "no kmem" "the driver kmem is not loaded" mode numa
says "and it is still device_dax's" '"mode": "dax"' --json region list
insmod /lib/modules/kmem.ko
says "kmem takes it" 'mode numa, /sys/devices/system/node/node1' region mode numa
does "its node has all of it" grep -q 'MemTotal: *1048576 kB' /sys/devices/system/node/node1/meminfo
refuses "a region that is system RAM" "dax0.0 is system RAM (kmem owns it)" destroy region0

mkdir -p /tmp/pool
{
	mount -t tmpfs -o size=64m,mpol=bind:1 pool /tmp/pool
	dd if=/dev/zero of=/tmp/pool/file bs=1M count=48
	grep -E 'Shmem:|MemUsed:' /sys/devices/system/node/node1/meminfo
} >/tmp/out 2>&1
# The counter lags by some pages a CPU.
awk '/Shmem:/ { exit !($4 >= 40000) }' /tmp/out
verdict $? "shm that is bound to the node lies there"
umount /tmp/pool

/t/vmtests --hold-node 1 >/tmp/held &
holder=$!
until grep -q held /tmp/held; do sleep 0.1; done
refuses "memory that cannot move" "its memory is in use and cannot go offline" mode speckv
does "the node has all of it still" \
	grep -q 'MemTotal: *1048576 kB' /sys/devices/system/node/node1/meminfo
kill $holder
wait $holder 2>/dev/null
says "speckv has it back" 'mode speckv, /dev/speckv0' region mode speckv
does "the node is gone" test ! -e /sys/devices/system/node/node1/memory32
for mode in numa dax speckv numa speckv dax numa; do
	says "once more: $mode" "mode $mode, /" region mode $mode dax0.0
done
says "and out of numa" 'mode speckv' region mode speckv
does "destroy ends it" "$ctl" region destroy region0
does "with its node" test ! -e /dev/speckv0
says "nothing is left" '"regions": \[\], *"devices": \[\]' --json region list
says "and it can be made again, known to speckv" 'mode speckv' region create mem0
echo "1..$number"
exit $((failed > 0))
