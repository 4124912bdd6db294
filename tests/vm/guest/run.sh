# SPDX-License-Identifier: Apache-2.0
# The suite's first script in the guest: sees a module of the wrong layout refuse, then loads the
# right one, lets it take the region (docs/driver.md, commands 2 to 5) and runs the groups in
# /t/groups.
fail() {
	echo "not ok 1 - bind: $*"
	dmesg | sed -n '/Run .init/,$p' | tail -20 | sed 's/^/# /'
	exit 1
}

[ ! -d /t/kunit ] || sh /t/run-kunit.sh || exit 1

# A module that was built for another layout of the kernel's structures.
see_it_refuse() {
	insmod /t/wrong-layout/speckv.ko || fail "the module of another kernel's layout loads"
	echo dax0.0 >/sys/bus/dax/drivers/speckv/new_id
	cxl create-region -m -t ram -d decoder0.0 -w 1 mem0 >/tmp/region 2>&1 ||
		fail "$(cat /tmp/region)"
	tries=0
	until dmesg | grep -q 'speckv: unknown DAX layout'; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "a module built for another layout refuses and says so"
		sleep 0.1
	done
	[ ! -e /dev/speckv0 ] || fail "a module built for another layout makes no device"
	rmmod speckv || fail "a module that refused can be unloaded"
	echo "ok 1 - bind: a module built for another layout refuses and says why"
}
[ ! -d /t/wrong-layout ] || see_it_refuse

insmod /t/speckv.ko drain_seconds=20 || fail "the module loads"
sh /t/speckv-bind dax0.0 || fail "speckv-bind gives it the device"
sh /t/region-up >/tmp/region 2>&1 || fail "$(cat /tmp/region)"
[ "$(cat /sys/class/speckv/speckv0/dax_device)" = dax0.0 ] || fail "sysfs names the device"
sh /t/speckv-bind dax0.0 || fail "speckv-bind is content with what it has"
! sh /t/speckv-bind dax99 2>/dev/null || fail "speckv-bind refuses a name that is none"
echo "ok 2 - bind: speckv-bind, create-region, /dev/speckv0"

. /t/environment
# shellcheck disable=SC2046
/t/vmtests $(cat /t/groups)
status=$?
[ $status = 0 ] || dmesg | sed -n '/Run .init/,$p' | tail -30 | sed 's/^/# /'

# lockdep says one thing and from then on looks at nothing; what came after has not been tested.
if [ -e /proc/lockdep_stats ] && [ "$(cat /t/groups)" != pull ]; then
	if grep -qE '^ *debug_locks: *1$' /proc/lockdep_stats; then
		echo "ok 3 - lockdep: watched to the end"
	else
		echo "not ok 3 - lockdep: watched to the end"
		status=1
	fi
fi
exit $status
