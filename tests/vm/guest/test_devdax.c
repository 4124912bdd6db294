// SPDX-License-Identifier: Apache-2.0
/*
 * test_devdax.c - the second control: what stock device_dax lets through where speckv does not.
 * Each test passes if device_dax shows the flaw; so a kernel that mends one turns the row red, and
 * docs/driver.md has to change. Run by `vm-test --control`, with dax0.0 bound to device_dax. The
 * last one is expected to end the guest.
 */
#include "harness.h"

static int dax_open(void)
{
	int fd = open("/dev/dax0.0", O_RDWR | O_CLOEXEC);

	EXPECT(fd >= 0);
	device_bytes = 64 * GRANULE;
	return fd;
}

TEST_BALANCED(devdax, every_opener_has_the_whole_device, BALANCE_IGNORED)
{
	uint8_t *one = map_all(dax_open(), PROT_READ | PROT_WRITE);
	uint8_t *two = map_all(dax_open(), PROT_READ | PROT_WRITE);

	one[5 * GRANULE] = 0x61;
	EXPECT_EQ(two[5 * GRANULE], 0x61);
	two[5 * GRANULE] = 0x62;
	EXPECT_EQ(one[5 * GRANULE], 0x62);
}

static void leave_a_secret(void *unused)
{
	(void)unused;
	memset(map_all(dax_open(), PROT_READ | PROT_WRITE) + 7 * GRANULE, 0x63, GRANULE);
}

TEST_BALANCED(devdax, the_next_user_reads_the_last_ones_bytes, BALANCE_IGNORED)
{
	EXPECT_EQ(reap(spawn(leave_a_secret, NULL)), 0);
	EXPECT_EQ(peek(map_all(dax_open(), PROT_READ) + 7 * GRANULE), 0x63);
}

TEST_BALANCED(devdax, poison_can_be_touched_again, BALANCE_IGNORED)
{
	uint8_t *map = map_all(dax_open(), PROT_READ | PROT_WRITE);
	int again;

	map[9 * GRANULE] = 0x64;
	signal(SIGBUS, SIG_IGN);
	peek(map + 9 * GRANULE); /* catches SIGBUS from here on */
	madvise(map + 9 * GRANULE, 4096, MADV_HWPOISON);
	peek(map + 9 * GRANULE);
	again = peek(map + 9 * GRANULE);
	printf("# reading poison again gives %#x\n", again);
	EXPECT(again >= 0);
}

struct reader {
	uint8_t *map;
	struct gate gone;
};

static void read_after_removal(void *argument)
{
	struct reader *reader = argument;

	EXPECT(peek(reader->map) >= 0);
	gate_wait(&reader->gone);
	EXPECT_EQ(peek(reader->map), SEEN_BUS(BUS_ADRERR));
}

TEST_BALANCED(devdax, the_kernel_survives_the_end_of_a_pin, BALANCE_IGNORED)
{
	uint8_t *map = map_all(dax_open(), PROT_READ | PROT_WRITE);
	struct reader reader = { .map = map };
	int ring = ring_make();
	pid_t child;

	gate_make(&reader.gone);
	child = spawn(read_after_removal, &reader);
	map[11 * GRANULE] = 1;
	EXPECT_EQ(ring_register(ring, map + 11 * GRANULE, GRANULE), 0);
	EXPECT(qmp("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"cxl-vmem0\"}}"));
	EXPECT(wait_for_path("/dev/dax0.0", false, 60));
	EXPECT(wait_for_path("/sys/bus/cxl/devices/mem0", false, 60));
	gate_open(&reader.gone);
	EXPECT_EQ(reap(child), 0);
	printf("ok 4 - devdax: a_reader_gets_sigbus_when_the_card_is_pulled\n");
	sleep(2);
	close(ring);
	sleep(5); /* the ring's end is done by a worker */
	printf("# the kernel survived\n");
}
