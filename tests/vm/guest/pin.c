// SPDX-License-Identifier: Apache-2.0
/* pin.c - io_uring fixed buffers: the pin that RDMA and CUDA registration take as well. */
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "harness.h"

int ring_make(void)
{
	struct io_uring_params params = {0};
	int ring = (int)syscall(__NR_io_uring_setup, 4, &params);

	EXPECT(ring >= 0);
	return ring;
}

int ring_register(int ring, void *address, size_t bytes)
{
	struct iovec buffer = {address, bytes};

	return (int)syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1);
}

int ring_unregister(int ring)
{
	return (int)syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}
