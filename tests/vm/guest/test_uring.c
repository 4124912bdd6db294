// SPDX-License-Identifier: Apache-2.0
/*
 * test_uring.c - a command by io_uring is the same as by the call: results and refusals; a ring of
 * the engine that is full; rings, processes that end under commands.
 */
#include "engine.h"

#define SLOTS 64 /* of the engine's queue */

struct rig {
	int control;
	struct speckv_alloc from, to;
	struct uring ring;
};

static struct rig rig_make(void)
{
	struct rig rig = { .control = control_open() };

	engine_attach(rig.control);
	rig.from = alloc_extent(rig.control, GRANULE);
	rig.to = alloc_extent(rig.control, GRANULE);
	rig.ring = uring_make(128, true);
	return rig;
}

static int32_t result_of(struct rig *rig, struct speckv_cmd cmd, uint64_t *ret_second)
{
	struct uring_end end;

	uring_put(&rig->ring, rig->control, SPECKV_IOC_COMMAND, &cmd, 77);
	EXPECT_EQ(uring_enter(&rig->ring, 1, 1), 1);
	end = uring_take(&rig->ring);
	EXPECT_EQ(end.user, 77);
	*ret_second = end.second;
	return end.result;
}

/* Both ways: the same error, or the same status and results. */
static void expect_same(struct rig *rig, struct speckv_cmd cmd)
{
	struct speckv_cmd called = cmd;
	uint64_t second;
	int32_t result = result_of(rig, cmd, &second);
	int error = command(rig->control, &called) ? errno : 0;

	if (error) {
		EXPECT_EQ(result, -error);
		EXPECT_EQ(second, 0);
		return;
	}
	EXPECT_EQ(result >> SPECKV_RESULT_STATUS_SHIFT, called.status);
	EXPECT_EQ(result & ((1 << SPECKV_RESULT_STATUS_SHIFT) - 1), called.done_bytes);
	if (called.status)
		EXPECT_EQ(second, (uint64_t)called.page << 8 | called.refusal);
	else
		EXPECT_EQ(second, called.checksum);
}

TEST(uring, it_is_the_same_as_the_call)
{
	struct rig rig = rig_make();
	struct speckv_cmd good = copy_of(rig.from, rig.to, MOVED), cmd;
	uint8_t *memory = map_all(rig.control, PROT_READ | PROT_WRITE);

	fill(memory + rig.from.offset, 65536, 3);
	expect_same(&rig, good);
	cmd = good;
	cmd.source_offset = 32;
	expect_same(&rig, cmd);
	cmd = good;
	cmd.target++;
	expect_same(&rig, cmd);
	cmd = good;
	cmd.target_offset = GRANULE;
	expect_same(&rig, cmd);
	cmd = good;
	cmd.opcode = SPECKV_CMD_CANCEL;
	cmd.source = cmd.target = cmd.bytes = 0;
	expect_same(&rig, cmd); /* NOT_FOUND */
	cmd = (struct speckv_cmd){
		.opcode = SPECKV_CMD_ENCODE,
		.source = rig.from.handle,
		.target = rig.to.handle,
		.heads = 1,
		.pages = 1,
		.head_dim = 64,
		.tokens = 16,
		.codec_k = 2,
		.codec_v = 2,
		.bytes = 4224,
	};
	expect_same(&rig, cmd);
	cmd.bytes = 2080 + 64; /* not this, whatever it is */
	expect_same(&rig, cmd);
	for (int i = 0; i < 64; i += 2) /* NaN, all of it: codecs refuse */
		memset(memory + rig.from.offset + i * 64, 0x7f, 128);
	cmd.bytes = 4224;
	expect_same(&rig, cmd);
}

TEST(uring, it_wants_large_entries_and_its_command)
{
	struct rig rig = rig_make();
	struct uring small = uring_make(8, false);
	struct speckv_cmd cmd = { .opcode = SPECKV_CMD_NOP };
	int export = export_new(rig.control, 0, &rig.from.handle, 1);
	int reader = open("/dev/speckv0", O_RDONLY | O_CLOEXEC);
	struct {
		struct uring *ring;
		int control;
		uint32_t command;
		int error;
	} wrong[] = {
		{ &rig.ring, rig.control, SPECKV_IOC_INFO, ENOTTY },
		{ &rig.ring, rig.control, 0, ENOTTY },
		{ &rig.ring, export, SPECKV_IOC_COMMAND, EACCES },
		{ &rig.ring, reader, SPECKV_IOC_COMMAND, EBADF },
		{ &small, rig.control, SPECKV_IOC_COMMAND, EINVAL },
	};
	uint64_t second;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct uring_end end;

		if (wrong[i].ring == &small) {
			/* There are only 64 bytes an entry; the first will do. */
			small.sqes[0] = 0;
			uring_put(&small, wrong[i].control, wrong[i].command, &cmd, i);
		} else {
			uring_put(wrong[i].ring, wrong[i].control, wrong[i].command, &cmd, i);
		}
		EXPECT_EQ(uring_enter(wrong[i].ring, 1, 1), 1);
		end = uring_take(wrong[i].ring);
		EXPECT_EQ(end.user, i);
		EXPECT_EQ(end.result, -wrong[i].error);
	}
	EXPECT_EQ(result_of(&rig, cmd, &second), 0);
}

/* More than the engine holds: they wait, all end; and those that would not wait are told so. */
TEST(uring, a_full_queue)
{
	struct rig rig = rig_make();
	struct speckv_cmd cmd = copy_of(rig.from, rig.to, MOVED);
	int done = 0, refused = 0;

	engine_fault("slow count=all ms=5");
	for (int i = 0; i < 100; i++)
		uring_put(&rig.ring, rig.control, SPECKV_IOC_COMMAND, &cmd, i);
	EXPECT_EQ(uring_enter(&rig.ring, 100, 0), 100);
	for (int i = 0; i < 100; i++)
		EXPECT_EQ(uring_take(&rig.ring).result, MOVED);
	cmd.flags = SPECKV_CMD_NOWAIT;
	for (int i = 0; i < 100; i++)
		uring_put(&rig.ring, rig.control, SPECKV_IOC_COMMAND, &cmd, i);
	EXPECT_EQ(uring_enter(&rig.ring, 100, 0), 100);
	for (int i = 0; i < 100; i++) {
		int32_t result = uring_take(&rig.ring).result;

		done += result == MOVED;
		refused += result == -EAGAIN;
	}
	engine_fault("heal");
	EXPECT_EQ(done + refused, 100);
	EXPECT(done >= SLOTS);
	EXPECT(refused > 0);
	EXPECT_EQ(engine_counter("in_flight"), 0);
}

static void put_and_leave(void *argument)
{
	int how = *(int *)argument;
	struct rig rig = rig_make();
	struct speckv_cmd cmd = copy_of(rig.from, rig.to, MOVED);

	for (int i = 0; i < 20; i++)
		uring_put(&rig.ring, rig.control, SPECKV_IOC_COMMAND, &cmd, i);
	EXPECT_EQ(uring_enter(&rig.ring, 20, 0), 20);
	if (how == 0)
		close(rig.ring.fd);
	else if (how == 1)
		free_extent(rig.control, rig.to.handle);
	else
		kill(getpid(), SIGKILL);
	_exit(0);
}

TEST(uring, rings_and_processes_that_end_under_commands)
{
	engine_fault("slow count=all ms=5");
	for (int how = 0; how < 3; how++)
		reap(spawn(put_and_leave, &how));
	engine_fault("heal");
	EXPECT(engine_counter_becomes("in_flight", 0, 60));
	EXPECT(engine_counter_becomes("lends", 0, 60));
	EXPECT_EQ(engine_counter("timeouts"), 0);
	EXPECT_EQ(engine_counter("lies"), 0);
}
