/* SPDX-License-Identifier: GPL-2.0 */
/*
 * shim.h - what the driver's pure files need of their surroundings.
 *
 * space, check, ring and cmd_check hold the pure logic. They compile in the kernel and, for unit
 * tests and fuzzing, in user space; so they include this header and no other of the kernel's.
 */
#ifndef SPECKV_SHIM_H
#define SPECKV_SHIM_H

#ifdef __KERNEL__
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/types.h>

static inline void *shim_zalloc(size_t count, size_t size)
{
	return kvcalloc(count, size, GFP_KERNEL);
}

static inline void shim_free(void *memory)
{
	kvfree(memory);
}

/* A broken rule inside the driver: said once, with a backtrace; the caller gives up the memory. */
#define shim_broken(condition) WARN_ON_ONCE(condition)

#else /* user space: unit tests and fuzz targets */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64; /* as __u64 */

static inline void *shim_zalloc(size_t count, size_t size)
{
	return calloc(count, size);
}

static inline void shim_free(void *memory)
{
	free(memory);
}

static inline bool shim_broken_at(bool broken, const char *what)
{
	if (broken) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
	return broken;
}

#define shim_broken(condition) shim_broken_at(condition, #condition)
#ifndef __cplusplus /* the tests include the headers only, and C++ has its own max */
#define max(a, b) ((a) > (b) ? (a) : (b))
#endif
#endif

#endif /* SPECKV_SHIM_H */
