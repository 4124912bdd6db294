// SPDX-License-Identifier: Apache-2.0
/*
 * test_engine.c - commands to the codec engine: bytes as the codec room makes them, each refusal,
 * and that nobody reaches what is not his.
 */
#include "load.h"

struct pool {
	int control;
	struct speckv_alloc from, to;
	uint8_t *memory;
};

static struct pool pool_make(void)
{
	struct pool pool = { .control = control_open() };

	engine_attach(pool.control);
	pool.from = alloc_extent(pool.control, 2 * GRANULE);
	pool.to = alloc_extent(pool.control, GRANULE);
	pool.memory = map_all(pool.control, PROT_READ | PROT_WRITE);
	return pool;
}

static uint8_t *source_of(const struct pool *pool)
{
	return pool->memory + pool->from.offset;
}

static uint8_t *target_of(const struct pool *pool)
{
	return pool->memory + pool->to.offset;
}

static void load(const struct pool *pool, const uint8_t *table, uint32_t bytes, uint64_t offset)
{
	struct speckv_cmd cmd = {
		.opcode = SPECKV_CMD_LOAD,
		.source = pool->from.handle,
		.source_offset = GRANULE,
		.target_offset = offset,
		.bytes = bytes,
		.timeout_ms = 60000,
	};

	if (!bytes)
		return;
	memcpy(source_of(pool) + GRANULE, table, bytes);
	EXPECT_EQ(command(pool->control, &cmd), 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
}

static void encode_and_decode(const struct pool *pool, const struct segment *segment)
{
	const struct engine_case *one = &segment->one;
	struct speckv_cmd cmd = one->cmd;

	load(pool, segment->turns, one->turns_bytes, 0);
	load(pool, segment->widths, one->widths_bytes, 65536);
	memcpy(source_of(pool), segment->raw, one->raw_bytes);
	memset(target_of(pool), 0xa5, GRANULE);
	cmd.source = pool->from.handle;
	cmd.target = pool->to.handle;
	cmd.timeout_ms = 60000;
	EXPECT_EQ(command(pool->control, &cmd), 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	EXPECT_EQ(cmd.checksum, one->checksum);
	EXPECT_EQ(cmd.done_bytes, one->stored_bytes);
	EXPECT_EQ(memcmp(target_of(pool), segment->stored, one->stored_bytes), 0);

	memset(source_of(pool), 0x5a, one->raw_bytes);
	cmd = one->cmd;
	cmd.opcode = SPECKV_CMD_DECODE;
	cmd.source = pool->to.handle;
	cmd.target = pool->from.handle;
	cmd.timeout_ms = 60000;
	EXPECT_EQ(command(pool->control, &cmd), 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	EXPECT_EQ(cmd.checksum, one->checksum);
	EXPECT_EQ(memcmp(source_of(pool), segment->back, one->back_bytes), 0);
}

TEST(engine, segments_are_the_codec_rooms)
{
	struct pool pool = pool_make();
	struct segment segments[SEGMENTS];
	uint64_t before = engine_counter("flushed_bytes");
	uint64_t interrupts = engine_counter("interrupts");

	segments_read(segments);
	for (int i = 0; i < SEGMENTS; i++) {
		printf("# engine: %s\n", segments[i].one.name);
		encode_and_decode(&pool, &segments[i]);
	}
	EXPECT(engine_counter("interrupts") > interrupts);
	/* The device says that it is not coherent: both ranges before, the target after. */
	EXPECT(engine_counter("flushed_bytes") > before);
}

TEST(engine, it_copies_fills_and_sums)
{
	struct pool pool = pool_make();
	struct speckv_cmd cmd = copy_of(pool.from, pool.to, 1 << 20), sum;
	uint64_t word;

	fill(source_of(&pool), 1 << 20, 7);
	EXPECT_EQ(command(pool.control, &cmd), 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	EXPECT_EQ(memcmp(source_of(&pool), target_of(&pool), 1 << 20), 0);
	sum = (struct speckv_cmd){
		.opcode = SPECKV_CMD_CHECKSUM,
		.source = pool.to.handle,
		.bytes = 1 << 20,
	};
	EXPECT_EQ(command(pool.control, &sum), 0);
	EXPECT_EQ(sum.checksum, cmd.checksum);
	EXPECT(sum.checksum != 0);
	cmd = (struct speckv_cmd){
		.opcode = SPECKV_CMD_FILL,
		.target = pool.to.handle,
		.target_offset = 64,
		.source_offset = 0x0123456789abcdefULL,
		.bytes = MOVED,
	};
	EXPECT_EQ(command(pool.control, &cmd), 0);
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	memcpy(&word, target_of(&pool) + 64 + MOVED - 8, 8);
	EXPECT_EQ(word, 0x0123456789abcdefULL);
	EXPECT_EQ(memcmp(target_of(&pool), source_of(&pool), 64), 0);
	EXPECT_EQ(memcmp(target_of(&pool) + 64 + MOVED, source_of(&pool) + 64 + MOVED, 64), 0);
}

/* One field after the other of a good command. */
#define BAD(member, value, wanted)                                                                 \
	do {                                                                                       \
		struct speckv_cmd bad_ = good;                                                     \
		bad_.member = value;                                                               \
		EXPECT_ERRNO(command(pool.control, &bad_), wanted);                                \
	} while (0)

TEST(engine, every_field_is_checked)
{
	struct pool pool = pool_make();
	struct speckv_cmd good = copy_of(pool.from, pool.to, MOVED);
	uint64_t refused = engine_counter("refused");

	BAD(opcode, 8, EINVAL);
	BAD(flags, 4, EINVAL);
	BAD(flags, SPECKV_CMD_FIRST, EINVAL);
	BAD(queue, 2, EINVAL);
	BAD(bf16, 1, EINVAL);
	BAD(bytes, 0, EINVAL);
	BAD(bytes, MOVED + 16, EINVAL);
	BAD(bytes, SPECKV_CMD_BYTES_MAX + 32, EINVAL);
	BAD(source, 0, EINVAL);
	BAD(source, pool.from.handle + 1, ENOENT);
	BAD(source, pool.from.handle ^ 1ULL << 40, ENOENT);
	BAD(source_offset, 32, EINVAL);
	BAD(source_offset, 2 * GRANULE, ERANGE);
	BAD(source_offset, 2 * GRANULE - MOVED + 64, ERANGE);
	BAD(source_offset, ~0ULL << 6, ERANGE);
	BAD(target, 0, EINVAL);
	BAD(target, ~0ULL, ENOENT);
	BAD(target_offset, GRANULE - MOVED + 64, ERANGE);
	BAD(heads, 1, EINVAL);
	BAD(widths, 1, EINVAL);
	BAD(pad, 1, EINVAL);
	BAD(timeout_ms, SPECKV_CMD_TIMEOUT_MS_MAX + 1, EINVAL);
	BAD(checksum, 1, EINVAL);
	BAD(done_bytes, 1, EINVAL);
	BAD(page, 1, EINVAL);
	BAD(status, 1, EINVAL);
	BAD(refusal, 1, EINVAL);
	EXPECT_EQ(engine_counter("refused"), refused + 27);
	EXPECT_EQ(command(pool.control, &good), 0);
	EXPECT_EQ(good.status, SPECKV_STATUS_OK);
}

TEST(engine, segments_that_are_not_the_engines)
{
	struct pool pool = pool_make();
	struct speckv_cmd good = {
		.opcode = SPECKV_CMD_ENCODE,
		.source = pool.from.handle,
		.target = pool.to.handle,
		.heads = 1,
		.pages = 1,
		.head_dim = 64,
		.tokens = 16,
		.bytes = 4096,
	};

	BAD(heads, 0, EINVAL);
	BAD(heads, 257, EINVAL);
	BAD(pages, 0, EINVAL);
	BAD(pages, 257, EINVAL);
	BAD(head_dim, 65, EINVAL);
	BAD(head_dim, 320, EINVAL);
	BAD(tokens, 48, EINVAL);
	BAD(bf16, 2, EINVAL);
	BAD(codec_k, 32, EINVAL);
	BAD(codec_v, 1, EOPNOTSUPP); /* the paper's, which no engine has */
	BAD(codec_first, 2, EINVAL);
	BAD(rope, 8, EINVAL);
	BAD(rotated, 64, EINVAL); /* of a codec without tables */
	BAD(codec_k, 16, EACCES); /* nobody has loaded its widths */
	good.heads = 256;
	good.pages = 64;
	EXPECT_ERRNO(command(pool.control, &good), EOPNOTSUPP); /* over 2 MiB */
	good.heads = good.pages = 1;
	good.bytes = 4096 + 32;
	EXPECT_EQ(command(pool.control, &good), 0);
	EXPECT_EQ(good.status, SPECKV_STATUS_BAD_LENGTH);
	good.status = 0;
	good.bytes = 4096;
	EXPECT_EQ(command(pool.control, &good), 0);
	EXPECT_EQ(good.status, SPECKV_STATUS_OK);
}

TEST(engine, nobody_reaches_what_is_not_his)
{
	struct pool pool = pool_make();
	int other = control_open(), export;
	struct speckv_alloc own = alloc_extent(other, GRANULE);
	struct speckv_cmd cmd = copy_of(pool.from, pool.to, MOVED);
	struct speckv_engine_info info = { .flags = SPECKV_ENGINE_ATTACH, .engine = 1 };

	EXPECT_ERRNO(command(other, &cmd), ENXIO);
	EXPECT_ERRNO(ioctl(other, SPECKV_IOC_ENGINE, &info), ENODEV);
	engine_attach(other);
	EXPECT_ERRNO(command(other, &cmd), ENOENT);
	cmd = copy_of(own, pool.to, MOVED);
	EXPECT_ERRNO(command(other, &cmd), ENOENT);
	cmd = copy_of(own, pool.to, MOVED);
	EXPECT_ERRNO(command(pool.control, &cmd), ENOENT);
	cmd = copy_of(pool.from, pool.to, MOVED);
	EXPECT_EQ(command(pool.control, &cmd), 0); /* now it is lent, to that file */
	cmd = copy_of(pool.from, pool.to, MOVED);
	EXPECT_ERRNO(command(other, &cmd), ENOENT);
	export = export_new(pool.control, SPECKV_EXPORT_WRITE, &pool.from.handle, 1);
	EXPECT_ERRNO(command(export, &cmd), EACCES);
	EXPECT_EQ(cmd.status, 0);
	free_extent(pool.control, pool.from.handle);
	EXPECT_ERRNO(command(pool.control, &cmd), ENOENT);
}

/* More extents than the device's table has entries: old ones make room. */
TEST(engine, more_extents_than_the_device_has_entries)
{
	enum { EXTENTS = 24 };
	int control = control_open();
	struct speckv_alloc extents[EXTENTS];
	uint8_t *memory = map_all(control, PROT_READ | PROT_WRITE);

	engine_attach(control);
	for (int i = 0; i < EXTENTS; i++)
		extents[i] = alloc_extent(control, GRANULE);
	fill(memory + extents[0].offset, MOVED, 11);
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 1; i < EXTENTS; i++) {
			struct speckv_cmd cmd = copy_of(extents[i - 1], extents[i], MOVED);

			EXPECT_EQ(command(control, &cmd), 0);
			EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
		}
	}
	EXPECT_EQ(memcmp(memory + extents[0].offset, memory + extents[EXTENTS - 1].offset, MOVED),
		  0);
	EXPECT(engine_counter("lends") <= 14);
	close(control);
}

/* Tables are who loaded them's, until he closes. */
TEST(engine, tables_have_an_owner)
{
	struct pool pool = pool_make();
	int other = control_open();
	struct speckv_alloc own;
	struct speckv_cmd mine = {
		.opcode = SPECKV_CMD_LOAD,
		.source = pool.from.handle,
		.target_offset = 65536 + 128,
		.bytes = 128,
	}, his = mine;

	engine_attach(other);
	own = alloc_extent(other, GRANULE);
	his.source = own.handle;
	EXPECT_EQ(command(pool.control, &mine), 0);
	EXPECT_EQ(mine.status, SPECKV_STATUS_OK);
	EXPECT_ERRNO(command(other, &his), EACCES);
	munmap(pool.memory, device_bytes);
	close(pool.control);
	EXPECT_EQ(command(other, &his), 0);
	EXPECT_EQ(his.status, SPECKV_STATUS_OK);
	his.status = 0;
	his.target_offset = 65536 + 64;
	his.checksum = 0;
	EXPECT_ERRNO(command(other, &his), EINVAL);
}
