# SPDX-License-Identifier: Apache-2.0
# The suite's first script in the guest: loads the driver, lets it take the region, runs the
# groups in /t/groups.
insmod /t/speckv.ko drain_seconds=20 || exit 1
echo dax0.0 >/sys/bus/dax/drivers/speckv/new_id
sh /t/region-up >/tmp/region-up 2>&1 || { cat /tmp/region-up; dmesg | tail -20; exit 1; }
# shellcheck disable=SC2046
/t/vmtests $(cat /t/groups)
status=$?
[ $status = 0 ] || dmesg | sed -n '/Run .init/,$p' | tail -30 | sed 's/^/# /'
exit $status
