/* SPDX-License-Identifier: GPL-2.0 */
/*
 * flush.h - write back and drop lines of the CPU's caches. Only lend.c and pci.c include it: where
 * there is no such call an engine that is not coherent is refused.
 */
#ifndef SPECKV_COMPAT_FLUSH_H
#define SPECKV_COMPAT_FLUSH_H

#include <linux/types.h>

#ifdef CONFIG_X86
#include <asm/cacheflush.h>

#define SPECKV_CAN_FLUSH true

static inline void speckv_flush_caches(void *memory, unsigned long bytes)
{
	clflush_cache_range(memory, bytes);
}
#else
#define SPECKV_CAN_FLUSH false

static inline void speckv_flush_caches(void *memory, unsigned long bytes)
{
}
#endif

#endif /* SPECKV_COMPAT_FLUSH_H */
