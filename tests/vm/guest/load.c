// SPDX-License-Identifier: Apache-2.0
/* load.c - see load.h. */
#include "load.h"

#include "hw/speckv_engine.h"

#define PLACES 16
#define PLACE_BYTES (72u << 10)
#define GUARD 0xa5
#define NOTHING UINT64_MAX
#define ROUND_SECONDS 120 /* of the guest, which are long; only ends what waits for ever */
#define TABLES_AT GRANULE
#define SEGMENT_WIDTHS 8u /* slots of widths in table memory that each has */

/* One segment on its way to where it is stored. */
struct place {
	const struct segment *segment;
	bool is_decode;
	bool is_stored;
	uint64_t given; /* number of its command, or NOTHING */
};

struct loader {
	struct load_shared *shared;
	int control;
	bool has_tables;
	struct speckv_alloc from, to;
	uint8_t *memory;
	struct uring ring;
	struct segment segments[SEGMENTS];
	uint32_t raw_at[SEGMENTS], stored_at[SEGMENTS];
	struct place places[PLACES];
	uint64_t number;
};

static uint8_t *take(FILE *file, size_t bytes)
{
	uint8_t *taken = malloc(bytes + 1);

	EXPECT(taken && fread(taken, 1, bytes, file) == bytes);
	return taken;
}

void segments_read(struct segment segments[SEGMENTS])
{
	FILE *file = fopen("/t/engine-cases", "rb");

	EXPECT(file != NULL);
	for (int i = 0; i < SEGMENTS; i++) {
		struct segment *segment = &segments[i];

		EXPECT_EQ(fread(&segment->one, sizeof(segment->one), 1, file), 1);
		segment->raw = take(file, segment->one.raw_bytes);
		segment->stored = take(file, segment->one.stored_bytes);
		segment->back = take(file, segment->one.back_bytes);
		segment->turns = take(file, segment->one.turns_bytes);
		segment->widths = take(file, segment->one.widths_bytes);
	}
	EXPECT_EQ(fgetc(file), EOF);
	fclose(file);
}

static uint8_t *source_of(const struct loader *loader, uint32_t at)
{
	return loader->memory + loader->from.offset + at;
}

static uint8_t *target_of(const struct loader *loader, const struct place *place)
{
	return loader->memory + loader->to.offset + (place - loader->places) * PLACE_BYTES;
}

static uint32_t whole_beats(uint32_t bytes)
{
	return (bytes + 63) & ~63u;
}

/* The segments, raw and stored, one behind the other; what they are is what they must stay. */
static void put_sources(struct loader *loader)
{
	uint32_t at = 0;

	for (int i = 0; i < SEGMENTS; i++) {
		const struct segment *segment = &loader->segments[i];

		loader->raw_at[i] = at;
		memcpy(source_of(loader, at), segment->raw, segment->one.raw_bytes);
		at += whole_beats(segment->one.raw_bytes);
		loader->stored_at[i] = at;
		memcpy(source_of(loader, at), segment->stored, segment->one.stored_bytes);
		at += whole_beats(segment->one.stored_bytes);
	}
	EXPECT(at <= TABLES_AT);
}

static void check_sources(const struct loader *loader)
{
	for (int i = 0; i < SEGMENTS; i++) {
		const struct segment *segment = &loader->segments[i];

		EXPECT_EQ(memcmp(source_of(loader, loader->raw_at[i]), segment->raw,
				 segment->one.raw_bytes),
			  0);
		EXPECT_EQ(memcmp(source_of(loader, loader->stored_at[i]), segment->stored,
				 segment->one.stored_bytes),
			  0);
	}
}

/* Waits for an engine: a reset ends, or somebody binds a new one. */
static void attach_again(const struct loader *loader)
{
	struct speckv_engine_info info;

	do {
		usleep(2000);
		info = (struct speckv_engine_info){ .flags = SPECKV_ENGINE_ATTACH };
	} while (ioctl(loader->control, SPECKV_IOC_ENGINE, &info) && errno != EBUSY);
}

static void load_table(struct loader *loader, const uint8_t *table, uint32_t bytes, uint32_t at)
{
	struct speckv_cmd cmd = {
		.opcode = SPECKV_CMD_LOAD,
		.source = loader->from.handle,
		.source_offset = TABLES_AT,
		.target_offset = at,
		.bytes = bytes,
		.timeout_ms = 60000,
	};

	memcpy(source_of(loader, TABLES_AT), table, bytes);
	while (command(loader->control, &cmd)) {
		EXPECT(errno == EIO || errno == ENODEV);
		loader->shared->failed++;
		if (errno == ENODEV)
			attach_again(loader);
	}
	EXPECT_EQ(cmd.status, SPECKV_STATUS_OK);
	loader->shared->ended++;
}

static void load_tables(struct loader *loader)
{
	EXPECT(loader->has_tables);
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		const struct segment *segment = &loader->segments[i];

		if (!segment->one.turns_bytes)
			continue;
		load_table(loader, segment->turns, segment->one.turns_bytes, 0);
		load_table(loader, segment->widths, segment->one.widths_bytes,
			   SPECKV_ENGINE_WIDTHS_OFFSET +
				   i * SEGMENT_WIDTHS * SPECKV_ENGINE_WIDTHS_BYTES);
	}
}

static void give(struct loader *loader, struct place *place)
{
	const struct segment *segment = place->segment;
	int i = segment - loader->segments;
	struct speckv_cmd cmd = segment->one.cmd;

	cmd.opcode = place->is_decode ? SPECKV_CMD_DECODE : SPECKV_CMD_ENCODE;
	cmd.source = loader->from.handle;
	cmd.source_offset = place->is_decode ? loader->stored_at[i] : loader->raw_at[i];
	cmd.target = loader->to.handle;
	cmd.target_offset = (place - loader->places) * PLACE_BYTES;
	cmd.timeout_ms = 60000;
	if (segment->one.turns_bytes)
		cmd.widths = i * SEGMENT_WIDTHS;
	EXPECT_EQ(place->given, NOTHING);
	place->given = loader->number++;
	uring_put(&loader->ring, loader->control, SPECKV_IOC_COMMAND, &cmd, place->given);
}

/* What the codec room says, and behind it nothing. */
static void check_target(const struct loader *loader, const struct place *place)
{
	const struct engine_case *one = &place->segment->one;
	const uint8_t *wanted = place->is_decode ? place->segment->back : place->segment->stored;
	const uint8_t *is = target_of(loader, place);
	uint32_t bytes = place->is_decode ? one->back_bytes : one->stored_bytes;

	EXPECT_EQ(memcmp(is, wanted, bytes), 0);
	for (uint32_t i = whole_beats(bytes); i < PLACE_BYTES; i++)
		EXPECT_EQ(is[i], GUARD);
}

/* One answer: of a command that was given, and that had none yet. A reset or a new binding may have
 * cost the tables. */
static void answer(struct loader *loader, struct uring_end end, bool *ret_no_tables)
{
	struct place *place = loader->places;
	const struct engine_case *one;

	while (place < loader->places + PLACES && place->given != end.user)
		place++;
	EXPECT(place < loader->places + PLACES);
	place->given = NOTHING;
	if (end.result == -EACCES && place->segment->one.turns_bytes) {
		*ret_no_tables = true;
		return;
	}
	if (end.result < 0) {
		EXPECT(end.result == -EIO || end.result == -ENODEV);
		loader->shared->failed++;
		return;
	}
	loader->shared->ended++;
	if (end.result >> SPECKV_RESULT_STATUS_SHIFT == SPECKV_STATUS_TABLE) {
		*ret_no_tables = true;
		return;
	}
	one = &place->segment->one;
	EXPECT_EQ(end.result, place->is_decode ? one->back_bytes : one->stored_bytes);
	EXPECT_EQ(end.second, one->checksum);
	place->is_stored = true;
}

/* All that is not stored is given once. False: something has to be given again. */
static bool try_all(struct loader *loader)
{
	bool no_tables = false;
	uint64_t failed = loader->shared->failed;
	unsigned int given = 0;

	for (int i = 0; i < PLACES; i++) {
		if (loader->places[i].is_stored)
			continue;
		give(loader, &loader->places[i]);
		given++;
	}
	EXPECT_EQ(uring_enter(&loader->ring, given, 0), given);
	for (unsigned int i = 0; i < given; i++)
		answer(loader, uring_take(&loader->ring), &no_tables);
	/* Nothing is under way, so one more answer is one too many. */
	EXPECT_EQ(__atomic_load_n(loader->ring.cq_tail, __ATOMIC_ACQUIRE), *loader->ring.cq_head);
	if (no_tables)
		load_tables(loader);
	if (loader->shared->failed != failed)
		attach_again(loader);
	return !no_tables && loader->shared->failed == failed;
}

/* Every segment that the process has, on every place once. */
static void round_of(struct loader *loader)
{
	alarm(ROUND_SECONDS);
	for (int i = 0; i < PLACES; i++) {
		struct place *place = &loader->places[i];
		int which = (loader->shared->rounds + i / 2) % SEGMENTS;

		while (loader->segments[which].one.turns_bytes && !loader->has_tables)
			which = (which + 1) % SEGMENTS;
		*place = (struct place){ .segment = &loader->segments[which],
					 .is_decode = i & 1,
					 .given = NOTHING };
		memset(target_of(loader, place), GUARD, PLACE_BYTES);
	}
	while (!try_all(loader))
		continue;
	for (int i = 0; i < PLACES; i++)
		check_target(loader, &loader->places[i]);
	check_sources(loader);
	alarm(0);
	__atomic_fetch_add(&loader->shared->rounds, 1, __ATOMIC_RELEASE);
}

static void run(void *argument)
{
	struct loader *loader = argument;
	struct load_shared *shared = loader->shared;

	loader->control = control_open();
	engine_attach(loader->control);
	loader->from = alloc_extent(loader->control, 2 * GRANULE);
	loader->to = alloc_extent(loader->control, GRANULE);
	loader->memory = map_all(loader->control, PROT_READ | PROT_WRITE);
	loader->ring = uring_make(64, true);
	segments_read(loader->segments);
	put_sources(loader);
	for (;;) {
		int wanted = __atomic_load_n(&shared->wanted, __ATOMIC_ACQUIRE);

		__atomic_store_n(&shared->is, wanted, __ATOMIC_RELEASE);
		if (wanted == LOAD_ENDS)
			_exit(0);
		if (wanted == LOAD_RESTS)
			usleep(1000);
		else
			round_of(loader);
	}
}

struct load load_start(bool has_tables)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	struct load load;

	EXPECT(loader != NULL);
	load.shared = mmap(NULL, sizeof(*load.shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(load.shared != MAP_FAILED);
	load.shared->is = -1;
	loader->shared = load.shared;
	loader->has_tables = has_tables;
	load.child = spawn(run, loader);
	free(loader);
	load_tell(&load, LOAD_RUNS);
	return load;
}

/* A little while. What went wrong in there ends who waits, too. */
static void wait_with(const struct load *load)
{
	siginfo_t gone = { 0 };

	EXPECT_EQ(waitid(P_PID, load->child, &gone, WEXITED | WNOHANG | WNOWAIT), 0);
	EXPECT(gone.si_pid == 0 || gone.si_status == 0);
	usleep(1000);
}

void load_tell(struct load *load, enum load_phase phase)
{
	__atomic_store_n(&load->shared->wanted, phase, __ATOMIC_RELEASE);
	while (__atomic_load_n(&load->shared->is, __ATOMIC_ACQUIRE) != (int)phase)
		wait_with(load);
}

void load_wait_round(const struct load *load)
{
	uint64_t rounds = __atomic_load_n(&load->shared->rounds, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&load->shared->rounds, __ATOMIC_ACQUIRE) == rounds)
		wait_with(load);
}
