// SPDX-License-Identifier: Apache-2.0
/*
 * test_limit.c - what happens when there is no more: a full region, memory still being zeroed, a
 * file at its limit. Limits hold before anything is taken.
 */
#include "harness.h"

TEST(limit, alloc_is_enospc_when_no_run_is_left)
{
	int hog = control_open(), control = control_open();
	struct speckv_alloc one = { .bytes = GRANULE }, two = { .bytes = 2 * GRANULE };
	struct speckv_alloc last = { 0 }, all;

	wait_until_clean(hog);
	do {
		all = (struct speckv_alloc){ .bytes = GRANULE };
		if (!ioctl(hog, SPECKV_IOC_ALLOC, &all))
			last = all;
	} while (all.handle);
	EXPECT_EQ(stat_of(hog, -1).free_bytes, 0);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, &one), ENOSPC);
	one.timeout_ms = 60000; /* nothing is coming, so it must not wait */
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, &one), ENOSPC);
	free_extent(hog, last.handle);
	alloc_extent(control, GRANULE);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, &two), ENOSPC);
}

TEST(limit, alloc_waits_for_what_is_being_zeroed)
{
	int control = control_open();
	struct speckv_alloc all;

	wait_until_clean(control);
	if (stat_of(control, -1).poisoned_bytes)
		return;
	for (int turn = 0; turn < 2; turn++) {
		all = alloc_extent(control, device_bytes / 2);
		struct speckv_alloc rest = alloc_extent(control, device_bytes / 2);

		free_extent(control, all.handle);
		free_extent(control, rest.handle);
	}
}

#define LIMIT "/sys/class/speckv/speckv0/file_limit_bytes"
#define EXPORTS "/sys/class/speckv/speckv0/file_exports_max"

TEST(limit, the_limit_of_a_file_holds_before_anything_is_taken)
{
	char all[32];

	control_open();
	snprintf(all, sizeof(all), "%llu", (unsigned long long)device_bytes);
	EXPECT_EQ(write_file(LIMIT, "6291456"), 0); /* 3 granules */
	int control = control_open();
	struct speckv_alloc more = { .bytes = 2 * GRANULE };
	uint64_t first = alloc_extent(control, 2 * GRANULE).handle;

	EXPECT_EQ(write_file(LIMIT, all), 0);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, &more), EDQUOT);
	EXPECT_EQ(stat_of(control, -1).used_bytes, 2 * GRANULE);
	alloc_extent(control, GRANULE);
	more.bytes = GRANULE;
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, &more), EDQUOT);
	free_extent(control, first);
	alloc_extent(control, GRANULE);
	alloc_extent(control_open(), 8 * GRANULE); /* another file, another limit */
}

TEST(limit, limits_in_sysfs_refuse_nonsense)
{
	EXPECT_EQ(write_file(LIMIT, "-1"), -EINVAL);
	EXPECT_EQ(write_file(LIMIT, "4096"), -EINVAL);
	EXPECT_EQ(write_file(LIMIT, "1152921504606846976"), -EINVAL);
	EXPECT_EQ(write_file(LIMIT, "many"), -EINVAL);
	EXPECT_EQ(write_file(EXPORTS, "-1"), -EINVAL);
}

TEST(limit, the_number_of_exports_of_a_file_is_limited)
{
	int control = control_open();
	struct speckv_export request = { .flags = SPECKV_EXPORT_NEW, .fd = -1 };
	int first = export_new(control, 0, NULL, 0);

	EXPECT_EQ(write_file(EXPORTS, "2"), 0);
	export_new(control, 0, NULL, 0);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, &request), EDQUOT);
	close(first);
	export_new(control, 0, NULL, 0);
	EXPECT_EQ(write_file(EXPORTS, "4096"), 0);
}
