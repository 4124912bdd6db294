// SPDX-License-Identifier: Apache-2.0
/*
 * test_removals.c - the card goes and comes back, REMOVALS times (default 200), each time while
 * somebody has memory of it pinned and mapped. `removals` asks speckv, in `vm-test removals`;
 * `removals_dax` asks stock device_dax, in `vm-test --control removals_dax`, and says how often
 * before the kernel dies of it.
 */
#include "harness.h"

static int rounds(void)
{
	const char *text = getenv("REMOVALS");

	return text && *text ? atoi(text) : 200;
}

struct pin {
	struct gate pinned;
	int fd;
	uint64_t offset;
};

/* Holds on for a moment longer than the card is there. */
static void hold(void *argument)
{
	struct pin *pin = argument;
	int ring = ring_make();
	uint8_t *map = map_all(pin->fd, PROT_READ | PROT_WRITE);

	map[pin->offset] = 0x6d;
	EXPECT_EQ(ring_register(ring, map + pin->offset, GRANULE), 0);
	gate_open(&pin->pinned);
	usleep(50000);
}

static pid_t start_hold(struct pin *pin)
{
	pid_t child;

	gate_make(&pin->pinned);
	child = spawn(hold, pin);
	gate_wait(&pin->pinned);
	close(pin->pinned.ends[0]);
	close(pin->pinned.ends[1]);
	return child;
}

static void one_removal(void)
{
	int control = control_open(), reader;
	struct speckv_alloc extent = alloc_extent(control, 2 * GRANULE);
	struct pin pin = { .offset = extent.offset };
	uint8_t *theirs;
	pid_t child;

	reader = export_new(control, 0, &extent.handle, 1);
	theirs = map_all(reader, PROT_READ);
	pin.fd = export_new(control, SPECKV_EXPORT_WRITE, &extent.handle, 1);
	child = start_hold(&pin);
	EXPECT_EQ(peek(theirs + extent.offset), 0x6d);
	EXPECT_EQ(card_remove(), 0);
	EXPECT_EQ(reap(child), 0);
	EXPECT_EQ(peek(theirs + extent.offset), 0);
	munmap(theirs, device_bytes);
	close(pin.fd);
	close(reader);
	close(control);
	EXPECT_EQ(card_rescan(), 0);
	EXPECT_EQ(region_ensure(), 0);
}

TEST_BALANCED(removals, of_the_card_with_live_pins, BALANCE_NONE)
{
	int count = rounds();

	alarm(0);
	for (int round = 1; round <= count; round++) {
		one_removal();
		if (round % 20 == 0)
			printf("# removals: %d with a live pin\n", round);
	}
}

static int dax_open(void)
{
	int fd = open("/dev/dax0.0", O_RDWR | O_CLOEXEC);

	EXPECT(fd >= 0);
	device_bytes = 64 * GRANULE;
	return fd;
}

TEST_BALANCED(removals_dax, the_kernel_dies_of_one, BALANCE_IGNORED)
{
	int count = rounds();

	alarm(0);
	for (int round = 1; round <= count; round++) {
		struct pin pin = { .fd = dax_open(), .offset = 11 * GRANULE };
		pid_t child = start_hold(&pin);

		printf("# removals: device_dax, number %d\n", round);
		EXPECT_EQ(card_remove(), 0);
		close(pin.fd);
		reap(child);
		usleep(500000); /* the ring's end is done by a worker */
		EXPECT_EQ(card_rescan(), 0);
		EXPECT_EQ(system("cxl create-region -m -t ram -d decoder0.0 -w 1 mem0 "
				 ">/dev/null 2>&1"),
			  0);
		EXPECT(wait_for_path("/sys/bus/dax/devices/dax0.0", true, 60));
		if (access("/sys/bus/dax/devices/dax0.0/driver", F_OK))
			(void)!system("daxctl reconfigure-device -m devdax dax0.0 >/dev/null 2>&1");
		EXPECT(wait_for_path("/dev/dax0.0", true, 60));
	}
	printf("# the kernel survived\n");
}
