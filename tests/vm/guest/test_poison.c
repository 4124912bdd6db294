// SPDX-License-Identifier: Apache-2.0
/*
 * test_poison.c - poisoned memory: a reader misses and lives, a writer gets SIGBUS, and nobody is
 * ever given it again. Each test costs the region a granule for the rest of the boot.
 */
#include "harness.h"

static uint64_t list_poison(int control, uint64_t *offsets, uint32_t room)
{
	struct speckv_poison list = {
		.flags = SPECKV_POISON_LIST,
		.count = room,
		.entries = (uintptr_t)offsets,
	};

	EXPECT_EQ(ioctl(control, SPECKV_IOC_POISON, &list), 0);
	return list.count;
}

static bool is_listed(int control, uint64_t offset)
{
	static uint64_t offsets[SPECKV_CALL_MAX];
	uint64_t count = list_poison(control, offsets, SPECKV_CALL_MAX);

	while (count--)
		if (offsets[count] == offset)
			return true;
	return false;
}

static int mark(int control, uint64_t offset, uint64_t bytes)
{
	struct speckv_poison request = {
		.flags = SPECKV_POISON_MARK,
		.offset = offset,
		.bytes = bytes,
	};

	return ioctl(control, SPECKV_IOC_POISON, &request);
}

/* Takes all that can be had; the poisoned place must not be among it. */
static void expect_never_again(uint64_t offset)
{
	int hog = control_open();
	struct speckv_alloc one;

	do {
		one = (struct speckv_alloc){ .bytes = GRANULE, .timeout_ms = 60000 };
		if (ioctl(hog, SPECKV_IOC_ALLOC, &one))
			break;
		EXPECT(one.offset != offset);
	} while (one.handle);
	EXPECT_EQ(stat_of(hog, -1).free_bytes, 0);
	close(hog);
}

TEST(poison, a_memory_failure_is_a_miss_for_readers_and_sigbus_for_writers)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE);
	uint64_t before = stat_of(control, -1).poisoned_bytes;
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);
	uint8_t *reader = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);
	uint8_t *bad = map + extent.offset + GRANULE;

	memset(map + extent.offset, 0x77, extent.bytes);
	EXPECT_EQ(peek(reader + extent.offset + GRANULE), 0x77);
	EXPECT_EQ(madvise(bad + 8192, 4096, MADV_HWPOISON), 0);
	EXPECT_EQ(peek(reader + extent.offset + GRANULE), 0);
	EXPECT_EQ(peek(reader + extent.offset + GRANULE + 8192), 0);
	EXPECT_EQ(peek(bad), SEEN_BUS(BUS_MCEERR_AR));
	EXPECT_EQ(poke(bad + 12345, 1), SEEN_BUS(BUS_MCEERR_AR)); /* again: it stays poisoned */
	EXPECT_EQ(peek(map + extent.offset), 0x77);
	EXPECT_EQ(peek(reader + extent.offset), 0x77);
	EXPECT_EQ(stat_of(control, -1).poisoned_bytes, before + GRANULE);
	EXPECT(is_listed(control, extent.offset + GRANULE));
	free_extent(control, extent.handle);
	expect_never_again(extent.offset + GRANULE);
}

TEST(poison, poison_by_a_readers_own_access_spares_it)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *reader = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);

	memset(map_all(control, PROT_READ | PROT_WRITE) + extent.offset, 0x78, GRANULE);
	EXPECT_EQ(peek(reader + extent.offset), 0x78);
	EXPECT_EQ(madvise(reader + extent.offset, 4096, MADV_HWPOISON), 0);
	EXPECT_EQ(peek(reader + extent.offset), 0);
}

TEST(poison, marking_free_memory_takes_it_out)
{
	int control = control_open();
	uint64_t offset, before;
	struct speckv_alloc extent = alloc_extent(control, GRANULE);

	offset = extent.offset;
	free_extent(control, extent.handle);
	wait_until_clean(control);
	before = stat_of(control, -1).free_bytes;
	EXPECT_EQ(mark(control, offset + 5, 1), 0);
	EXPECT_EQ(stat_of(control, -1).free_bytes, before - GRANULE);
	EXPECT_EQ(mark(control, offset, GRANULE), 0); /* twice is once */
	EXPECT_EQ(stat_of(control, -1).free_bytes, before - GRANULE);
	EXPECT(is_listed(control, offset));
	expect_never_again(offset);
}

TEST(poison, marking_a_range_marks_every_granule_it_touches)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, 3 * GRANULE);
	uint64_t before = stat_of(control, -1).poisoned_bytes;
	struct speckv_extent_entry entry;
	struct speckv_list list = { .count = 1, .entries = (uintptr_t)&entry };

	EXPECT_EQ(mark(control, extent.offset + GRANULE - 1, 2), 0);
	EXPECT_EQ(stat_of(control, -1).poisoned_bytes, before + 2 * GRANULE);
	EXPECT_EQ(ioctl(control, SPECKV_IOC_LIST, &list), 0);
	EXPECT_EQ(entry.poisoned_bytes, 2 * GRANULE);
	uint8_t *map = map_all(control, PROT_READ);

	EXPECT_EQ(peek(map + extent.offset), SEEN_BUS(BUS_MCEERR_AR));
	EXPECT_EQ(peek(map + extent.offset + 2 * GRANULE), 0);
}

TEST(poison, marking_what_is_in_quarantine_ends_the_wait)
{
	int control = control_open(), ring = ring_make();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	EXPECT_EQ(ring_register(ring, map + extent.offset, 4096), 0);
	free_extent(control, extent.handle);
	while (!stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	EXPECT_EQ(mark(control, extent.offset, 1), 0);
	while (stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	EXPECT_EQ(stat_of(control, -1).pinned_bytes, 0);
	close(ring);
}

TEST(poison, the_list_pages)
{
	static uint64_t all[SPECKV_CALL_MAX];
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, 3 * GRANULE);
	struct speckv_poison list = { 0 };
	uint64_t offsets[2], seen = 0, count;

	EXPECT_EQ(mark(control, extent.offset, extent.bytes), 0);
	count = list_poison(control, all, SPECKV_CALL_MAX);
	EXPECT_EQ(count * GRANULE, stat_of(control, -1).poisoned_bytes);
	do {
		list.flags = SPECKV_POISON_LIST;
		list.count = 2;
		list.entries = (uintptr_t)offsets;
		EXPECT_EQ(ioctl(control, SPECKV_IOC_POISON, &list), 0);
		for (uint32_t i = 0; i < list.count; i++)
			EXPECT_EQ(offsets[i], all[seen++]);
	} while (list.count);
	EXPECT_EQ(seen, count);
}

TEST_BALANCED(poison, a_new_binding_remembers, BALANCE_NONE)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint64_t poisoned;

	EXPECT_EQ(mark(control, extent.offset, 1), 0);
	poisoned = stat_of(control, -1).poisoned_bytes;
	close(control);
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(region_bind(), 0);
	control = control_open();
	EXPECT_EQ(stat_of(control, -1).poisoned_bytes, poisoned);
	EXPECT(is_listed(control, extent.offset));
}
