// SPDX-License-Identifier: GPL-2.0
/*
 * space.c - the granule tables of a region: a tree of free runs, and a queue of what waits to be
 * zeroed.
 *
 * See space.h for the rules. Called by extent.c under the region's mutex; also compiled in user
 * space by tests/unit/driver. Never sleeps after init, never touches the region's memory.
 */
#include "space.h"

static void enter(struct speckv_space *space, u32 granule, enum speckv_granule_state state)
{
	struct speckv_granule *entry = &space->table[granule];

	space->counts[entry->state]--;
	space->counts[state]++;
	entry->state = state;
}

/*
 * Free runs. A node covers an aligned span of 2^k granules and tells the longest run of FREE ones
 * in it, and how long the runs at its two ends are; the children of node n are 2n and 2n + 1. Node
 * 1 covers everything. Granules are not nodes: their state is in the table.
 */

static struct speckv_run run_of(const struct speckv_space *space, u32 index)
{
	u32 granule;
	u32 free;

	if (index < space->leaves)
		return space->runs[index];
	granule = index - space->leaves;
	free = granule < space->granules && space->table[granule].state == SPECKV_GRANULE_FREE;
	return (struct speckv_run){ .best = free, .head = free, .tail = free };
}

/* @half: granules below each child. */
static struct speckv_run run_join(struct speckv_run left, struct speckv_run right, u32 half)
{
	struct speckv_run all = { .best = left.tail + right.head };

	all.best = max(all.best, max(left.best, right.best));
	all.head = left.head == half ? half + right.head : left.head;
	all.tail = right.tail == half ? half + left.tail : right.tail;
	return all;
}

/* The states of a run of granules changed: set right every node above it. */
static void update_runs(struct speckv_space *space, u32 first, u32 count)
{
	u32 low = space->leaves + first, high = low + count - 1, half, index;

	for (half = 1; low > 1; half *= 2) {
		low /= 2;
		high /= 2;
		for (index = low; index <= high; index++) {
			space->runs[index] = run_join(run_of(space, 2 * index),
						      run_of(space, 2 * index + 1), half);
			space->node_updates++;
		}
	}
}

static u32 longest_run(const struct speckv_space *space)
{
	return run_of(space, 1).best;
}

/* The first run of @count FREE granules; there is one. */
static u32 find_run(const struct speckv_space *space, u32 count)
{
	u32 index = 1, first = 0, half = space->leaves / 2;

	for (; index < space->leaves; half /= 2) {
		struct speckv_run left = run_of(space, 2 * index);

		index *= 2;
		if (left.best >= count)
			continue;
		if (left.tail + run_of(space, index + 1).head >= count)
			return first + half - left.tail;
		index++;
		first += half;
	}
	return first;
}

/* The queue of dirty granules. */

static void queue_dirty(struct speckv_space *space, u32 granule)
{
	struct speckv_granule *entry = &space->table[granule];

	entry->next = SPECKV_NO_GRANULE;
	entry->prev = space->dirty_tail;
	if (space->dirty_tail != SPECKV_NO_GRANULE)
		space->table[space->dirty_tail].next = granule;
	else
		space->dirty_head = granule;
	space->dirty_tail = granule;
}

static void unqueue_dirty(struct speckv_space *space, u32 granule)
{
	struct speckv_granule *entry = &space->table[granule];

	if (entry->prev != SPECKV_NO_GRANULE)
		space->table[entry->prev].next = entry->next;
	else
		space->dirty_head = entry->next;
	if (entry->next != SPECKV_NO_GRANULE)
		space->table[entry->next].prev = entry->prev;
	else
		space->dirty_tail = entry->prev;
}

static void set_pinned(struct speckv_space *space, u32 granule, bool pinned)
{
	struct speckv_granule *entry = &space->table[granule];

	space->pinned += pinned;
	space->pinned -= entry->pinned;
	entry->pinned = pinned;
}

/* From USED or CLEANING back into the queue, unless it is poisoned. */
static void retire(struct speckv_space *space, u32 granule)
{
	if (space->table[granule].poisoned) {
		set_pinned(space, granule, false);
		enter(space, granule, SPECKV_GRANULE_LOST);
		return;
	}
	enter(space, granule, SPECKV_GRANULE_DIRTY);
	queue_dirty(space, granule);
}

int speckv_space_init(struct speckv_space *space, u32 granules)
{
	u32 i;

	memset(space, 0, sizeof(*space));
	if (!granules || granules > SPECKV_GRANULES_MAX)
		return -EINVAL;
	for (space->leaves = 1; space->leaves < granules;)
		space->leaves *= 2;
	space->table = shim_zalloc(granules, sizeof(*space->table));
	space->runs = shim_zalloc(space->leaves, sizeof(*space->runs));
	if (!space->table || !space->runs) {
		speckv_space_destroy(space);
		return -ENOMEM;
	}
	space->granules = granules;
	space->dirty_head = SPECKV_NO_GRANULE;
	space->dirty_tail = SPECKV_NO_GRANULE;
	space->counts[SPECKV_GRANULE_DIRTY] = granules;
	for (i = 0; i < granules; i++) {
		space->table[i].state = SPECKV_GRANULE_DIRTY;
		queue_dirty(space, i);
	}
	return 0;
}

void speckv_space_destroy(struct speckv_space *space)
{
	shim_free(space->table);
	shim_free(space->runs);
	space->table = NULL;
	space->runs = NULL;
}

/* FREE to USED, all of them. */
static void use_run(struct speckv_space *space, u32 first, u32 count)
{
	u32 i;

	for (i = first; i < first + count; i++)
		enter(space, i, SPECKV_GRANULE_USED);
	update_runs(space, first, count);
}

/* Why there is no run: some may still come from the cleaner, or none will. */
static int no_run(const struct speckv_space *space)
{
	u32 waiting = space->counts[SPECKV_GRANULE_DIRTY] + space->counts[SPECKV_GRANULE_CLEANING];

	return waiting > space->pinned ? -EAGAIN : -ENOSPC;
}

int speckv_space_take(struct speckv_space *space, u32 count, u32 *ret_first)
{
	if (!count || count > space->granules)
		return count ? -ENOSPC : -EINVAL;
	if (longest_run(space) < count)
		return no_run(space);
	*ret_first = find_run(space, count);
	use_run(space, *ret_first, count);
	return 0;
}

int speckv_space_take_at(struct speckv_space *space, u32 first, u32 count)
{
	bool is_coming = false;
	u32 i;

	if (!count || first >= space->granules || count > space->granules - first)
		return -EINVAL;
	for (i = first; i < first + count; i++) {
		const struct speckv_granule *entry = &space->table[i];

		if (entry->state == SPECKV_GRANULE_FREE)
			continue;
		if (entry->state == SPECKV_GRANULE_USED || entry->poisoned || entry->pinned)
			return -ENOSPC;
		is_coming = true;
	}
	if (is_coming)
		return -EAGAIN;
	use_run(space, first, count);
	return 0;
}

u32 speckv_space_longest(const struct speckv_space *space)
{
	return longest_run(space);
}

void speckv_space_give(struct speckv_space *space, u32 first, u32 count)
{
	u32 i;

	for (i = first; i < first + count; i++) {
		if (shim_broken(space->table[i].state != SPECKV_GRANULE_USED))
			continue;
		retire(space, i);
	}
}

u32 speckv_space_next_dirty(struct speckv_space *space)
{
	u32 granule = space->dirty_head;

	if (granule != SPECKV_NO_GRANULE) {
		unqueue_dirty(space, granule);
		enter(space, granule, SPECKV_GRANULE_CLEANING);
	}
	return granule;
}

void speckv_space_cleaned(struct speckv_space *space, u32 granule)
{
	struct speckv_granule *entry = &space->table[granule];

	if (shim_broken(entry->state != SPECKV_GRANULE_CLEANING))
		return;
	set_pinned(space, granule, false);
	if (entry->poisoned) {
		enter(space, granule, SPECKV_GRANULE_LOST);
		return;
	}
	enter(space, granule, SPECKV_GRANULE_FREE);
	update_runs(space, granule, 1);
}

void speckv_space_postpone(struct speckv_space *space, u32 granule)
{
	if (shim_broken(space->table[granule].state != SPECKV_GRANULE_CLEANING))
		return;
	retire(space, granule);
	set_pinned(space, granule, !space->table[granule].poisoned);
}

bool speckv_space_poison(struct speckv_space *space, u32 granule)
{
	struct speckv_granule *entry = &space->table[granule];

	if (entry->poisoned)
		return false;
	entry->poisoned = true;
	space->poisoned++;
	switch (entry->state) {
	case SPECKV_GRANULE_FREE:
		enter(space, granule, SPECKV_GRANULE_LOST);
		update_runs(space, granule, 1);
		break;
	case SPECKV_GRANULE_DIRTY:
		unqueue_dirty(space, granule);
		set_pinned(space, granule, false);
		enter(space, granule, SPECKV_GRANULE_LOST);
		break;
	default: /* USED and CLEANING become LOST when they are given back */
		break;
	}
	return true;
}
