// SPDX-License-Identifier: Apache-2.0
/* uring.c - see engine.h: io_uring by its system calls, as much as a test of commands needs. */
#include <linux/io_uring.h>
#include <sys/syscall.h>

#include "engine.h"

#define SQE_BYTES 128
#define CQE_BYTES 32
#define PAYLOAD 48 /* offset of a command in an SQE */

/* @is_big: with SQEs of 128 bytes, without which a command is refused. */
struct uring uring_make(unsigned int entries, bool is_big)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQE32 | (is_big ? IORING_SETUP_SQE128 : 0),
	};
	struct uring ring = { .entries = entries };
	unsigned char *rings;
	size_t bytes;

	ring.fd = (int)syscall(__NR_io_uring_setup, entries, &params);
	EXPECT(ring.fd >= 0);
	EXPECT(params.features & IORING_FEAT_SINGLE_MMAP);
	bytes = params.cq_off.cqes + (size_t)params.cq_entries * CQE_BYTES;
	rings = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, (size_t)params.sq_entries * SQE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED, ring.fd, IORING_OFF_SQES);
	EXPECT(rings != MAP_FAILED && ring.sqes != MAP_FAILED);
	ring.sq_tail = (unsigned int *)(rings + params.sq_off.tail);
	ring.sq_mask = (unsigned int *)(rings + params.sq_off.ring_mask);
	ring.sq_array = (unsigned int *)(rings + params.sq_off.array);
	ring.cq_head = (unsigned int *)(rings + params.cq_off.head);
	ring.cq_tail = (unsigned int *)(rings + params.cq_off.tail);
	ring.cq_mask = (unsigned int *)(rings + params.cq_off.ring_mask);
	ring.cqes = rings + params.cq_off.cqes;
	return ring;
}

void uring_put(struct uring *ring, int control, uint32_t command, const struct speckv_cmd *cmd,
	       uint64_t user)
{
	unsigned int tail = *ring->sq_tail, at = tail & *ring->sq_mask;
	unsigned char *place = ring->sqes + (size_t)at * SQE_BYTES;
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)place;

	memset(place, 0, SQE_BYTES);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = control;
	sqe->cmd_op = command;
	sqe->user_data = user;
	memcpy(place + PAYLOAD, cmd, sizeof(*cmd));
	ring->sq_array[at] = at;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
}

int uring_enter(struct uring *ring, unsigned int submit, unsigned int wait)
{
	return (int)syscall(__NR_io_uring_enter, ring->fd, submit, wait, IORING_ENTER_GETEVENTS,
			    NULL, 0);
}

struct uring_end uring_take(struct uring *ring)
{
	unsigned int head = *ring->cq_head;
	struct uring_end end;
	unsigned char *cqe;

	while (__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == head)
		EXPECT(uring_enter(ring, 0, 1) >= 0);
	cqe = ring->cqes + (size_t)(head & *ring->cq_mask) * CQE_BYTES;
	memcpy(&end.user, cqe, 8);
	memcpy(&end.result, cqe + 8, 4);
	memcpy(&end.second, cqe + 16, 8);
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return end;
}
