// SPDX-License-Identifier: GPL-2.0
/*
 * space_check.c - are the granule tables sound? Called by unit tests and fuzz targets after every
 * step, and by the debugfs file `sound`. Reads only; O(granules log granules).
 */
#include "space.h"

/* Every node says of its span what a walk over the granules says. */
static bool runs_are_sound(const struct speckv_space *space)
{
	u32 index, span, first, i;

	for (index = 1; index < space->leaves; index++) {
		u32 run = 0, best = 0, head = 0;

		for (span = space->leaves, i = index; i > 1; i /= 2)
			span /= 2;
		first = index * span - space->leaves;
		for (i = first; i < first + span; i++) {
			bool is_free =
				i < space->granules && space->table[i].state == SPECKV_GRANULE_FREE;

			run = is_free ? run + 1 : 0;
			best = max(best, run);
			if (run == i - first + 1)
				head = run;
		}
		if (space->runs[index].best != best || space->runs[index].head != head ||
		    space->runs[index].tail != run)
			return false;
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
	u32 i, poisoned = 0, pinned = 0;

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
	}
	return !memcmp(counts, space->counts, sizeof(counts)) && poisoned == space->poisoned &&
	       pinned == space->pinned && runs_are_sound(space) && queue_is_sound(space);
}
