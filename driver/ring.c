// SPDX-License-Identifier: GPL-2.0
/*
 * ring.c - see ring.h. Called by queue.c under engine->lock; compiled in user space by tests, too.
 */
#include "ring.h"

static_assert(SPECKV_RING_SLOTS >> SPECKV_RING_LOG2 == 1);

void speckv_ring_init(struct speckv_ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	speckv_ring_reset(ring);
}

void speckv_ring_reset(struct speckv_ring *ring)
{
	u32 i;

	ring->tail = 0;
	ring->head = 0;
	ring->fetched = 0;
	ring->used = 0;
	for (i = 0; i < SPECKV_RING_SLOTS; i++) {
		ring->free[i] = i;
		ring->busy[i] = false;
	}
}

u64 speckv_ring_cookie(const struct speckv_ring *ring, u32 tag)
{
	return (u64)ring->round[tag] << 32 | tag;
}

int speckv_ring_take(struct speckv_ring *ring, u32 *ret_tag, u64 *ret_cookie)
{
	u32 tag;

	if (ring->used >= SPECKV_RING_SLOTS)
		return -EAGAIN;
	tag = ring->free[SPECKV_RING_SLOTS - 1 - ring->used];
	ring->used++;
	ring->busy[tag] = true;
	ring->round[tag]++;
	ring->tail++;
	*ret_tag = tag;
	*ret_cookie = speckv_ring_cookie(ring, tag);
	return 0;
}

void speckv_ring_give(struct speckv_ring *ring, u32 tag)
{
	if (shim_broken(tag >= SPECKV_RING_SLOTS || !ring->busy[tag] || !ring->used))
		return;
	ring->busy[tag] = false;
	ring->used--;
	ring->free[SPECKV_RING_SLOTS - 1 - ring->used] = tag;
}

bool speckv_ring_is_there(const struct speckv_ring *ring, u32 phase)
{
	bool odd_round = ring->head & SPECKV_RING_SLOTS;

	return ring->used && (phase & 1) == !odd_round;
}

/* What no engine of ours would say, whatever it was asked. */
static bool is_sane(const struct speckv_engine_completion *told)
{
	u32 i;

	if (told->status > SPECKV_ENGINE_NOT_FOUND || told->status == SPECKV_ENGINE_RING)
		return false;
	if (told->status != SPECKV_ENGINE_REFUSED && (told->refusal || told->page))
		return false;
	if (told->reserved_26 || told->phase >> 1)
		return false;
	for (i = 0; i < 4; i++)
		if (told->reserved_32[i])
			return false;
	return true;
}

int speckv_ring_accept(struct speckv_ring *ring, const struct speckv_engine_completion *told)
{
	u32 tag = (u32)told->cookie;
	u16 written = ring->tail - ring->fetched;
	u16 fetched = told->sq_head - ring->fetched;

	ring->head++;
	if (tag >= SPECKV_RING_SLOTS || !ring->busy[tag] ||
	    told->cookie != speckv_ring_cookie(ring, tag))
		return -EBADMSG;
	if (fetched > written || !is_sane(told))
		return -EBADMSG;
	ring->fetched = told->sq_head;
	return tag;
}
