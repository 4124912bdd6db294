/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ring.h - the indices of one queue pair, and which completions of the engine are believed.
 *
 * Pure bookkeeping: no locks (the caller's covers every call), no memory but itself, never looks at
 * the rings. The engine is not trusted: a completion counts only if it names a command that is
 * under way, and says about it what can be.
 *
 * As many commands are under way as a ring has slots, and no more; so neither ring can run over: a
 * descriptor that was not fetched is under way, and so is a command whose completion was not read.
 */
#ifndef SPECKV_RING_H
#define SPECKV_RING_H

#include "shim.h"
#include <hw/speckv_engine.h>

#define SPECKV_RING_LOG2 6
#define SPECKV_RING_SLOTS 64U /* 2 to that */

/**
 * struct speckv_ring - one queue pair
 * @tail: descriptors written so far, modulo 2^16
 * @head: completions read so far, likewise
 * @fetched: descriptors that the engine says it has fetched, likewise
 * @used: commands under way
 * @free: tags that are not, in the first SPECKV_RING_SLOTS - @used places
 * @busy: by tag: a command is under way
 * @round: by tag: how often it was taken; so a completion that comes twice, or late, is known
 */
struct speckv_ring {
	u16 tail;
	u16 head;
	u16 fetched;
	u16 used;
	u8 free[SPECKV_RING_SLOTS];
	bool busy[SPECKV_RING_SLOTS];
	u32 round[SPECKV_RING_SLOTS];
};

/* Nothing is under way, and the engine's indices are 0. */
void speckv_ring_init(struct speckv_ring *ring);

/* The same after a reset; what the engine may still say about earlier commands is not believed. */
void speckv_ring_reset(struct speckv_ring *ring);

/* A tag, and the cookie for its descriptor; the slot is that before the new @tail. -EAGAIN: full.
 */
int speckv_ring_take(struct speckv_ring *ring, u32 *ret_tag, u64 *ret_cookie);
void speckv_ring_give(struct speckv_ring *ring, u32 tag);

static inline u32 speckv_ring_slot(u16 index)
{
	return index % SPECKV_RING_SLOTS;
}

u64 speckv_ring_cookie(const struct speckv_ring *ring, u32 tag);

/* Is this, the phase word of slot speckv_ring_slot(@head), that of a completion not yet read? */
bool speckv_ring_is_there(const struct speckv_ring *ring, u32 phase);

/*
 * The next completion, a copy. The tag that it ends, or -EBADMSG: this engine cannot be believed.
 * Moves @head on in any case.
 */
int speckv_ring_accept(struct speckv_ring *ring, const struct speckv_engine_completion *told);

#endif /* SPECKV_RING_H */
