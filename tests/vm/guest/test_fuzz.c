// SPDX-License-Identifier: Apache-2.0
/*
 * test_fuzz.c - a seeded grammar fuzzer: processes that share some descriptors make random calls
 * on them (open, ioctl, mmap, mremap, pin, fork, kill, close, poison, unbind), mostly well formed.
 * The oracle is the kernel's silence, the frame's balance after the storm, and that a process never
 * sees a byte but zeros and those it wrote itself. FUZZ_SEED and FUZZ_OPERATIONS in the
 * environment; both are printed, and the sum of what was done.
 *
 * Not in the short suite; `vm-test fuzz` runs it, and `vm-test --debug` on a kernel with KASAN.
 */
#include <sys/uio.h>

#include "harness.h"

enum { SLOTS = 12, PROCESSES = 6 };

struct slot {
	int fd;
	bool is_control;
	uint64_t handle, offset, bytes;
	uint8_t *map;
	size_t map_bytes;
	int ring;
};

struct player {
	struct slot slots[SLOTS];
	unsigned long operations;
	uint64_t random;
	bool is_child;
	uint8_t mark; /* what it and its children write; nobody else may ever see it */
};

/* What all processes did together. */
static unsigned long *done;
static uint64_t random_state;

/* splitmix64: one state word, so that a seed is all there is to know. */
static uint64_t random_next(void)
{
	uint64_t word = random_state += 0x9e3779b97f4a7c15;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
	word = (word ^ word >> 27) * 0x94d049bb133111eb;
	return word ^ word >> 31;
}

static uint64_t pick(uint64_t below)
{
	return random_next() % below;
}

static struct slot *any(struct player *player)
{
	return &player->slots[pick(SLOTS)];
}

static void slot_close(struct slot *slot)
{
	if (slot->map)
		munmap(slot->map, slot->map_bytes);
	if (slot->ring >= 0)
		close(slot->ring);
	if (slot->fd >= 0)
		close(slot->fd);
	*slot = (struct slot){ .fd = -1, .ring = -1 };
}

static void op_open(struct player *player)
{
	struct slot *slot = any(player);

	slot_close(slot);
	slot->fd = open("/dev/speckv0", pick(8) ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC);
	slot->is_control = true;
}

static void op_alloc(struct player *player)
{
	struct slot *slot = any(player);
	struct speckv_alloc request = {
		/* Mostly small: most of the time would go into zeroing. */
		.bytes = pick(8)   ? GRANULE
			 : pick(4) ? pick(9) * GRANULE
				   : pick(~0ULL),
		.cookie = pick(~0ULL),
		.timeout_ms = pick(20),
	};

	if (pick(50) == 0)
		request.flags = (uint32_t)pick(1ULL << 32);
	if (!slot->is_control || ioctl(slot->fd, SPECKV_IOC_ALLOC, &request))
		return;
	slot->handle = request.handle;
	slot->offset = request.offset;
	slot->bytes = request.bytes;
}

static void op_free(struct player *player)
{
	struct slot *slot = any(player);
	struct speckv_free request = { .handle = pick(10) ? slot->handle : pick(~0ULL) };

	ioctl(slot->fd, SPECKV_IOC_FREE, &request);
}

static void op_export(struct player *player)
{
	struct slot *from = any(player), *to = any(player);
	uint64_t handles[2] = { from->handle, any(player)->handle };
	uint32_t verb = 1U << pick(3);
	struct speckv_export request = {
		.flags = verb | (pick(4) ? 0 : SPECKV_EXPORT_WRITE),
		.fd = verb == SPECKV_EXPORT_NEW ? -1 : to->fd,
		.handles = (uintptr_t)handles,
		.count = (uint32_t)pick(3),
	};

	if (!request.count)
		request.handles = 0;
	if (ioctl(from->fd, SPECKV_IOC_EXPORT, &request) || verb != SPECKV_EXPORT_NEW)
		return;
	slot_close(to);
	to->fd = request.fd;
	to->offset = from->offset;
	to->bytes = from->bytes;
}

static void op_map(struct player *player)
{
	struct slot *slot = any(player);
	int protection = pick(3) ? PROT_READ | PROT_WRITE : PROT_READ;
	size_t bytes = pick(2) ? device_bytes : (1 + pick(16)) * GRANULE;
	void *map = mmap(NULL, bytes, protection, pick(20) ? MAP_SHARED : MAP_PRIVATE, slot->fd, 0);

	if (map == MAP_FAILED)
		return;
	if (slot->map)
		munmap(slot->map, slot->map_bytes);
	slot->map = map;
	slot->map_bytes = bytes;
}

static void op_touch(struct player *player)
{
	struct slot *slot = any(player);
	uint64_t at = pick(4) ? slot->offset + pick(GRANULE) : pick(device_bytes);

	int seen;

	if (!slot->map || at >= slot->map_bytes)
		return;
	if (pick(2)) {
		poke(slot->map + at, player->mark);
		return;
	}
	seen = peek(slot->map + at);
	if (seen > 0 && seen != player->mark) {
		printf("# process %u sees %#x at %#llx\n", player->mark, seen,
		       (unsigned long long)at);
		fflush(stdout);
		_exit(1);
	}
}

static void op_bend_map(struct player *player)
{
	struct slot *slot = any(player);
	uint64_t at = pick(64) * GRANULE;

	if (!slot->map || at + GRANULE > slot->map_bytes)
		return;
	switch (pick(5)) {
	case 0:
		munmap(slot->map + at, pick(2) ? GRANULE : 4096);
		break;
	case 1:
		mprotect(slot->map + at, GRANULE, (int)pick(8));
		break;
	case 2:
		madvise(slot->map + at, GRANULE, pick(2) ? MADV_DONTNEED : MADV_WILLNEED);
		break;
	case 3:
		mremap(slot->map + at, GRANULE, GRANULE * pick(3), MREMAP_MAYMOVE);
		break;
	default:
		mlock(slot->map + at, 4096);
	}
}

static void op_pin(struct player *player)
{
	struct slot *slot = any(player);
	struct iovec page = { slot->map + slot->offset, 4096 };
	int ends[2];

	if (!slot->map || slot->offset + 4096 > slot->map_bytes)
		return;
	if (slot->ring >= 0) {
		close(slot->ring);
		slot->ring = -1;
	} else if (pick(2)) {
		slot->ring = ring_make();
		ring_register(slot->ring, page.iov_base, pick(2) ? 4096 : GRANULE);
	} else if (!pipe2(ends, O_NONBLOCK)) {
		vmsplice(ends[1], &page, 1, SPLICE_F_GIFT | SPLICE_F_NONBLOCK);
		close(ends[0]);
		close(ends[1]);
	}
}

static void op_look(struct player *player)
{
	struct slot *slot = any(player);
	struct speckv_stat stat = { .fd = pick(2) ? -1 : any(player)->fd };
	struct speckv_extent_entry entries[4];
	struct speckv_list list = {
		.count = 1 + pick(4),
		.entries = (uintptr_t)entries,
		.start_offset = pick(~0ULL),
	};
	uint8_t marks[64];
	struct iovec here = { marks, 64 }, there = { slot->map, 64 };

	memset(marks, player->mark, sizeof(marks));
	ioctl(slot->fd, SPECKV_IOC_STAT, &stat);
	ioctl(slot->fd, SPECKV_IOC_LIST, &list);
	process_vm_writev(getppid(), &here, 1, &there, 1, 0);
}

/* Any call of ours with any bytes, half of them zeros. */
static void op_garbage(struct player *player)
{
	static const unsigned long commands[] = {
		SPECKV_IOC_INFO, SPECKV_IOC_ALLOC, SPECKV_IOC_FREE,   SPECKV_IOC_EXPORT,
		SPECKV_IOC_STAT, SPECKV_IOC_LIST,  SPECKV_IOC_POISON, 0xEBEB,
	};
	uint64_t words[32];

	for (size_t i = 0; i < 32; i++)
		words[i] = pick(2) ? random_next() : 0;
	/* Well formed garbage would poison the whole card sooner or later. */
	if (words[0] & SPECKV_POISON_MARK)
		words[0] ^= SPECKV_POISON_MARK;
	ioctl(any(player)->fd, commands[pick(8)], words);
}

static void op_poison(struct player *player)
{
	struct slot *slot = any(player);
	struct speckv_poison request = {
		.flags = SPECKV_POISON_MARK,
		.offset = pick(device_bytes),
		.bytes = 1,
	};

	ioctl(slot->fd, SPECKV_IOC_POISON, &request);
}

static void play(struct player *player, unsigned long operations);

static void op_fork(struct player *player)
{
	uint64_t seed = random_next();
	pid_t child = fork();
	int status;

	if (!child) {
		random_state = seed;
		player->is_child = true;
		play(player, 20 + pick(100));
		_exit(0);
	}
	if (child < 0)
		return;
	if (pick(2))
		kill(child, SIGKILL);
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(1);
}

/* Unbinding waits for pins: not while this process holds one, or its parent, which waits for it. */
static void op_rebind(struct player *player)
{
	if (player->is_child)
		return;
	for (int i = 0; i < SLOTS; i++) {
		if (player->slots[i].ring >= 0)
			close(player->slots[i].ring);
		player->slots[i].ring = -1;
	}
	if (region_unbind())
		return;
	write_file("/sys/bus/dax/drivers/speckv/bind", "dax0.0");
}

static void play(struct player *player, unsigned long operations)
{
	/* What takes a memory's zeroing or a ring's making is rarer than what takes a look. */
	static void (*const calls[])(struct player *) = {
		op_open,   op_alloc,  op_alloc,	  op_free,     op_free,	    op_free,	op_export,
		op_export, op_export, op_map,	  op_map,      op_touch,    op_touch,	op_touch,
		op_touch,  op_touch,  op_touch,	  op_bend_map, op_bend_map, op_pin,	op_look,
		op_look,   op_look,   op_garbage, op_garbage,  op_garbage,  op_garbage, op_garbage,
	};

	while (operations--) {
		uint64_t choice = pick(1000);

		__atomic_add_fetch(done, 1, __ATOMIC_RELAXED);
		if (choice < 2)
			op_fork(player);
		else if (choice == 4 && !pick(80))
			op_rebind(player);
		else if (choice == 5 && !pick(20))
			op_poison(player);
		else if (choice < 30)
			slot_close(any(player));
		else
			calls[pick(sizeof(calls) / sizeof(calls[0]))](player);
	}
}

static void play_alone(void *argument)
{
	struct player *player = argument;

	for (int i = 0; i < SLOTS; i++)
		player->slots[i] = (struct slot){ .fd = -1, .ring = -1 };
	random_state = player->random;
	alarm(0);
	play(player, player->operations);
}

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoul(text, NULL, 0) : otherwise;
}

/* Says every so often how far it is, until all children have ended; true if all ended well. */
static bool watch(pid_t *children, unsigned long operations)
{
	unsigned long said = 0;
	int running = PROCESSES, status;
	bool good = true;

	while (running) {
		pid_t child = waitpid(-1, &status, WNOHANG);

		for (int i = 0; child > 0 && i < PROCESSES; i++) {
			if (children[i] != child)
				continue;
			running--;
			good = good && WIFEXITED(status) && !WEXITSTATUS(status);
		}
		if (*done >= said + operations / 20) {
			said = *done;
			printf("# fuzz: %lu operations\n", said);
		}
		usleep(100000);
	}
	return good;
}

TEST_BALANCED(fuzz, random_calls_from_many_processes, BALANCE_NONE)
{
	unsigned long seed = from_environment("FUZZ_SEED", 1);
	unsigned long operations = from_environment("FUZZ_OPERATIONS", 60000);
	struct player players[PROCESSES];
	pid_t children[PROCESSES];

	printf("# FUZZ_SEED=%lu FUZZ_OPERATIONS=%lu\n", seed, operations);
	close(control_open());
	alarm(0);
	done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(done != MAP_FAILED);
	random_state = seed;
	for (int i = 0; i < PROCESSES; i++) {
		players[i].operations = operations / PROCESSES;
		players[i].random = random_next();
		players[i].mark = (uint8_t)(i + 1);
		players[i].is_child = false;
		children[i] = spawn(play_alone, &players[i]);
	}
	EXPECT(watch(children, operations));
	printf("# fuzz: %lu operations in all\n", *done);
	EXPECT_EQ(region_ensure(), 0);
	wait_until_clean(control_open());
}
