// SPDX-License-Identifier: Apache-2.0
/*
 * test_abandon.c - a pin that outlasts removal: after drain_seconds the driver gives the addresses
 * and itself up rather than freeing memory that somebody owns. The pin still works, the kernel
 * lives, the region cannot be bound again, the module cannot be unloaded; all until reboot. So the
 * group is the last one of a boot.
 */
#include "harness.h"

static void expect_in_log(const char *words)
{
	char command[256];

	snprintf(command, sizeof(command), "dmesg | grep -q '%s'", words);
	EXPECT_EQ(system(command), 0);
}

TEST_BALANCED(abandon, a_pin_that_never_goes_is_left_in_peace, BALANCE_IGNORED)
{
	int control, reader, ring = ring_make();
	struct speckv_alloc extent;
	uint8_t *mine, *theirs;

	EXPECT_EQ(write_file("/sys/module/speckv/parameters/drain_seconds", "1"), 0);
	control = control_open();
	extent = alloc_extent(control, 2 * GRANULE);
	reader = export_new(control, 0, &extent.handle, 1);
	mine = map_all(control, PROT_READ | PROT_WRITE);
	theirs = map_all(reader, PROT_READ);
	memset(mine + extent.offset, 0x5c, extent.bytes);
	EXPECT_EQ(peek(theirs + extent.offset), 0x5c);
	EXPECT_EQ(ring_register(ring, mine + extent.offset, GRANULE), 0);

	EXPECT_EQ(region_unbind(), 0); /* ends, in bounded time */
	expect_in_log("removal waits for 1 pinned granules");
	expect_in_log("pins outlast removal: 1024 MiB stay taken until reboot");
	/* Who mapped it is where every removal leaves him. */
	EXPECT_EQ(peek(theirs + extent.offset), 0);
	EXPECT_EQ(peek(theirs + extent.offset + GRANULE), 0);
	EXPECT_EQ(peek(mine + extent.offset), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(access("/dev/speckv0", F_OK), -1);

	/* What somebody may still write to is nobody else's. */
	EXPECT_EQ(write_file("/sys/bus/dax/drivers/speckv/bind", "dax0.0"), -EBUSY);
	expect_in_log("\\[0x[0-9a-f]*-0x[0-9a-f]*\\] is taken, see /proc/iomem");
	EXPECT_EQ(system("rmmod speckv 2>/dev/null") != 0, 1);

	/* The end of the pin finds its pages where it left them: here device_dax's kernel dies. */
	EXPECT_EQ(ring_unregister(ring), 0);
	close(ring);
	munmap(mine, device_bytes);
	munmap(theirs, device_bytes);
	close(reader);
	close(control);
	EXPECT_EQ(write_file("/sys/bus/dax/drivers/speckv/bind", "dax0.0"), -EBUSY);
}
