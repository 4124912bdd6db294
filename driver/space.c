// SPDX-License-Identifier: GPL-2.0
/*
 * space.c - the granule tables of a region: a buddy system, and a queue of what waits to be zeroed.
 *
 * See space.h for the rules. Called by extent.c under the region's mutex; also compiled in user
 * space by driver/test. Never sleeps after init, never touches the region's memory.
 */
#include "space.h"

static void enter(struct speckv_space *space, u32 granule, enum speckv_granule_state state)
{
	struct speckv_granule *entry = &space->table[granule];

	space->counts[entry->state]--;
	space->counts[state]++;
	entry->state = state;
}

/* Free blocks. */

static void push_block(struct speckv_space *space, u32 first, u32 order)
{
	struct speckv_granule *entry = &space->table[first];

	space->block_moves++;
	entry->head = true;
	entry->order = order;
	entry->prev = SPECKV_NO_GRANULE;
	entry->next = space->free_heads[order];
	if (entry->next != SPECKV_NO_GRANULE)
		space->table[entry->next].prev = first;
	space->free_heads[order] = first;
	space->orders |= 1U << order;
}

static void pull_block(struct speckv_space *space, u32 first)
{
	struct speckv_granule *entry = &space->table[first];
	u32 order = entry->order;

	space->block_moves++;
	if (entry->prev != SPECKV_NO_GRANULE)
		space->table[entry->prev].next = entry->next;
	else
		space->free_heads[order] = entry->next;
	if (entry->next != SPECKV_NO_GRANULE)
		space->table[entry->next].prev = entry->prev;
	if (space->free_heads[order] == SPECKV_NO_GRANULE)
		space->orders &= ~(1U << order);
	entry->head = false;
}

/* Put one aligned block back, joining it with its buddy as long as that is free too. */
static void release_block(struct speckv_space *space, u32 first, u32 order)
{
	while (order + 1 < SPECKV_SPACE_ORDERS) {
		u32 buddy = first ^ (1U << order);

		if (buddy >= space->granules || !space->table[buddy].head ||
		    space->table[buddy].order != order)
			break;
		pull_block(space, buddy);
		first &= ~(1U << order);
		order++;
	}
	push_block(space, first, order);
}

/* Put any run back as the largest aligned blocks that it holds. */
static void release_run(struct speckv_space *space, u32 first, u32 count)
{
	while (count) {
		u32 order = ilog2(count);

		if (first)
			order = min(order, (u32)__ffs(first));
		release_block(space, first, order);
		first += 1U << order;
		count -= 1U << order;
	}
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
	if (!granules || granules > 1U << (SPECKV_SPACE_ORDERS - 1))
		return -EINVAL;
	space->table = shim_zalloc(granules, sizeof(*space->table));
	if (!space->table)
		return -ENOMEM;
	space->granules = granules;
	space->dirty_head = SPECKV_NO_GRANULE;
	space->dirty_tail = SPECKV_NO_GRANULE;
	for (i = 0; i < SPECKV_SPACE_ORDERS; i++)
		space->free_heads[i] = SPECKV_NO_GRANULE;
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
	space->table = NULL;
}

int speckv_space_take(struct speckv_space *space, u32 count, u32 *ret_first)
{
	u32 order, fitting, first, i;

	if (!count || count > space->granules)
		return count ? -ENOSPC : -EINVAL;
	order = ilog2(count);
	if (count > 1U << order)
		order++;
	fitting = order < SPECKV_SPACE_ORDERS ? space->orders & (~0U << order) : 0;
	if (!fitting) {
		u32 waiting = space->counts[SPECKV_GRANULE_DIRTY] +
			      space->counts[SPECKV_GRANULE_CLEANING];

		return waiting > space->pinned ? -EAGAIN : -ENOSPC;
	}
	order = __ffs(fitting);
	first = space->free_heads[order];
	pull_block(space, first);
	release_run(space, first + count, (1U << order) - count);
	for (i = first; i < first + count; i++)
		enter(space, i, SPECKV_GRANULE_USED);
	*ret_first = first;
	return 0;
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
	release_block(space, granule, 0);
}

void speckv_space_postpone(struct speckv_space *space, u32 granule)
{
	if (shim_broken(space->table[granule].state != SPECKV_GRANULE_CLEANING))
		return;
	retire(space, granule);
	set_pinned(space, granule, !space->table[granule].poisoned);
}

/* Take one free granule out of the block that contains it. */
static void carve(struct speckv_space *space, u32 granule)
{
	u32 order, first = granule, length;

	for (order = 0; order < SPECKV_SPACE_ORDERS; order++) {
		first = granule & ~((1U << order) - 1);
		if (space->table[first].head && space->table[first].order == order)
			break;
	}
	if (shim_broken(order == SPECKV_SPACE_ORDERS))
		return;
	length = 1U << order;
	pull_block(space, first);
	enter(space, granule, SPECKV_GRANULE_LOST);
	release_run(space, first, granule - first);
	release_run(space, granule + 1, first + length - granule - 1);
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
		carve(space, granule);
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
