// SPDX-License-Identifier: Apache-2.0
/*
 * test_attack.c - a client that means harm, or is only slow: it may wait for memory in a fault,
 * have 20,000 mappings, keep a page for ever, call itself what it likes and put its own page tables
 * below ours; the daemon and the other clients must not notice, and the operator must learn who it
 * is. Asserts on stacks and counts, never on time.
 */
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "harness.h"

#define CGROUPS "/tmp/cgroups"
#define DEBUG "/sys/kernel/debug/speckv/speckv0/"

static void *shared_page(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(page != MAP_FAILED);
	return page;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

struct populating {
	int export;
	volatile uint64_t *rounds;
};

/* Over its memory.high this process sleeps in whatever allocates for it. */
static void populate_for_ever(void *argument)
{
	struct populating *populating = argument;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	EXPECT_EQ(write_file(CGROUPS "/high/cgroup.procs", pid), 0);
	become(UID_ONE);
	for (;;) {
		uint8_t *map = map_all(populating->export, PROT_READ);

		madvise(map, device_bytes, MADV_POPULATE_READ);
		munmap(map, device_bytes);
		++*populating->rounds;
	}
}

/* Whoever sleeps in our fault may sleep under its lock, and then everybody waits. */
TEST(attack, a_client_that_waits_for_memory_does_not_wait_in_our_fault)
{
	int control = control_open();
	struct populating populating = { export_new(control, 0, NULL, 0), shared_page() };
	char path[64], text[4096];
	pid_t child;

	mkdir(CGROUPS, 0755);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL) ||
	    write_file(CGROUPS "/cgroup.subtree_control", "+memory")) {
		printf("# this kernel has no memory controller\n");
		return;
	}
	mkdir(CGROUPS "/high", 0755);
	EXPECT_EQ(write_file(CGROUPS "/high/memory.high", "262144"), 0);
	child = spawn(populate_for_ever, &populating);
	snprintf(path, sizeof(path), "/proc/%d/stack", child);
	while (*populating.rounds < 20) {
		text[0] = 0;
		read_file(path, text, sizeof(text));
		if (strstr(text, "speckv_") &&
		    (strstr(text, "mem_cgroup") || strstr(text, "pte_alloc"))) {
			printf("# it sleeps in our fault: %s\n", text);
			end(child);
			EXPECT(false);
		}
		usleep(500);
	}
	end(child);
	/* It did fault: by holes of 2 MiB, one for each granule and round. */
	EXPECT(stat_of(control, populating.export).faults_zero >= 20 * device_bytes / GRANULE);
}

static int try_alloc(int control, uint32_t flags, uint64_t offset, uint64_t bytes,
		     struct speckv_alloc *ret)
{
	*ret = (struct speckv_alloc){ .bytes = bytes, .flags = flags, .offset = offset };
	return ioctl(control, SPECKV_IOC_ALLOC, ret) ? errno : 0;
}

static void wait_for_zeroing(int control)
{
	while (stat_of(control, -1).dirty_bytes)
		usleep(2000);
}

TEST(attack, a_run_that_is_there_is_given)
{
	int control = control_open();
	struct speckv_alloc one, rest;
	uint64_t sizes[] = { device_bytes, device_bytes - GRANULE, device_bytes / 4 * 3,
			     device_bytes / 2 + GRANULE };

	wait_until_clean(control);
	for (int i = 0; i < 4; i++) {
		uint64_t bytes = sizes[i] / GRANULE * GRANULE;

		EXPECT_EQ(stat_of(control, -1).longest_bytes, device_bytes);
		EXPECT_EQ(try_alloc(control, 0, 0, bytes, &rest), 0);
		EXPECT_EQ(stat_of(control, -1).longest_bytes, device_bytes - bytes);
		free_extent(control, rest.handle);
		wait_for_zeroing(control);
	}
	one = alloc_extent(control, GRANULE);
	EXPECT_EQ(try_alloc(control, 0, 0, device_bytes - GRANULE, &rest), 0);
	EXPECT_EQ(rest.offset, GRANULE);
	free_extent(control, one.handle);
}

struct hold_page {
	int export, control;
	uint64_t offset;
	struct gate held, let_go;
};

static void hold_in_pipe(void *argument)
{
	struct hold_page *hold = argument;
	uint8_t *map;
	int ends[2];

	close(hold->control);
	become(UID_ONE);
	map = map_all(hold->export, PROT_READ);
	struct iovec page = { map + hold->offset, 1 };

	EXPECT_EQ(pipe(ends), 0);
	EXPECT_EQ(vmsplice(ends[1], &page, 1, 0), 1);
	munmap(map, device_bytes);
	close(hold->export);
	gate_open(&hold->held);
	gate_wait(&hold->let_go);
}

/* A reader of uid 1001 that keeps one byte of the pool, and has nothing else of it open. */
static pid_t hold_begin(struct hold_page *hold, int control, const struct speckv_alloc *pool,
			uint64_t at)
{
	pid_t child;

	*hold = (struct hold_page){ .control = control, .offset = pool->offset + at };
	hold->export = export_new(control, 0, &pool->handle, 1);
	gate_make(&hold->held);
	gate_make(&hold->let_go);
	child = spawn(hold_in_pipe, hold);
	gate_wait(&hold->held);
	return child;
}

static void hold_end(struct hold_page *hold, pid_t child)
{
	gate_open(&hold->let_go);
	EXPECT_EQ(reap(child), 0);
}

static void expect_blamed(int control, pid_t child)
{
	char text[4096] = "", who[64], charged[128];
	struct speckv_stat stat;

	while (!stat_of(control, -1).quarantined_bytes)
		usleep(2000);
	stat = stat_of(control, -1);
	EXPECT_EQ(stat.pinner_uid, UID_ONE);
	EXPECT_EQ(stat.pinner_pid, child);
	EXPECT_EQ(stat.pinner_bytes, GRANULE);
	snprintf(who, sizeof(who), "retired pid=%d uid=1001 ", child);
	EXPECT(read_file(DEBUG "extents", text, sizeof(text)) > 0);
	EXPECT(strstr(text, who));
	snprintf(charged, sizeof(charged), "uid=1001 pid=%d bytes=2097152 ", child);
	EXPECT(read_file("/sys/class/speckv/speckv0/pinned_by", text, sizeof(text)) > 0);
	EXPECT(strstr(text, charged));
}

TEST(attack, who_keeps_a_page_is_named_after_all_was_closed)
{
	int control = control_open();
	struct speckv_alloc pool = alloc_extent(control, GRANULE);
	struct hold_page hold;
	pid_t child = hold_begin(&hold, control, &pool, 4096);

	close(control); /* the daemon stops; the reader's export is the last to go */
	close(hold.export);
	control = control_open();
	expect_blamed(control, child);
	hold_end(&hold, child);
}

TEST(attack, who_keeps_a_page_is_named_after_a_drop)
{
	int control = control_open(), next;
	struct speckv_alloc pool = alloc_extent(control, GRANULE);
	struct hold_page hold;
	pid_t child = hold_begin(&hold, control, &pool, 0);

	free_extent(control, pool.handle);
	next = control_open();
	expect_blamed(next, child);
	hold_end(&hold, child);
}

/* What a daemon does that starts again: the same place, but for what is kept from it. */
TEST(attack, a_granule_that_is_kept_costs_a_granule)
{
	int control = control_open(), export;
	struct speckv_alloc pool, left, right;
	struct hold_page hold;
	uint64_t bytes = device_bytes / 4 * 3, middle = bytes / 2 / GRANULE * GRANULE, handles[2];
	uint8_t *map;
	pid_t child;

	wait_until_clean(control);
	EXPECT_EQ(try_alloc(control, 0, 0, bytes, &pool), 0);
	child = hold_begin(&hold, control, &pool, middle + 4096);
	close(hold.export);
	close(control);
	control = control_open();
	wait_for_zeroing(control);
	EXPECT_EQ(stat_of(control, -1).quarantined_bytes, GRANULE);
	EXPECT_EQ(try_alloc(control, SPECKV_ALLOC_AT, pool.offset, bytes, &left), ENOSPC);
	EXPECT_EQ(try_alloc(control, SPECKV_ALLOC_AT, pool.offset, middle, &left), 0);
	EXPECT_EQ(try_alloc(control, SPECKV_ALLOC_AT, pool.offset + middle + GRANULE,
			    bytes - middle - GRANULE, &right),
		  0);
	handles[0] = left.handle;
	handles[1] = right.handle;
	export = export_new(control, 0, handles, 2);
	map = map_all(control, PROT_READ | PROT_WRITE);
	map[right.offset] = 7;
	map[left.offset + left.bytes - 1] = 6;
	map = map_all(export, PROT_READ);
	EXPECT_EQ(peek(map + right.offset), 7);
	EXPECT_EQ(peek(map + right.offset - 1), 0); /* the hole */
	EXPECT_EQ(peek(map + right.offset - GRANULE - 1), 6);
	hold_end(&hold, child);
}

static long status_kb(const char *name)
{
	char text[8192], *at;

	EXPECT(read_file("/proc/self/status", text, sizeof(text)) > 0);
	at = strstr(text, name);
	EXPECT(at != NULL);
	return strtol(at + strlen(name), NULL, 10);
}

TEST(attack, holes_are_nobodys_memory)
{
	int control = control_open(), export = export_new(control, 0, NULL, 0);
	long before = status_kb("RssFile:"), tables = status_kb("VmPTE:");

	for (int turn = 0; turn < 3; turn++) {
		uint8_t *map = map_all(export, PROT_READ);

		for (uint64_t at = 0; at < 64 * GRANULE; at += 65536)
			EXPECT_EQ(map[at], 0);
	}
	EXPECT(status_kb("RssFile:") - before < 1024);
	EXPECT(status_kb("VmPTE:") - tables < 64);
	EXPECT_EQ(stat_of(control, export).faults_zero, 3 * 64);
}

TEST(attack, a_hole_can_be_read_by_the_kernel)
{
	int control = control_open(), ends[2];
	uint8_t *map = map_all(export_new(control, 0, NULL, 0), PROT_READ), seen[4096];
	struct iovec page = { map + 3 * GRANULE + 8192, 4096 };

	memset(seen, 1, sizeof(seen));
	EXPECT_EQ(pipe(ends), 0);
	EXPECT_EQ(vmsplice(ends[1], &page, 1, 0), 4096);
	EXPECT_EQ(read(ends[0], seen, 4096), 4096);
	EXPECT_EQ(seen[0] | seen[4095], 0);
}

static void expect_huge(uint8_t *reader, int control, int export, const struct speckv_alloc *extent)
{
	struct speckv_stat before = stat_of(control, export), after;

	for (uint64_t at = 0; at < extent->bytes; at += 4096)
		EXPECT_EQ(peek(reader + extent->offset + at), 0);
	after = stat_of(control, export);
	EXPECT_EQ(after.faults_huge - before.faults_huge, extent->bytes / GRANULE);
}

TEST(attack, a_hole_once_touched_becomes_huge)
{
	int control = control_open(), export = export_new(control, 0, NULL, 0);
	uint8_t *reader = map_all(export, PROT_READ);
	struct speckv_alloc extent = alloc_extent(control, 4 * GRANULE);

	for (uint64_t at = 0; at < extent.bytes; at += GRANULE)
		EXPECT_EQ(peek(reader + extent.offset + at), 0);
	EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_ADD, extent.handle), 0);
	expect_huge(reader, control, export, &extent);
	EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_DROP, extent.handle), 0);
	EXPECT_EQ(export_change(control, export, SPECKV_EXPORT_ADD, extent.handle), 0);
	expect_huge(reader, control, export, &extent);
	/* Nor is there another way for who wants small pages: it is the device's memory. */
	EXPECT_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	expect_huge(map_all(export, PROT_READ), control, export, &extent);
	EXPECT_EQ(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
}

/* Markers of userfaultfd would be a page table where our entries go: refused, or else SIGBUS. */
TEST(attack, nobody_has_a_page_table_in_our_place)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	uint8_t *at = map_all(control, PROT_READ | PROT_WRITE) + extent.offset;
	int faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED };
	struct uffdio_register area = { .range = { (uintptr_t)at, GRANULE },
					.mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = { (uintptr_t)at, GRANULE },
					       .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	if (faults < 0 || ioctl(faults, UFFDIO_API, &api)) {
		printf("# this kernel has no such userfaultfd: %s\n", strerror(errno));
		return;
	}
	if (ioctl(faults, UFFDIO_REGISTER, &area)) {
		EXPECT_EQ(errno, EINVAL);
		EXPECT_EQ(poke(at, 1), 0);
		return;
	}
	EXPECT_EQ(ioctl(faults, UFFDIO_WRITEPROTECT, &protect), 0);
	EXPECT_EQ(poke(at, 1), SEEN_BUS(BUS_ADRERR));
	EXPECT_EQ(peek(at + GRANULE / 2), SEEN_BUS(BUS_ADRERR));
}

enum { MAPS = 20000, DROPS = 20 };

struct flood {
	int export;
	uint64_t offset;
	struct gate ready, let_go;
	volatile uint64_t *calls;
};

static void map_many_times(void *argument)
{
	struct flood *flood = argument;

	become(UID_ONE);
	for (int i = 0; i < MAPS; i++)
		EXPECT(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, flood->export,
			    (off_t)flood->offset) != MAP_FAILED);
	gate_open(&flood->ready);
	gate_wait(&flood->let_go);
}

/* With pauses: who asks without any keeps the others from the lock himself. */
static void ask_for_ever(void *argument)
{
	struct flood *flood = argument;

	gate_open(&flood->ready);
	for (;;) {
		struct speckv_info info = { 0 };

		EXPECT_EQ(ioctl(flood->export, SPECKV_IOC_INFO, &info), 0);
		++*flood->calls;
		usleep(50);
	}
}

/* While one process' many mappings are walked, the others' calls go on: not one, but many. */
TEST(attack, many_mappings_keep_nobody_waiting)
{
	int control = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	struct flood flood = { .offset = extent.offset, .calls = shared_page() };
	pid_t mapper, asker;
	uint64_t meanwhile = 0;

	flood.export = export_new(control, 0, &extent.handle, 1);
	gate_make(&flood.ready);
	gate_make(&flood.let_go);
	mapper = spawn(map_many_times, &flood);
	gate_wait(&flood.ready);
	asker = spawn(ask_for_ever, &flood);
	gate_wait(&flood.ready);
	for (int i = 0; i < DROPS; i++) {
		uint64_t before = *flood.calls;

		EXPECT_EQ(export_change(control, flood.export, SPECKV_EXPORT_DROP, extent.handle),
			  0);
		meanwhile += *flood.calls - before;
		EXPECT_EQ(export_change(control, flood.export, SPECKV_EXPORT_ADD, extent.handle),
			  0);
	}
	printf("# in %d DROPs %llu calls of another went through\n", DROPS,
	       (unsigned long long)meanwhile);
	end(asker);
	gate_open(&flood.let_go);
	EXPECT_EQ(reap(mapper), 0);
	EXPECT(meanwhile >= 10 * DROPS);
}

TEST(attack, a_name_makes_no_lines)
{
	char text[4096] = "";

	EXPECT_EQ(prctl(PR_SET_NAME, "a\nroot \\pid=1", 0, 0, 0), 0);
	control_open();
	EXPECT(read_file(DEBUG "files", text, sizeof(text)) > 0);
	EXPECT(strstr(text, "comm=a\\x0aroot\\x20\\x5cpid=1 "));
}

/* A container has a node of its own; its number must not lead to a region that is no more. */
TEST_BALANCED(attack, a_number_is_not_given_twice_while_it_is_open, BALANCE_NONE)
{
	struct stat before, after;
	int control = control_open(), export = export_new(control, 0, NULL, 0);

	EXPECT_EQ(stat("/dev/speckv0", &before), 0);
	close(control); /* the daemon ends; a client stays */
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(region_bind(), 0);
	EXPECT_EQ(stat("/dev/speckv0", &after), 0);
	EXPECT(after.st_rdev != before.st_rdev);
	close(control_open());
	close(export);
	EXPECT_EQ(region_unbind(), 0);
	EXPECT_EQ(region_bind(), 0);
	EXPECT_EQ(stat("/dev/speckv0", &after), 0);
	EXPECT(after.st_rdev == before.st_rdev);
}
