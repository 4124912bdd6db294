// SPDX-License-Identifier: Apache-2.0
/*
 * test_lifetime.c - an extent lives exactly as long as some file holds it, however processes end,
 * and storms of all calls from many processes leave the counters balanced.
 */
#include <sys/socket.h>
#include <sys/syscall.h>

#include "harness.h"

struct heir {
	int export;
	uint64_t offset;
	struct gate parent_gone, ready;
};

TEST(lifetime, an_export_outlives_its_control_file)
{
	int control = control_open(), other;
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	int export = export_new(control, 0, &extent.handle, 1);
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE),
		*reader = map_all(export, PROT_READ);

	memset(map + extent.offset, 0x29, GRANULE);
	munmap(map, device_bytes);
	close(control);
	other = control_open();
	EXPECT_EQ(peek(reader + extent.offset + 77), 0x29);
	EXPECT_EQ(stat_of(other, -1).used_bytes, GRANULE);
	close(export); /* the mapping is a file too */
	EXPECT_EQ(stat_of(other, -1).used_bytes, GRANULE);
	munmap(reader, device_bytes);
	EXPECT_EQ(stat_of(other, -1).used_bytes, 0);
}

TEST(lifetime, a_descriptor_on_its_way_holds_too)
{
	int control = control_open(), pair[2], other = control_open();
	struct speckv_alloc extent = alloc_extent(control, GRANULE);
	int export = export_new(control, 0, &extent.handle, 1);

	memset(map_all(control, PROT_READ | PROT_WRITE) + extent.offset, 0x2a, GRANULE);
	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	EXPECT_EQ(send_fd(pair[0], export), 0);
	close(export);
	EXPECT_EQ(peek(map_all(receive_fd(pair[1]), PROT_READ) + extent.offset), 0x2a);
	EXPECT_EQ(send_fd(pair[0], control), 0);
	close(control);
	close(pair[0]);
	close(pair[1]);					  /* nobody will ever receive it */
	EXPECT(stat_of(other, -1).used_bytes == GRANULE); /* our mappings */
}

static void keep_and_hand_over(void *argument)
{
	int *pair = argument, control = control_open();
	struct speckv_alloc request = { .bytes = 3 * GRANULE,
					.cookie = 0xbeef,
					.timeout_ms = 60000 };

	EXPECT_EQ(ioctl(control, SPECKV_IOC_ALLOC, &request), 0);
	memset(map_all(control, PROT_READ | PROT_WRITE) + request.offset, 0x2b, request.bytes);
	EXPECT_EQ(send_fd(pair[1], control), 0);
	raise(SIGKILL);
}

TEST(lifetime, a_daemon_finds_its_pool_again_after_kill_9)
{
	int pair[2], control;
	struct speckv_extent_entry entry;
	struct speckv_list list = { .count = 1, .entries = (uintptr_t)&entry };

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	control_open();
	EXPECT_EQ(reap(spawn(keep_and_hand_over, pair)), 128 + SIGKILL);
	control = receive_fd(pair[0]);
	EXPECT_EQ(ioctl(control, SPECKV_IOC_LIST, &list), 0);
	EXPECT_EQ(list.count, 1);
	EXPECT_EQ(entry.cookie, 0xbeef);
	EXPECT_EQ(entry.bytes, 3 * GRANULE);
	uint8_t *map = map_all(control, PROT_READ);

	EXPECT_EQ(peek(map + entry.offset + entry.bytes - 1), 0x2b);
	free_extent(control, entry.handle);
}

enum state { ALLOCATED, MAPPED, EXPORTED, WRITING, PINNED, WAITING, STATES };

struct victim {
	enum state state;
	struct gate there;
};

static void reach_state(void *argument)
{
	struct victim *victim = argument;
	int control = control_open(), ring;
	struct speckv_alloc extent = alloc_extent(control, 4 * GRANULE);
	uint8_t *map = NULL;

	if (victim->state >= MAPPED)
		map = map_all(control, PROT_READ | PROT_WRITE);
	if (victim->state >= EXPORTED)
		map_all(export_new(control, 0, &extent.handle, 1), PROT_READ);
	if (victim->state == PINNED) {
		ring = ring_make();
		EXPECT_EQ(ring_register(ring, map + extent.offset, extent.bytes), 0);
	}
	gate_open(&victim->there);
	while (victim->state == WRITING)
		memset(map + extent.offset, rand(), extent.bytes);
	while (victim->state == WAITING) {
		struct speckv_alloc big = { .bytes = device_bytes / 2, .timeout_ms = 60000 };

		if (!ioctl(control, SPECKV_IOC_ALLOC, &big))
			free_extent(control, big.handle);
	}
	pause();
}

TEST(lifetime, kill_9_in_every_state_gives_all_back)
{
	int control = control_open();

	for (int state = 0; state < STATES; state++) {
		struct victim victim = { .state = state };
		pid_t child;

		gate_make(&victim.there);
		child = spawn(reach_state, &victim);
		gate_wait(&victim.there);
		usleep(20000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		wait_until_clean(control);
	}
}

TEST(lifetime, the_module_stays_while_a_file_is_open)
{
	control_open();
	EXPECT_ERRNO(syscall(SYS_delete_module, "speckv", O_NONBLOCK), EAGAIN);
}

struct storm {
	unsigned int seed;
	int turns;
};

/* Any call at any time, on what this process has; failures are part of it. */
static void storm_step(int control, uint8_t *map, uint64_t *handles, int *exports)
{
	int slot = rand() % 8;
	struct speckv_alloc alloc = { .bytes = (1 + rand() % 4) * GRANULE,
				      .timeout_ms = rand() % 50 };
	struct speckv_free request = { .handle = handles[slot] };
	struct speckv_export export = {
		.flags = SPECKV_EXPORT_NEW | (rand() % 2 ? SPECKV_EXPORT_WRITE : 0),
		.fd = -1,
		.handles = (uintptr_t)&handles[slot],
		.count = 1,
	};

	switch (rand() % 6) {
	case 0:
	case 1:
		if (!handles[slot] && !ioctl(control, SPECKV_IOC_ALLOC, &alloc)) {
			handles[slot] = alloc.handle;
			EXPECT_EQ(map[alloc.offset], 0);
			map[alloc.offset] = 1;
		}
		break;
	case 2:
		ioctl(control, SPECKV_IOC_FREE, &request);
		handles[slot] = 0;
		break;
	case 3:
		if (exports[slot] >= 0)
			close(exports[slot]);
		exports[slot] = ioctl(control, SPECKV_IOC_EXPORT, &export) ? -1 : export.fd;
		break;
	case 4:
		if (exports[slot] >= 0)
			export_change(control, exports[slot],
				      rand() % 2 ? SPECKV_EXPORT_ADD : SPECKV_EXPORT_DROP,
				      handles[rand() % 8]);
		break;
	default:
		if (exports[slot] >= 0) {
			uint8_t *reader = map_all(exports[slot], PROT_READ);

			peek(reader + (uint64_t)(rand() % 256) * GRANULE % device_bytes);
			munmap(reader, device_bytes);
		}
	}
}

static void storm(void *argument)
{
	struct storm *storm = argument;
	int control = control_open();
	uint8_t *map = map_all(control, PROT_READ | PROT_WRITE);
	uint64_t handles[8] = { 0 };
	int exports[8];

	memset(exports, -1, sizeof(exports));
	srand(storm->seed);
	for (int turn = 0; turn < storm->turns; turn++)
		storm_step(control, map, handles, exports);
	if (storm->seed % 2)
		raise(SIGKILL);
}

TEST(lifetime, storms_from_many_processes_balance)
{
	enum { PROCESSES = 8 };
	pid_t children[PROCESSES];
	struct storm storms[PROCESSES];

	for (int i = 0; i < PROCESSES; i++) {
		storms[i] = (struct storm){ .seed = 4711 + i, .turns = 150 };
		children[i] = spawn(storm, &storms[i]);
	}
	for (int i = 0; i < PROCESSES; i++)
		EXPECT_EQ(reap(children[i]), storms[i].seed % 2 ? 128 + SIGKILL : 0);
	wait_until_clean(control_open());
}
