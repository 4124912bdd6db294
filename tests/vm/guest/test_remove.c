// SPDX-License-Identifier: Apache-2.0
/*
 * test_remove.c - the region goes away under mapped, pinned and busy users: by unbinding, by
 * destroying the CXL region, and by pulling the card. Readers miss, writers get SIGBUS, calls say
 * ENODEV, and the kernel lives. The frame puts the region back after each test.
 *
 * Pulling the card is a group of its own, `pull`: see vm-test, "debug_pull".
 */
#include <linux/io_uring.h>

#include "harness.h"

struct stage {
	int control, reader;
	struct speckv_alloc extent;
	uint8_t *mine, *theirs;
};

static struct stage set_stage(void)
{
	struct stage stage = { .control = control_open() };

	stage.extent = alloc_extent(stage.control, 4 * GRANULE);
	stage.reader = export_new(stage.control, 0, &stage.extent.handle, 1);
	stage.mine = map_all(stage.control, PROT_READ | PROT_WRITE);
	stage.theirs = map_all(stage.reader, PROT_READ);
	memset(stage.mine + stage.extent.offset, 0x6d, stage.extent.bytes);
	EXPECT_EQ(peek(stage.theirs + stage.extent.offset), 0x6d);
	return stage;
}

/* Everything that a file of a region that is gone must answer. */
static void expect_gone(struct stage *stage)
{
	struct speckv_info info = { 0 };
	struct speckv_alloc alloc = { .bytes = GRANULE, .timeout_ms = 1000 };
	struct speckv_free request = { .handle = stage->extent.handle };
	struct speckv_export export = { .flags = SPECKV_EXPORT_NEW, .fd = -1 };
	struct speckv_stat stat = { .fd = -1 };
	struct speckv_poison poison = { .flags = SPECKV_POISON_MARK, .bytes = 1 };
	uint64_t at = stage->extent.offset;

	EXPECT_EQ(peek(stage->theirs + at), 0);
	EXPECT_EQ(peek(stage->theirs + at + GRANULE + 4096), 0);
	EXPECT_EQ(peek(stage->mine + at), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(poke(stage->mine + at, 1), SEEN_BUS(BUS_ADRERR));
	EXPECT_ERRNO(ioctl(stage->control, SPECKV_IOC_INFO, &info), ENODEV);
	EXPECT_ERRNO(ioctl(stage->reader, SPECKV_IOC_INFO, &info), ENODEV);
	EXPECT_ERRNO(ioctl(stage->control, SPECKV_IOC_ALLOC, &alloc), ENODEV);
	EXPECT_ERRNO(ioctl(stage->control, SPECKV_IOC_FREE, &request), ENODEV);
	EXPECT(ioctl(stage->control, SPECKV_IOC_EXPORT, &export) == -1);
	EXPECT(errno == ENODEV || errno == ENXIO);
	EXPECT_ERRNO(ioctl(stage->control, SPECKV_IOC_STAT, &stat), ENODEV);
	EXPECT_ERRNO(ioctl(stage->control, SPECKV_IOC_POISON, &poison), ENODEV);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, stage->reader, 0), ENODEV);
	EXPECT_ERRNO(open("/dev/speckv0", O_RDWR), ENOENT);
}

TEST_BALANCED(remove, unbind_leaves_readers_alive, BALANCE_NONE)
{
	struct stage stage = set_stage();

	EXPECT_EQ(region_unbind(), 0);
	expect_gone(&stage);
}

TEST_BALANCED(remove, a_new_binding_has_nothing_to_do_with_old_files, BALANCE_NONE)
{
	struct stage old = set_stage(), new;

	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(region_bind(), 0);
	new = set_stage();
	EXPECT_EQ(peek(old.theirs + old.extent.offset), 0);
	EXPECT_EQ(peek(old.theirs + new.extent.offset), 0);
	EXPECT_EQ(poke(old.mine + new.extent.offset, 1), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(peek(new.theirs + new.extent.offset), 0x6d);
	EXPECT_ERRNO(export_change(old.control, old.reader, SPECKV_EXPORT_DROP, old.extent.handle),
		     ENODEV);
}

TEST_BALANCED(remove, a_new_binding_begins_with_zeros, BALANCE_NONE)
{
	struct stage stage = set_stage();
	int control;
	uint8_t *map;

	memset(stage.mine + stage.extent.offset, 0xdd, stage.extent.bytes);
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(region_bind(), 0);
	control = control_open();
	map = map_all(control, PROT_READ);
	for (;;) {
		struct speckv_alloc one = { .bytes = GRANULE, .timeout_ms = 60000 };

		if (ioctl(control, SPECKV_IOC_ALLOC, &one))
			break;
		for (uint64_t at = 0; at < GRANULE; at += 65536)
			EXPECT_EQ(peek(map + one.offset + at), 0);
	}
}

struct holder {
	struct gate pinned;
	useconds_t hold_us;
	int export;
	uint64_t offset;
};

/* Pins, tells, and lets go by itself some time later. */
static void hold_a_pin(void *argument)
{
	struct holder *holder = argument;
	int ring = ring_make();
	uint8_t *map = map_all(holder->export, PROT_READ | PROT_WRITE);

	EXPECT_EQ(ring_register(ring, map + holder->offset, 2 * GRANULE), 0);
	gate_open(&holder->pinned);
	usleep(holder->hold_us);
}

static pid_t start_holder(struct stage *stage, struct holder *holder)
{
	pid_t child;

	gate_make(&holder->pinned);
	holder->export = export_new(stage->control, SPECKV_EXPORT_WRITE, &stage->extent.handle, 1);
	holder->offset = stage->extent.offset;
	child = spawn(hold_a_pin, holder);
	gate_wait(&holder->pinned);
	return child;
}

TEST_BALANCED(remove, unbind_waits_for_a_pin, BALANCE_NONE)
{
	struct stage stage = set_stage();
	struct holder holder = { .hold_us = 300000 };
	pid_t child = start_holder(&stage, &holder);
	int status;

	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(waitpid(child, &status, WNOHANG) == child || reap(child) == 0, 1);
	expect_gone(&stage);
	EXPECT_EQ(system("dmesg | grep -q 'removal waits for . pinned granules'"), 0);
}

TEST_BALANCED(remove, unbind_after_free_with_a_pin, BALANCE_NONE)
{
	struct stage stage = set_stage();
	struct holder holder = { .hold_us = 300000 };
	pid_t child = start_holder(&stage, &holder);

	free_extent(stage.control, stage.extent.handle);
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(reap(child), 0);
	EXPECT_EQ(peek(stage.theirs + stage.extent.offset), 0);
}

static void wait_for_memory(void *argument)
{
	struct gate *ready = argument;
	int control = control_open(), ring = ring_make();
	struct speckv_alloc request, last = { 0 };
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);

	for (;;) { /* keep the cleaner busy, so that ALLOC has something to wait for */
		request = (struct speckv_alloc){ .bytes = 32 * GRANULE, .timeout_ms = 60000 };
		if (ioctl(control, SPECKV_IOC_ALLOC, &request)) {
			if (errno == ENODEV)
				_exit(0);
			EXPECT(errno == EDQUOT || errno == ENOSPC || errno == EAGAIN);
			request = last;
		}
		poke(map + request.offset, 1);
		struct speckv_free give = { .handle = request.handle };

		ioctl(control, SPECKV_IOC_FREE, &give);
		last = request;
		if (ready) {
			gate_open(ready);
			ready = NULL;
		}
	}
	close(ring);
}

TEST_BALANCED(remove, unbind_under_load_ends_every_call, BALANCE_NONE)
{
	enum { PROCESSES = 4 };
	struct gate ready[PROCESSES];
	pid_t children[PROCESSES];

	for (int i = 0; i < PROCESSES; i++) {
		gate_make(&ready[i]);
		children[i] = spawn(wait_for_memory, &ready[i]);
		gate_wait(&ready[i]);
	}
	EXPECT_EQ(region_unbind(), 0);
	for (int i = 0; i < PROCESSES; i++)
		EXPECT_EQ(reap(children[i]), 0);
}

struct read_loop {
	uint8_t *map;
	uint64_t offset;
	struct gate reading;
};

static void read_until_zero(void *argument)
{
	struct read_loop *loop = argument;
	bool told = false;

	for (;;) {
		int seen = peek(loop->map + loop->offset + (uint64_t)(rand() % 4) * GRANULE);

		if (!told)
			gate_open(&loop->reading);
		told = true;
		if (!seen)
			_exit(0);
		EXPECT_EQ(seen, 0x6d);
	}
}

TEST_BALANCED(remove, destroying_the_cxl_region_under_readers, BALANCE_NONE)
{
	struct stage stage = set_stage();
	struct read_loop loop = { .map = stage.theirs, .offset = stage.extent.offset };
	pid_t child;

	gate_make(&loop.reading);
	child = spawn(read_until_zero, &loop);
	gate_wait(&loop.reading);
	EXPECT_EQ(system("cxl disable-region region0 >/dev/null 2>&1 && "
			 "cxl destroy-region -f region0 >/dev/null 2>&1"),
		  0);
	EXPECT_EQ(reap(child), 0);
	expect_gone(&stage);
}

TEST_BALANCED(remove, twenty_rounds_with_live_pins, BALANCE_NONE)
{
	for (int round = 0; round < 20; round++) {
		struct stage stage = set_stage();
		struct holder holder = { .hold_us = 20000 };
		pid_t child = start_holder(&stage, &holder);

		EXPECT_EQ(region_unbind(), 0);
		EXPECT_EQ(reap(child), 0);
		EXPECT_EQ(peek(stage.theirs + stage.extent.offset), 0);
		munmap(stage.mine, device_bytes);
		munmap(stage.theirs, device_bytes);
		close(stage.reader);
		close(stage.control);
		close(holder.export);
		EXPECT_EQ(region_bind(), 0);
	}
}

TEST_BALANCED(pull, the_card_under_readers_and_a_pin, BALANCE_NONE)
{
	struct stage stage = set_stage();
	struct holder holder = { .hold_us = 8000000 };
	struct read_loop loop = { .map = stage.theirs, .offset = stage.extent.offset };
	pid_t pinner = start_holder(&stage, &holder), reader;

	gate_make(&loop.reading);
	reader = spawn(read_until_zero, &loop);
	gate_wait(&loop.reading);
	EXPECT(qmp("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"cxl-vmem0\"}}"));
	EXPECT(wait_for_path("/dev/speckv0", false, 60));
	EXPECT_EQ(reap(reader), 0);
	EXPECT_EQ(reap(pinner), 0);
	expect_gone(&stage);
	EXPECT(wait_for_path("/sys/bus/cxl/devices/mem0", false, 60));
}
