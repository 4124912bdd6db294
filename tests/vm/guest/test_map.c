// SPDX-License-Identifier: Apache-2.0
/*
 * test_map.c - what a mapping shows, when it changes, and which mappings are refused.
 *
 * Extents are told apart by the byte they are filled with; a fresh one must be zero throughout.
 */
#include <sys/syscall.h>

#include "harness.h"

static void fill(uint8_t *map, const struct speckv_alloc *extent, uint8_t byte)
{
	memset(map + extent->offset, byte, extent->bytes);
}

TEST(map, a_fresh_extent_reads_zero_even_after_use)
{
	int control = control_open();
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	for (int turn = 0; turn < 3; turn++) {
		struct speckv_alloc extent = alloc_extent(control, 4 * GRANULE);

		for (uint64_t at = 0; at < extent.bytes; at += 64)
			EXPECT_EQ(map[extent.offset + at], 0);
		fill(map, &extent, 0xee);
		free_extent(control, extent.handle);
	}
}

TEST(map, nothing_stored_survives_a_whole_round)
{
	int control = control_open();
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	wait_until_clean(control);
	for (int turn = 0; turn < 2; turn++) {
		uint64_t used = 0, handles[64];
		int count = 0;

		while (count < 64 && used + 16 * GRANULE <= device_bytes / 4) {
			struct speckv_alloc extent = alloc_extent(control, 16 * GRANULE);

			for (uint64_t at = 0; at < extent.bytes; at += 4096) {
				EXPECT_EQ(map[extent.offset + at], 0);
				map[extent.offset + at] = 0x77;
			}
			handles[count++] = extent.handle;
			used += extent.bytes;
		}
		while (count)
			free_extent(control, handles[--count]);
	}
}

TEST(map, a_reader_sees_what_the_owner_writes)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE);
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);
	uint8_t *theirs = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);

	fill(mine, &extent, 0x5a);
	EXPECT_EQ(peek(theirs + extent.offset), 0x5a);
	mine[extent.offset + extent.bytes - 1] = 0xa5;
	EXPECT_EQ(peek(theirs + extent.offset + extent.bytes - 1), 0xa5);
}

TEST(map, a_writable_export_writes)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	int export = export_new(control, SPECKV_EXPORT_WRITE, &extent.handle, 1);
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);
	uint8_t *theirs = map_all(export, PROT_READ | PROT_WRITE);

	EXPECT_EQ(poke(theirs + extent.offset, 0x42), 0);
	EXPECT_EQ(peek(mine + extent.offset), 0x42);
}

TEST(map, what_a_file_does_not_hold_is_zeros_or_sigbus)
{
	int control = control_open(), other = control_open();
	struct speckv_alloc mine = alloc_extent(control, GRANULE),
			    foreign = alloc_extent(other, GRANULE);
	uint8_t *owner = map_all(other, PROT_READ | PROT_WRITE);
	uint8_t *reader = map_all(export_new(control, 0, &mine.handle, 1), PROT_READ);
	uint8_t *writer = map_all(export_new(control, SPECKV_EXPORT_WRITE, &mine.handle, 1),
				  PROT_READ | PROT_WRITE);
	uint8_t *controller = map_all(control, PROT_READ | PROT_WRITE);

	fill(owner, &foreign, 0x99);
	EXPECT_EQ(peek(reader + foreign.offset), 0);
	EXPECT_EQ(peek(reader + foreign.offset + GRANULE - 1), 0);
	EXPECT_EQ(peek(writer + foreign.offset), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(poke(writer + foreign.offset, 1), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(peek(controller + foreign.offset), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(peek(owner + foreign.offset), 0x99);
}

TEST(map, an_extent_appears_without_a_call_of_the_reader)
{
	int control = control_open();
	int export = export_new(control, 0, NULL, 0);
	uint8_t *reader = map_all(export, PROT_READ);
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE);

	fill(mine, &extent, 0x31);
	EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_ADD, extent.handle), 0);
	EXPECT_EQ(peek(reader + extent.offset), 0x31);
	EXPECT_EQ(stat_of(control, export).faults_huge, 1);
}

TEST(map, an_extent_appears_where_zeros_had_been_read)
{
	int control = control_open();
	int export = export_new(control, 0, NULL, 0);
	uint8_t *reader = map_all(export, PROT_READ);
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);
	struct speckv_alloc extent = alloc_extent(control, GRANULE);

	fill(mine, &extent, 0x32);
	EXPECT_EQ(peek(reader + extent.offset), 0);
	EXPECT_EQ(peek(reader + extent.offset + 4096), 0);
	EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_ADD, extent.handle), 0);
	for (uint64_t at = 0; at < GRANULE; at += 4096)
		EXPECT_EQ(peek(reader + extent.offset + at), 0x32);
}

TEST(map, drop_takes_from_one_export_only)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	int one = export_new(control, 0, &extent.handle, 1),
	    two = export_new(control, 0, &extent.handle, 1);
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);
	uint8_t *first = map_all(one, PROT_READ), *second = map_all(two, PROT_READ);

	fill(mine, &extent, 0x66);
	EXPECT_EQ(peek(first + extent.offset), 0x66);
	EXPECT_EQ(peek(second + extent.offset), 0x66);
	EXPECT_EQ(export_change(control, one, SPECKV_EXPORT_DROP, extent.handle), 0);
	EXPECT_EQ(peek(first + extent.offset), 0);
	EXPECT_EQ(peek(second + extent.offset), 0x66);
	EXPECT_EQ(peek(mine + extent.offset), 0x66);
	EXPECT_EQ(export_change(control, one, SPECKV_EXPORT_ADD, extent.handle), 0);
	EXPECT_EQ(peek(first + extent.offset), 0x66);
}

TEST(map, free_takes_from_everybody)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);
	uint8_t *reader = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);
	uint8_t *writer = map_all(export_new(control, SPECKV_EXPORT_WRITE, &extent.handle, 1),
				  PROT_READ | PROT_WRITE);

	fill(mine, &extent, 0x67);
	EXPECT_EQ(peek(reader + extent.offset), 0x67);
	EXPECT_EQ(peek(writer + extent.offset), 0x67);
	free_extent(control, extent.handle);
	EXPECT_EQ(peek(reader + extent.offset), 0);
	EXPECT_EQ(poke(writer + extent.offset, 1), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(poke(mine + extent.offset, 1), SEEN_BUS(BUS_ADRERR));
}

TEST(map, a_reader_never_sees_the_next_owner)
{
	int control = control_open(), next = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE), reused = { 0 };
	uint8_t *reader = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);
	uint8_t *theirs = map_all(next, PROT_READ | PROT_WRITE);

	EXPECT_EQ(peek(reader + extent.offset), 0);
	free_extent(control, extent.handle);
	do { /* until the same place comes round again */
		struct speckv_alloc request = { .bytes = GRANULE, .timeout_ms = 60000 };

		if (ioctl(next, SPECKV_IOC_ALLOC, &request))
			break;
		reused = request;
		theirs[reused.offset] = 0x13;
	} while (reused.offset != extent.offset);
	EXPECT_EQ(reused.offset, extent.offset);
	EXPECT_EQ(peek(reader + extent.offset), 0);
}

TEST(map, refused_mappings)
{
	int control = control_open();
	uint64_t handle = alloc_extent(control, GRANULE).handle;
	int reader = export_new(control, 0, &handle, 1);
	const int rw = PROT_READ | PROT_WRITE;

	EXPECT_ERRNO(mmap(NULL, GRANULE, rw, MAP_PRIVATE, control, 0), EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ, MAP_PRIVATE, reader, 0), EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE, rw, MAP_SHARED, reader, 0), EACCES);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_WRITE, MAP_SHARED, reader, 0), EACCES);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ | PROT_EXEC, MAP_SHARED, reader, 0), EACCES);
	EXPECT_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0), EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE + 4096, PROT_READ, MAP_SHARED, reader, 0), EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, reader, 4096), EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, reader, device_bytes), EINVAL);
	EXPECT_ERRNO(mmap(NULL, device_bytes + GRANULE, PROT_READ, MAP_SHARED, reader, 0), EINVAL);
	EXPECT_ERRNO(mmap(NULL, 2 * GRANULE, PROT_READ, MAP_SHARED, reader, device_bytes - GRANULE),
		     EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, reader, 1ULL << 62), EINVAL);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, reader, 0),
		     EOPNOTSUPP);
	char *room = mmap(NULL, 3 * GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *odd = (char *)(((uintptr_t)room + GRANULE - 1) / GRANULE * GRANULE) + 4096;

	EXPECT_ERRNO(mmap(odd, GRANULE, PROT_READ, MAP_SHARED | MAP_FIXED, reader, 0), EINVAL);
}

TEST(map, a_read_only_mapping_stays_read_only)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *reader = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);

	EXPECT_ERRNO(mprotect(reader, device_bytes, PROT_READ | PROT_WRITE), EACCES);
	EXPECT_ERRNO(mprotect(reader, device_bytes, PROT_READ | PROT_EXEC), EACCES);
	EXPECT_EQ(poke(reader + extent.offset, 1), SEEN_SEGV(SEGV_ACCERR));
	EXPECT_EQ(peek(reader + extent.offset), 0);
}

TEST(map, partial_munmap_keeps_granules_whole)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, 4 * GRANULE);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	fill(map, &extent, 0x11);
	EXPECT_ERRNO(munmap(map + extent.offset, 4096), EINVAL);
	EXPECT_ERRNO(munmap(map + extent.offset + 4096, GRANULE), EINVAL);
	EXPECT_ERRNO(mprotect(map + extent.offset, 4096, PROT_READ), EINVAL);
	EXPECT_EQ(munmap(map + extent.offset + GRANULE, GRANULE), 0);
	EXPECT_EQ(peek(map + extent.offset + GRANULE), SEEN_SEGV(SEGV_MAPERR));
	EXPECT_EQ(peek(map + extent.offset + GRANULE - 1), 0x11);
	EXPECT_EQ(peek(map + extent.offset + 2 * GRANULE), 0x11);
}

TEST(map, mremap_moves_but_never_grows_or_leaves_the_raster)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE);
	uint8_t *map = mmap(NULL, extent.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, control,
			    (off_t)extent.offset);
	uint8_t *room = mmap(NULL, 8 * GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *even = (uint8_t *)(((uintptr_t)room + GRANULE - 1) / GRANULE * GRANULE);

	EXPECT(map != MAP_FAILED);
	memset(map, 0x21, extent.bytes);
	EXPECT_ERRNO(mremap(map, extent.bytes, extent.bytes + GRANULE, MREMAP_MAYMOVE), EFAULT);
	EXPECT_ERRNO(
		mremap(map, extent.bytes, extent.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, even + 4096),
		EINVAL);
	EXPECT_EQ(peek(map), 0x21);
	EXPECT(mremap(map, extent.bytes, extent.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, even) ==
	       even);
	EXPECT_EQ(peek(even), 0x21);
	EXPECT_EQ(peek(even + extent.bytes - 1), 0x21);
	EXPECT(mremap(even, extent.bytes, GRANULE, 0) == even);
	EXPECT_EQ(peek(even + GRANULE - 1), 0x21);
	free_extent(control, extent.handle);
	EXPECT_EQ(peek(even), SEEN_BUS(BUS_ADRERR));
}

TEST(map, remap_file_pages_cannot_reach_further)
{
	int control = control_open();
	struct speckv_alloc mine = alloc_extent(control, GRANULE), foreign;
	uint8_t *map;

	foreign = alloc_extent(control_open(), GRANULE);
	map = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED, control, (off_t)mine.offset);
	EXPECT(map != MAP_FAILED);
	syscall(SYS_remap_file_pages, map, GRANULE, 0, foreign.offset / 4096, 0);
	EXPECT(peek(map) <= 0);
}

TEST(map, a_whole_device_faults_in_by_2_mib)
{
	int control = control_open();
	struct speckv_stat before = stat_of(control, -1);
	uint64_t bytes = 0;
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);
	uint8_t *reader;
	int export = export_new(control, 0, NULL, 0);

	wait_until_clean(control);
	for (;;) {
		struct speckv_alloc request = { .bytes = GRANULE };

		if (ioctl(control, SPECKV_IOC_ALLOC, &request))
			break;
		EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_ADD, request.handle), 0);
		bytes += GRANULE;
		map[request.offset + 12345] = 1;
	}
	EXPECT_EQ(bytes, device_bytes - before.poisoned_bytes);
	reader = map_all(export, PROT_READ);
	for (uint64_t at = 0; at < device_bytes; at += 65536)
		(void)*(volatile uint8_t *)(reader + at);
	printf("# %llu MiB: %llu + %llu huge faults\n", (unsigned long long)(bytes / MIB),
	       (unsigned long long)stat_of(control, -1).faults_huge,
	       (unsigned long long)stat_of(control, export).faults_huge);
	EXPECT_EQ(stat_of(control, -1).faults_huge - before.faults_huge, bytes / GRANULE);
	EXPECT_EQ(stat_of(control, export).faults_huge, bytes / GRANULE);
	EXPECT_EQ(stat_of(control, export).faults_zero, 0);
}

TEST(map, madvise_dontneed_loses_nothing)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	fill(map, &extent, 0x44);
	EXPECT_EQ(madvise(map + extent.offset, GRANULE, MADV_DONTNEED), 0);
	EXPECT_EQ(peek(map + extent.offset + 99), 0x44);
	EXPECT(madvise(map + extent.offset, GRANULE, MADV_REMOVE) != 0);
	EXPECT_EQ(peek(map + extent.offset + 99), 0x44);
}

TEST(map, a_write_follows_a_read_fault)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	EXPECT_EQ(peek(map + extent.offset), 0);
	EXPECT_EQ(poke(map + extent.offset, 7), 0);
	EXPECT_EQ(peek(map + extent.offset), 7);
}

TEST(map, a_core_dump_leaves_the_region_out)
{
	char line[512], *flags = NULL;
	int control = control_open();
	uint8_t *map = map_all(control, PROT_READ);
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool ours = false;

	(void)map;
	while (fgets(line, sizeof(line), smaps)) {
		if (strstr(line, "/dev/speckv0"))
			ours = true;
		if (ours && !strncmp(line, "VmFlags:", 8)) {
			flags = line;
			break;
		}
	}
	EXPECT(flags && strstr(flags, " dd") && strstr(flags, " de"));
}
