// SPDX-License-Identifier: Apache-2.0
/*
 * test_fault.c - an engine that does wrong, is reset, unbound, or taken away, with commands under
 * way: each command ends once, nothing stays lent, and where the engine comes back the next command
 * works.
 */
#include "load.h"

#define RESETS 12 /* RESETS in the environment is another number */

struct pool {
	int control;
	struct speckv_alloc from, to;
	uint8_t *memory;
};

/* Nothing is left of what was freed. */
static void wait_until_settled(int control)
{
	struct speckv_stat stat;

	do {
		usleep(2000);
		stat = stat_of(control, -1);
	} while (stat.dirty_bytes || stat.quarantined_bytes);
}

static struct pool pool_make(void)
{
	struct pool pool = { .control = control_open() };

	engine_fault("heal"); /* of a test that failed */
	wait_until_settled(pool.control);
	engine_attach(pool.control);
	pool.from = alloc_extent(pool.control, GRANULE);
	pool.to = alloc_extent(pool.control, GRANULE);
	pool.memory = map_all(pool.control, PROT_READ | PROT_WRITE);
	fill(pool.memory + pool.from.offset, MOVED, 5);
	return pool;
}

static struct speckv_cmd copy_soon(const struct pool *pool, uint32_t timeout_ms)
{
	struct speckv_cmd cmd = copy_of(pool->from, pool->to, MOVED);

	cmd.timeout_ms = timeout_ms;
	return cmd;
}

/* A command that works, after something that did not. */
static void expect_works(const struct pool *pool)
{
	struct speckv_cmd cmd = copy_of(pool->from, pool->to, MOVED);

	EXPECT(engine_becomes("live", 60));
	memset(pool->memory + pool->to.offset, 0, MOVED);
	EXPECT_EQ(command(pool->control, &cmd) ? errno : 0, 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	EXPECT_EQ(memcmp(pool->memory + pool->from.offset, pool->memory + pool->to.offset, MOVED),
		  0);
	EXPECT_EQ(engine_counter("in_flight"), 0);
}

/* One fault: how the command under it ends, and which counter tells. */
static void meet(const struct pool *pool, const char *fault, int error, const char *counter)
{
	struct speckv_cmd cmd = copy_soon(pool, 300);
	uint64_t before = engine_counter(counter), resets = engine_counter("resets");

	printf("# fault: %s\n", fault);
	engine_fault(fault);
	EXPECT_ERRNO(command(pool->control, &cmd), error);
	engine_fault("heal");
	EXPECT_EQ(engine_counter(counter), before + 1);
	expect_works(pool);
	EXPECT_EQ(engine_counter("resets"), resets + 1);
}

TEST(fault, what_it_does_wrong_costs_a_reset_and_no_more)
{
	struct pool pool = pool_make();

	meet(&pool, "drop", ETIMEDOUT, "timeouts");
	meet(&pool, "hole", ETIMEDOUT, "timeouts");
	meet(&pool, "phase", ETIMEDOUT, "timeouts");
	meet(&pool, "reset", ETIMEDOUT, "timeouts");
	meet(&pool, "stuck", ETIMEDOUT, "timeouts");
	meet(&pool, "slow ms=3000", ETIMEDOUT, "timeouts");
	meet(&pool, "cookie", EIO, "lies");
	meet(&pool, "length", EIO, "lies");
}

TEST(fault, a_completion_that_comes_twice)
{
	struct pool pool = pool_make();
	uint64_t lies = engine_counter("lies");
	struct speckv_cmd cmd = copy_soon(&pool, 60000);

	engine_fault("twice");
	EXPECT_EQ(command(pool.control, &cmd), 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	/* Nothing is under way, so nobody looks; with the next command it is found. */
	cmd = copy_soon(&pool, 60000);
	command(pool.control, &cmd);
	engine_fault("heal");
	EXPECT(engine_counter("lies") == lies + 1);
	expect_works(&pool);
}

/* Freed, and its owner killed, under a command that ends only with the reset. */
static void free_under_command(void *argument)
{
	struct pool *pool = argument;
	struct uring ring = uring_make(8, true);
	struct speckv_cmd cmd = copy_soon(pool, 8000);
	struct speckv_stat stat;

	uring_put(&ring, pool->control, SPECKV_IOC_COMMAND, &cmd, 1);
	EXPECT_EQ(uring_enter(&ring, 1, 0), 1);
	EXPECT(engine_counter_becomes("in_flight", 1, 60));
	free_extent(pool->control, pool->to.handle);
	stat = stat_of(pool->control, -1);
	EXPECT(stat.quarantined_bytes == GRANULE || stat.dirty_bytes == GRANULE);
	EXPECT_EQ(engine_counter("lends_busy"), 2);
	EXPECT_EQ(uring_take(&ring).result, -ETIMEDOUT);
	EXPECT(engine_becomes("live", 60));
	wait_until_settled(pool->control);
	_exit(0);
}

static void call_and_die(void *argument)
{
	struct pool *pool = argument;
	struct speckv_cmd cmd = copy_soon(pool, 8000);

	command(pool->control, &cmd);
	pause();
}

TEST(fault, memory_under_a_command_waits_for_the_reset)
{
	struct pool pool = pool_make();
	pid_t child;

	engine_fault("stuck");
	EXPECT_EQ(reap(spawn(free_under_command, &pool)), 0);
	engine_fault("heal");
	pool.to = alloc_extent(pool.control, GRANULE);
	expect_works(&pool);
	engine_fault("stuck");
	child = spawn(call_and_die, &pool);
	EXPECT(engine_counter_becomes("in_flight", 1, 60));
	kill(child, SIGKILL);
	reap(child);
	EXPECT(engine_counter_becomes("in_flight", 0, 60));
	engine_fault("heal");
	expect_works(&pool);
}

/* Ended by the core's reset, or by the driver's own after a completion that it did not believe. */
static void reset_once(uint64_t turn)
{
	const char *const lies[] = { NULL, "cookie", "twice" };
	const char *lie = lies[turn % 3];
	uint64_t resets = engine_counter("resets"), told = engine_counter("lies");

	if (lie)
		engine_fault(lie);
	else
		EXPECT_EQ(engine_write("reset", "1"), 0);
	while (engine_counter("resets") == resets)
		usleep(2000);
	EXPECT(engine_becomes("live", 60));
	EXPECT_EQ(engine_counter("resets"), resets + 1);
	EXPECT_EQ(engine_counter("lies"), told + !!lie);
}

TEST(fault, resets_and_an_unbind_under_load)
{
	uint64_t resets = strtoull(getenv("RESETS") ?: "", NULL, 10) ?: RESETS;
	struct pool pool = pool_make();
	uint64_t ended = engine_counter("commands"), late = engine_counter("timeouts"), failed = 0;
	struct load loads[] = { load_start(true), load_start(false) };

	for (uint64_t i = 0; i < resets; i++) {
		reset_once(i);
		load_wait_round(&loads[i % 2]);
	}
	for (int i = 0; i < 2; i++) {
		load_tell(&loads[i], LOAD_RESTS);
		ended += loads[i].shared->ended;
		failed += loads[i].shared->failed;
	}
	printf("# %llu resets: %llu commands ended, %llu were given again\n",
	       (unsigned long long)resets, (unsigned long long)ended, (unsigned long long)failed);
	/* What the driver counted is what was told: none twice, none to nobody. */
	EXPECT_EQ(engine_counter("commands"), ended);
	EXPECT_EQ(engine_counter("timeouts"), late);
	EXPECT_EQ(engine_counter("in_flight"), 0);
	EXPECT(failed > 0);
	for (int i = 0; i < 2; i++)
		load_tell(&loads[i], LOAD_RUNS);
	EXPECT_EQ(engine_unbind(), 0);
	EXPECT_EQ(engine_bind(), 0);
	for (int i = 0; i < 2; i++) {
		load_tell(&loads[i], LOAD_ENDS);
		EXPECT_EQ(reap(loads[i].child), 0);
	}
	EXPECT(engine_counter_becomes("lends", 0, 60));
	engine_attach(pool.control);
	expect_works(&pool);
}

/* An engine that answers no reset, or whose link is down: given up, and bound anew. */
static void give_up(const char *fault)
{
	struct pool pool = pool_make();
	struct speckv_cmd cmd = copy_soon(&pool, 300);
	struct speckv_engine_info info;

	printf("# fault: %s\n", fault);
	engine_fault(fault);
	EXPECT_ERRNO(command(pool.control, &cmd), ETIMEDOUT);
	EXPECT(engine_becomes("dead", 60));
	cmd = copy_soon(&pool, 300);
	EXPECT_ERRNO(command(pool.control, &cmd), ENODEV);
	info = engine_info(pool.control);
	EXPECT_EQ(info.state, SPECKV_ENGINE_DEAD);
	EXPECT_EQ(info.in_flight, 1); /* the one without an end */
	free_extent(pool.control, pool.to.handle);
	EXPECT_EQ(engine_counter("lends_busy"), 2); /* it may still write there */
	engine_fault("heal");
	EXPECT_EQ(engine_unbind(), 0);
	wait_until_settled(pool.control);
	EXPECT_EQ(engine_bind(), 0);
	engine_attach(pool.control); /* in the place of the dead one */
	pool.to = alloc_extent(pool.control, GRANULE);
	expect_works(&pool);
}

TEST(fault, one_that_does_not_come_back_is_given_up)
{
	give_up("deaf");
	give_up("link-down");
}

/* The region goes while the engine has it. */
TEST_BALANCED(fault, the_region_goes_under_load, BALANCE_NONE)
{
	struct load load = load_start(false);

	EXPECT_EQ(region_unbind(), 0);
	kill(load.child, SIGKILL);
	reap(load.child);
	EXPECT(engine_counter_becomes("lends", 0, 60));
	EXPECT(engine_becomes("live", 60));
}
