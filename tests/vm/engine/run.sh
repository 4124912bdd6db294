# SPDX-License-Identifier: Apache-2.0
# In the guest: finds the engine on the PCI bus, makes a region on the CXL card for it to store in,
# and asks the program.
for device in /sys/bus/pci/devices/*; do
	[ "$(cat "$device/vendor")$(cat "$device/device")" != 0x1b360x10f0 ] || engine=${device##*/}
done
if [ -z "${engine:-}" ]; then
	echo "not ok 1 - engine: a PCI device that is the engine"
	exit 1
fi
echo 4 >/proc/sys/vm/nr_hugepages
cxl create-region -m -t ram -d decoder0.0 -w 1 mem0 >/tmp/region 2>&1 || sed 's/^/# /' /tmp/region
tries=0
until [ -e /sys/bus/dax/devices/dax0.0 ] || [ $tries = 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
# The node is there before a driver is; daxctl names the device to device_dax.
driver=/sys/bus/dax/devices/dax0.0/driver
[ -e $driver ] || daxctl reconfigure-device -m devdax dax0.0 >/tmp/daxctl 2>&1
case $(readlink $driver) in
*device_dax) ;;
*)
	echo "not ok 1 - engine: the card's memory as /dev/dax0.0"
	sed 's/^/# /' /tmp/daxctl
	exit 1
	;;
esac
/t/guest "$engine" /dev/dax0.0 "$(cat /sys/bus/dax/devices/dax0.0/resource)"
