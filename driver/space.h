/* SPDX-License-Identifier: GPL-2.0 */
/*
 * space.h - which granules of a region are free, used, waiting to be zeroed, or lost.
 *
 * Pure bookkeeping over granule numbers: no locks (the caller's mutex covers every call), no
 * memory but its own tables, all sized by speckv_space_init(). Never looks at the region itself.
 *
 * A granule goes round: FREE -take-> USED -give-> DIRTY -next_dirty-> CLEANING -cleaned-> FREE,
 * or back from CLEANING by -postpone-> DIRTY while somebody pins it. Poison takes it out of the
 * round for ever: at once, or, when USED or CLEANING, as soon as it would leave that state.
 *
 * Free granules are found by a tree of runs over them: the first run that is long enough is taken,
 * and if there is one it is found. A take or give of n granules touches 2n + 2 log(region) nodes.
 */
#ifndef SPECKV_SPACE_H
#define SPECKV_SPACE_H

#include "shim.h"

#define SPECKV_GRANULES_MAX 0x80000000U /* numbers of tree nodes are u32 */
#define SPECKV_NO_GRANULE ((u32)~0U)

enum speckv_granule_state {
	SPECKV_GRANULE_FREE,
	SPECKV_GRANULE_USED,
	SPECKV_GRANULE_DIRTY,
	SPECKV_GRANULE_CLEANING,
	SPECKV_GRANULE_LOST,
	SPECKV_GRANULE_STATES,
};

/**
 * struct speckv_granule - one granule
 * @next: in the queue of what is DIRTY; SPECKV_NO_GRANULE at the end
 * @prev: the same, backwards
 * @state: enum speckv_granule_state
 * @poisoned: never to be FREE again
 * @pinned: was postponed, and has not been cleaned since
 */
struct speckv_granule {
	u32 next;
	u32 prev;
	u8 state;
	bool poisoned : 1;
	bool pinned : 1;
};

/**
 * struct speckv_run - FREE granules below one node of the tree
 * @best: longest run
 * @head: length of the run that begins with the node's first granule
 * @tail: length of the run that ends with its last
 */
struct speckv_run {
	u32 best;
	u32 head;
	u32 tail;
};

/**
 * struct speckv_space - the whole region
 * @granules: how many
 * @table: one each
 * @leaves: the power of two at or above @granules
 * @runs: the tree, nodes 1 to @leaves - 1
 * @dirty_head: oldest dirty granule
 * @dirty_tail: youngest
 * @counts: granules by state
 * @poisoned: granules with the poison mark, in whatever state
 * @pinned: granules with the pinned mark: DIRTY or CLEANING, and nobody knows for how long
 * @node_updates: tree nodes set so far; what take and cleaned cost, for tests
 */
struct speckv_space {
	u32 granules;
	struct speckv_granule *table;
	u32 leaves;
	struct speckv_run *runs;
	u32 dirty_head;
	u32 dirty_tail;
	u32 counts[SPECKV_GRANULE_STATES];
	u32 poisoned;
	u32 pinned;
	u64 node_updates;
};

/* All granules begin DIRTY: what is in the memory was somebody else's. -ENOMEM, -EINVAL. */
int speckv_space_init(struct speckv_space *space, u32 granules);
void speckv_space_destroy(struct speckv_space *space);

/* FREE -> USED: the first run of @count. -ENOSPC, or -EAGAIN while not all dirty are pinned. */
int speckv_space_take(struct speckv_space *space, u32 count, u32 *ret_first);

/* FREE -> USED: these granules. -ENOSPC, or -EAGAIN if all that is missing is being zeroed. */
int speckv_space_take_at(struct speckv_space *space, u32 first, u32 count);

/* Granules in the longest run that take could give now. */
u32 speckv_space_longest(const struct speckv_space *space);

/* USED -> DIRTY (or LOST). */
void speckv_space_give(struct speckv_space *space, u32 first, u32 count);

/* DIRTY -> CLEANING: the oldest, or SPECKV_NO_GRANULE. */
u32 speckv_space_next_dirty(struct speckv_space *space);

/* CLEANING -> FREE (or LOST): it holds zeros now. */
void speckv_space_cleaned(struct speckv_space *space, u32 granule);

/* CLEANING -> DIRTY, at the end of the list (or LOST): somebody has it pinned. */
void speckv_space_postpone(struct speckv_space *space, u32 granule);

/* Mark as poisoned; false if it was already. A poisoned USED granule stays with its holder. */
bool speckv_space_poison(struct speckv_space *space, u32 granule);

static inline bool speckv_space_is_poisoned(const struct speckv_space *space, u32 granule)
{
	return space->table[granule].poisoned;
}

/* Every rule that the tables must obey; for tests. O(granules log granules). */
bool speckv_space_is_sound(const struct speckv_space *space);

#endif /* SPECKV_SPACE_H */
