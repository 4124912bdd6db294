// SPDX-License-Identifier: Apache-2.0
/*
 * test_numa.c - the same region as system RAM of a node of its own, by kmem, and back to speckv:
 * what an operator does who wants `shm` on the card instead of extents.
 */
#include "harness.h"

#define KMEM "/sys/bus/dax/drivers/kmem"

static int run(const char *command)
{
	return system(command) ? -1 : 0;
}

TEST_BALANCED(numa, the_region_is_system_ram_and_comes_back, BALANCE_NONE)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);

	memset(map_all(control, PROT_READ | PROT_WRITE) + extent.offset, 0x55, GRANULE);
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(write_file("/sys/devices/system/memory/auto_online_blocks", "offline"), 0);
	EXPECT_EQ(run("insmod /lib/modules/kmem.ko"), 0);
	EXPECT_EQ(run("daxctl reconfigure-device -m system-ram dax0.0 >/tmp/daxctl 2>&1"), 0);
	EXPECT_EQ(run("grep -q 'MemTotal: *1048576 kB' /sys/devices/system/node/node1/meminfo"), 0);
	/* In kmem's hands speckv cannot have it, and says what to do. */
	EXPECT_EQ(run("! sh /t/speckv-bind dax0.0 2>/tmp/bind"), 0);
	EXPECT_EQ(run("grep -q 'is system RAM (kmem)' /tmp/bind"), 0);
	EXPECT_EQ(run("daxctl offline-memory dax0.0 >/tmp/daxctl 2>&1"), 0);
	EXPECT_EQ(write_file(KMEM "/unbind", "dax0.0"), 0);
	EXPECT_EQ(run("rmmod kmem"), 0);
	EXPECT_EQ(region_bind(), 0);
	control = control_open();
	extent = alloc_extent(control, GRANULE);
	EXPECT_EQ(peek(map_all(control, PROT_READ) + extent.offset), 0);
}
