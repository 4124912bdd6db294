// SPDX-License-Identifier: GPL-2.0
/*
 * space_check.c - are the granule tables sound? Called by unit tests and fuzz targets after every
 * step, and by the debugfs file `sound`. Reads only; O(granules).
 */
#include "space.h"

/* Each free block is aligned, inside, linked both ways, FREE throughout, and not half of a pair. */
static bool blocks_are_sound(const struct speckv_space *space, u32 *ret_free)
{
	u32 order, first, i;

	for (order = 0; order < SPECKV_SPACE_ORDERS; order++) {
		u32 prev = SPECKV_NO_GRANULE;
		bool is_empty = space->free_heads[order] == SPECKV_NO_GRANULE;

		if (is_empty == !!(space->orders & (1U << order)))
			return false;
		for (first = space->free_heads[order]; first != SPECKV_NO_GRANULE;
		     first = space->table[first].next) {
			const struct speckv_granule *entry = &space->table[first];
			u32 length = 1U << order, buddy = first ^ length;

			if (!entry->head || entry->order != order || entry->prev != prev ||
			    first & (length - 1) || first + length > space->granules)
				return false;
			if (buddy < space->granules && space->table[buddy].head &&
			    space->table[buddy].order == order && order + 1 < SPECKV_SPACE_ORDERS)
				return false;
			for (i = first; i < first + length; i++)
				if (space->table[i].state != SPECKV_GRANULE_FREE ||
				    (i > first && space->table[i].head))
					return false;
			*ret_free += length;
			prev = first;
		}
	}
	return true;
}

static bool queue_is_sound(const struct speckv_space *space)
{
	u32 granule, prev = SPECKV_NO_GRANULE, length = 0;

	for (granule = space->dirty_head; granule != SPECKV_NO_GRANULE;
	     granule = space->table[granule].next) {
		if (space->table[granule].state != SPECKV_GRANULE_DIRTY ||
		    space->table[granule].prev != prev ||
		    ++length > space->counts[SPECKV_GRANULE_DIRTY])
			return false;
		prev = granule;
	}
	return prev == space->dirty_tail && length == space->counts[SPECKV_GRANULE_DIRTY];
}

bool speckv_space_is_sound(const struct speckv_space *space)
{
	u32 counts[SPECKV_GRANULE_STATES] = { 0 };
	u32 i, free = 0, poisoned = 0, pinned = 0;

	for (i = 0; i < space->granules; i++) {
		const struct speckv_granule *entry = &space->table[i];

		if (entry->state >= SPECKV_GRANULE_STATES)
			return false;
		counts[entry->state]++;
		poisoned += entry->poisoned;
		pinned += entry->pinned;
		if (entry->pinned && entry->state != SPECKV_GRANULE_DIRTY &&
		    entry->state != SPECKV_GRANULE_CLEANING)
			return false;
		if (entry->state == SPECKV_GRANULE_LOST && !entry->poisoned)
			return false;
		if (entry->poisoned &&
		    (entry->state == SPECKV_GRANULE_FREE || entry->state == SPECKV_GRANULE_DIRTY))
			return false;
		if (entry->head && entry->state != SPECKV_GRANULE_FREE)
			return false;
	}
	return !memcmp(counts, space->counts, sizeof(counts)) && poisoned == space->poisoned &&
	       pinned == space->pinned && blocks_are_sound(space, &free) &&
	       free == counts[SPECKV_GRANULE_FREE] && queue_is_sound(space);
}
