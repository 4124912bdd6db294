// SPDX-License-Identifier: Apache-2.0
/*
 * test_pin.c - memory that outlives its extent because somebody pinned it: it must not be handed
 * out, must be charged to somebody, and must come back by itself when the pin is gone.
 */
#include <sys/socket.h>
#include <sys/uio.h>

#include "harness.h"

TEST(pin, io_uring_takes_a_mapping_as_fixed_buffer)
{
	int control = control_open(), ring = ring_make();
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	EXPECT_EQ(ring_register(ring, map + extent.offset, extent.bytes), 0);
	memset(map + extent.offset, 3, extent.bytes);
	EXPECT_EQ(ring_unregister(ring), 0);
	EXPECT_EQ(peek(map + extent.offset), 3);
}

TEST(pin, a_pinned_extent_waits_in_quarantine)
{
	int control = control_open(), ring = ring_make();
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE), more;
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	EXPECT_EQ(ring_register(ring, map + extent.offset + GRANULE, 4096), 0);
	free_extent(control, extent.handle);
	while (stat_of(control, -1).quarantined_bytes != GRANULE ||
	       stat_of(control, -1).dirty_bytes)
		usleep(2000);
	EXPECT_EQ(peek(map + extent.offset + GRANULE), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(stat_of(control, -1).pinned_bytes, GRANULE);
	do { /* take all there is: never the pinned one, and no endless wait for it */
		more = (struct speckv_alloc){ .bytes = GRANULE, .timeout_ms = 60000 };
		if (ioctl(control, SPECKV_IOC_ALLOC, &more))
			break;
		EXPECT(more.offset != extent.offset + GRANULE);
	} while (more.handle);
	EXPECT_EQ(stat_of(control, -1).free_bytes, 0);
	EXPECT_EQ(stat_of(control, -1).quarantined_bytes, GRANULE);
	EXPECT_EQ(ring_unregister(ring), 0);
	while (stat_of(control, -1).free_bytes != GRANULE)
		usleep(2000);
	EXPECT_EQ(stat_of(control, -1).quarantined_bytes, 0);
	EXPECT_EQ(stat_of(control, -1).pinned_bytes, 0);
	more = alloc_extent(control, GRANULE);
	EXPECT_EQ(more.offset, extent.offset + GRANULE);
	EXPECT_EQ(peek(map + more.offset), 0);
}

#define LIMIT "/sys/class/speckv/speckv0/file_limit_bytes"

TEST(pin, quarantine_counts_towards_the_limit)
{
	char all[32];

	control_open();
	snprintf(all, sizeof(all), "%llu", (unsigned long long)device_bytes);
	EXPECT_EQ(write_file(LIMIT, "4194304"), 0);
	int control = control_open(), ring = ring_make();

	EXPECT_EQ(write_file(LIMIT, all), 0);
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	struct speckv_alloc two = { .bytes = 2 * GRANULE, .timeout_ms = 10 };
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	EXPECT_EQ(ring_register(ring, map + extent.offset, 4096), 0);
	free_extent(control, extent.handle);
	while (!stat_of(control, -1).pinned_bytes)
		usleep(2000);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, &two), EDQUOT);
	ring_unregister(ring);
	while (stat_of(control, -1).pinned_bytes)
		usleep(2000);
	EXPECT_EQ(ioctl(control, SPECKV_IOC_ALLOC, &two), 0);
}

struct pinner {
	int export;
	uint64_t offset;
	struct gate pinned, let_go;
};

static void pin_as_client(void *argument)
{
	struct pinner *pinner = argument;
	int ring;
	uint8_t *map;

	become(UID_ONE);
	ring = ring_make();
	map = map_all(pinner->export, PROT_READ | PROT_WRITE);
	EXPECT_EQ(ring_register(ring, map + pinner->offset, 4096), 0);
	gate_open(&pinner->pinned);
	gate_wait(&pinner->let_go);
}

TEST(pin, the_export_that_pinned_is_charged)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	struct pinner pinner = {
		.export = export_new(control, SPECKV_EXPORT_WRITE, &extent.handle, 1),
		.offset = extent.offset,
	};
	char files[8192];
	pid_t child;

	gate_make(&pinner.pinned);
	gate_make(&pinner.let_go);
	child = spawn(pin_as_client, &pinner);
	gate_wait(&pinner.pinned);
	free_extent(control, extent.handle);
	while (!stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	EXPECT_EQ(stat_of(control, pinner.export).pinned_bytes, GRANULE);
	EXPECT_EQ(stat_of(control, -1).pinned_bytes, 0);
	EXPECT(read_file("/sys/kernel/debug/speckv/speckv0/files", files, sizeof(files)) > 0);
	EXPECT(strstr(files, "uid=1001 comm=vmtests extents=0 held=0 pinned=2097152"));
	gate_open(&pinner.let_go);
	EXPECT_EQ(reap(child), 0);
	while (stat_of(control, pinner.export).pinned_bytes)
		usleep(2000);
}

TEST(pin, killing_the_pinner_frees_the_memory)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	struct pinner pinner = {
		.export = export_new(control, SPECKV_EXPORT_WRITE, &extent.handle, 1),
		.offset = extent.offset,
	};
	pid_t child;

	gate_make(&pinner.pinned);
	gate_make(&pinner.let_go);
	child = spawn(pin_as_client, &pinner);
	gate_wait(&pinner.pinned);
	free_extent(control, extent.handle);
	while (!stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	wait_until_clean(control);
}

TEST(pin, a_page_in_a_pipe_keeps_its_bytes_until_it_is_read)
{
	int control = control_open(), ends[2];
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE), seen[4096];
	uint8_t *reader = map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);
	struct iovec page = { reader + extent.offset, 4096 };

	memset(map + extent.offset, 0x3c, GRANULE);
	EXPECT_EQ(pipe(ends), 0);
	EXPECT_EQ(vmsplice(ends[1], &page, 1, 0), 4096);
	free_extent(control, extent.handle);
	while (!stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	EXPECT_EQ(read(ends[0], seen, 4096), 4096);
	EXPECT_EQ(seen[0], 0x3c);
	EXPECT_EQ(seen[4095], 0x3c);
	wait_until_clean(control);
}

TEST(pin, dropping_or_closing_around_a_pin_is_safe)
{
	int control = control_open(), ring = ring_make();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	int export = export_new(control, SPECKV_EXPORT_WRITE, &extent.handle, 1);
	uint8_t *map = map_all(export, PROT_READ | PROT_WRITE);

	EXPECT_EQ(ring_register(ring, map + extent.offset, 4096), 0);
	EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_DROP, extent.handle), 0);
	EXPECT_EQ(stat_of(control, -1).quarantined_bytes, 0); /* the owner still has it */
	munmap(map, device_bytes);
	close(export);
	close(control);
	control = control_open();
	while (!stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	close(ring);
	wait_until_clean(control);
}
