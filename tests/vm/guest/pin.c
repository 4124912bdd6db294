// SPDX-License-Identifier: Apache-2.0
/*
 * pin.c - io_uring fixed buffers: the pin that RDMA and CUDA registration take as well; and a page
 * that cannot move, since a pipe has it.
 */
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "harness.h"

int ring_make(void)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(__NR_io_uring_setup, 4, &params);

	EXPECT(ring >= 0);
	return ring;
}

int ring_register(int ring, void *address, size_t bytes)
{
	struct iovec buffer = { address, bytes };

	return (int)syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1);
}

int ring_unregister(int ring)
{
	return (int)syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

/* Says "held" and stays. A fixed buffer would not do: its pages leave movable memory first. */
int hold_node(int node)
{
	unsigned long nodes = 1UL << node;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec piece = { page, 4096 };
	int ends[2];

	EXPECT(page != MAP_FAILED);
	EXPECT_EQ(syscall(__NR_mbind, page, 4096, MPOL_BIND, &nodes, 64, 0), 0);
	memset(page, 1, 4096);
	EXPECT_EQ(pipe(ends), 0);
	EXPECT_EQ(vmsplice(ends[1], &piece, 1, 0), 4096);
	printf("held\n");
	for (;;)
		pause();
}
