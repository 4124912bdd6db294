// SPDX-License-Identifier: Apache-2.0
/*
 * test_failslab.c - every allocation that a call makes fails once, in order: the call says ENOMEM
 * (or does without), nothing leaks, nothing is half done. Needs a kernel with FAILSLAB, so only
 * `vm-test --debug` runs the group.
 */
#include "harness.h"

#define FAULTS_MAX 2000

static int control, other;
static struct speckv_alloc extents[3];

/*
 * Only slab allocations fail, with no word on the console, those that may wait included: those are
 * all of ours.
 */
static void faults_prepare(void)
{
	EXPECT_EQ(write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N"), 0);
	EXPECT_EQ(write_file("/sys/kernel/debug/failslab/verbose", "0"), 0);
	EXPECT_EQ(write_file("/sys/kernel/debug/fail_page_alloc/min-order", "20"), 0);
	EXPECT_EQ(write_file("/sys/kernel/debug/fail_page_alloc/verbose", "0"), 0);
}

static void faults_arm(int fd, int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", nth);

	EXPECT_EQ(pwrite(fd, text, (size_t)length, 0), length);
}

/* Disarms; true if a failure was made since faults_arm(). */
static bool faults_met(int fd)
{
	char text[16] = "";

	EXPECT(pread(fd, text, sizeof(text) - 1, 0) > 0);
	faults_arm(fd, 0);
	return atoi(text) == 0;
}

/*
 * Call `once` with its 1st, 2nd, ... allocation failing, until there is none left to fail. `once`
 * returns 0 or -ENOMEM; `undo` follows each success.
 */
static void fail_each(const char *what, int (*once)(void), void (*undo)(void))
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC), refused = 0, nth;

	EXPECT(fd >= 0);
	for (nth = 1; nth < FAULTS_MAX; nth++) {
		int rc;
		bool met;

		faults_arm(fd, nth);
		rc = once();
		met = faults_met(fd);
		if (rc && (!met || rc != -ENOMEM))
			printf("# %s: allocation %d%s: error %d\n", what, nth,
			       met ? "" : " was not there", rc);
		EXPECT(rc == 0 || rc == -ENOMEM);
		EXPECT(met || rc == 0);
		refused += rc != 0;
		if (!rc)
			undo();
		if (!met)
			break;
	}
	printf("# %s: %d allocations failed in turn, %d of them failed the call\n", what, nth - 1,
	       refused);
	EXPECT(nth < FAULTS_MAX);
	EXPECT(refused > 0);
	close(fd);
}

static void set_up(void)
{
	faults_prepare();
	control = control_open();
	for (int i = 0; i < 3; i++)
		extents[i] = alloc_extent(control, 3 * GRANULE);
}

static int once_open(void)
{
	other = open("/dev/speckv0", O_RDWR | O_CLOEXEC);
	return other < 0 ? -errno : 0;
}

static void undo_open(void)
{
	close(other);
}

TEST(failslab, open)
{
	faults_prepare();
	fail_each("open", once_open, undo_open);
}

static struct speckv_alloc fresh;

static int once_alloc(void)
{
	fresh = (struct speckv_alloc){ .bytes = 70 * GRANULE, .timeout_ms = 60000 };
	return ioctl(control, SPECKV_IOC_ALLOC, &fresh) ? -errno : 0;
}

static void undo_alloc(void)
{
	free_extent(control, fresh.handle);
}

TEST(failslab, alloc)
{
	set_up();
	fail_each("ALLOC", once_alloc, undo_alloc);
	EXPECT_EQ(stat_of(control, -1).held_bytes, 9 * GRANULE);
}

static int once_export(void)
{
	uint64_t handles[3] = { extents[0].handle, extents[1].handle, extents[2].handle };
	struct speckv_export request = {
		.flags = SPECKV_EXPORT_NEW,
		.fd = -1,
		.handles = (uintptr_t)handles,
		.count = 3,
	};

	if (ioctl(control, SPECKV_IOC_EXPORT, &request))
		return -errno;
	other = request.fd;
	return 0;
}

TEST(failslab, export_new)
{
	set_up();
	fail_each("EXPORT NEW", once_export, undo_open);
	EXPECT_EQ(stat_of(control, -1).exports, 0);
}

static int once_add(void)
{
	uint64_t handles[3] = { extents[0].handle, extents[1].handle, extents[2].handle };
	struct speckv_export request = {
		.flags = SPECKV_EXPORT_ADD,
		.fd = other,
		.handles = (uintptr_t)handles,
		.count = 3,
	};

	if (ioctl(control, SPECKV_IOC_EXPORT, &request)) {
		int error = errno;

		/* All or none. */
		EXPECT_EQ(stat_of(control, other).extents, 0);
		return -error;
	}
	return 0;
}

static void undo_add(void)
{
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(export_change(control, other, SPECKV_EXPORT_DROP, extents[i].handle), 0);
}

TEST(failslab, export_add)
{
	set_up();
	other = export_new(control, 0, NULL, 0);
	fail_each("EXPORT ADD", once_add, undo_add);
}

static struct speckv_extent_entry entries[64];

static int once_list(void)
{
	struct speckv_list list = { .count = 64, .entries = (uintptr_t)entries };

	return ioctl(control, SPECKV_IOC_LIST, &list) ? -errno : 0;
}

static void undo_nothing(void)
{
}

TEST(failslab, list)
{
	set_up();
	fail_each("LIST", once_list, undo_nothing);
}

static uint8_t *map;

static int once_map(void)
{
	map = mmap(NULL, device_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, control, 0);
	if (map == MAP_FAILED)
		return -errno;
	/* A fault that finds no memory is tried again by the kernel. */
	EXPECT_EQ(poke(map + extents[1].offset + 5, 7), 0);
	return 0;
}

static void undo_map(void)
{
	EXPECT_EQ(peek(map + extents[1].offset + 5), 7);
	munmap(map, device_bytes);
}

TEST(failslab, map_and_fault)
{
	set_up();
	fail_each("mmap", once_map, undo_map);
}

static int once_bind(void)
{
	return write_file("/sys/bus/dax/drivers/speckv/bind", "dax0.0");
}

/* One binding with its nth allocation failing; whatever it says, the next one works. */
static int bind_with_fault(int fd, int nth, int *ret_left)
{
	char text[16] = "";
	int rc;

	faults_arm(fd, nth);
	rc = once_bind();
	EXPECT(pread(fd, text, sizeof(text) - 1, 0) > 0);
	faults_arm(fd, 0);
	*ret_left = atoi(text);
	if (rc)
		EXPECT_EQ(once_bind(), 0);
	EXPECT(wait_for_path("/dev/speckv0", true, 60));
	EXPECT_EQ(region_unbind(), 0);
	return rc;
}

/*
 * From the first allocation to the one in request_mem_region() (which says EBUSY), and from the
 * last one 30 back. What lies between is memremap_pages(): when the core has no memory there, it
 * warns.
 */
TEST_BALANCED(failslab, bind, BALANCE_NONE)
{
	enum { MANY = 100000 };
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	int nth, left, total, refused = 0;

	EXPECT(fd >= 0);
	faults_prepare();
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(bind_with_fault(fd, MANY, &left), 0);
	total = MANY - left;
	for (nth = 1; bind_with_fault(fd, nth, &left) != -EBUSY; nth++)
		EXPECT(nth < total);
	printf("# bind: %d allocations; the first %d failed in turn\n", total, nth);
	for (nth = total; nth > total - 30; nth--)
		refused += bind_with_fault(fd, nth, &left) != 0;
	printf("# bind: the last 30 failed in turn, %d of them failed the call\n", refused);
	close(fd);
}
