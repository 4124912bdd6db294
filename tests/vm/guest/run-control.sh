# SPDX-License-Identifier: Apache-2.0
# The first script of `vm-test --control`: the region goes to stock device_dax, and the group devdax
# shows what it lets through. The last test is expected to end the guest.
cxl create-region -m -t ram -d decoder0.0 -w 1 mem0 >/tmp/region 2>&1 || cat /tmp/region
tries=0
until [ -e /sys/bus/dax/devices/dax0.0 ]; do
	tries=$((tries + 1))
	[ $tries -lt 300 ] || exit 1
	sleep 0.1
done
# The node is there before a driver is; daxctl names the device to device_dax.
driver=/sys/bus/dax/devices/dax0.0/driver
[ -e $driver ] || daxctl reconfigure-device -m devdax dax0.0 >/tmp/daxctl 2>&1
case $(readlink $driver) in
*device_dax) ;;
*) cat /tmp/daxctl && exit 1 ;;
esac
. /t/environment
# shellcheck disable=SC2046
/t/vmtests $(cat /t/groups)
