# SPDX-License-Identifier: Apache-2.0
# The guest's side of e2e: brings the region into each of its modes and runs guest_test there,
# inside the root that holds the host's binaries (/t/root, made by pack). /t/groups: what to run.
fail() {
	echo "not ok 1 - e2e: $*"
	exit 1
}
wait_until() {
	tries=0
	until eval "$1"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "never came true: $1"
		sleep 0.1
	done
}
status=0
in_root() {
	chroot /t/root /bin/env -i HOME=/ PATH=/bin LD_LIBRARY_PATH=/lib SPECKVD=/bin/speckvd \
		"$@" || status=1
}
# told FILE NAME - gtest's verdicts in FILE as TAP
told() {
	sed -n "s/^\[       OK \] \(.*\) (.*/ok 0 - $2: \1/p
		s/^\[  FAILED  \] \([^ ]*\) (.*/not ok 0 - $2: \1/p" "$1"
	[ $status = 0 ] || sed 's/^/# /' "$1"
}
wanted() { case " $(cat /t/groups) " in *" $1 "*) ;; *) return 1 ;; esac; }

cp /bin/busybox /t/root/bin/env
for folder in dev proc sys; do mount --bind /$folder /t/root/$folder; done
mount -t tmpfs tmp /t/root/tmp
ip link set lo up

insmod /t/speckv.ko drain_seconds=20 || fail "the module loads"
sh /t/speckv-bind dax0.0 >/tmp/bind 2>&1 || fail "speckv-bind gives it the device"
sh /t/region-up >/tmp/region 2>&1 || fail "$(cat /tmp/region)"
chown 1003:1003 /dev/speckv0
if wanted demo; then
	in_root /bin/guest_test --demo
	exit $status
fi

if wanted demo-engine; then
	in_root /bin/guest_test --demo-engine "$(cat /t/backend)"
	exit $status
fi

# Here groups of version 2 have the memory controller; many a machine of today has version 1's.
if wanted cgroup; then
	mount -t cgroup2 cgroup2 /t/root/sys/fs/cgroup || fail "control groups of version 2"
	in_root /bin/control_test --gtest_filter='Cgroup.A*' >/tmp/cgroup
	told /tmp/cgroup 'a control group of version 2'
	umount /t/root/sys/fs/cgroup
fi
wanted extent && in_root /bin/guest_test --gtest_filter='Extent.*'
wanted hits && in_root SPECKV_TEST_POOL='medium = "extent"
path = "/dev/speckv0"' /bin/lib_test --gtest_filter='HitCost.No*:PutGet.Batches*' >/tmp/hits
wanted hits && told /tmp/hits 'lib_test on extents'
wanted engine && in_root /bin/guest_test --gtest_filter='*Engine*'
wanted loss && in_root /bin/guest_test --gtest_filter='Loss.*'

if wanted modes; then
	sh /t/region-up >/tmp/region 2>&1 || fail "$(cat /tmp/region)"
	echo dax0.0 >/sys/bus/dax/drivers/speckv/unbind
	rmmod speckv || fail "the module unloads"
	[ -e /sys/bus/dax/devices/dax0.0/driver ] ||
		daxctl reconfigure-device -m devdax dax0.0 >/tmp/daxctl 2>&1 ||
		fail "$(cat /tmp/daxctl)"
	wait_until '[ -e /dev/dax0.0 ]'
	in_root /bin/guest_test --gtest_filter='Devdax.*'
	echo online_movable >/sys/devices/system/memory/auto_online_blocks
	insmod /lib/modules/kmem.ko
	daxctl reconfigure-device -f -m system-ram dax0.0 >/tmp/daxctl 2>&1 ||
		fail "$(cat /tmp/daxctl)"
	wait_until 'grep -q "MemTotal: *1048576 kB" /sys/devices/system/node/node1/meminfo'
	in_root /bin/guest_test --gtest_filter='Numa.*'
fi
exit $status
