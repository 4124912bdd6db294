/* SPDX-License-Identifier: GPL-2.0 */
/*
 * check.h - is an ioctl argument well formed? Pure functions over a copy of the argument.
 *
 * Called by ioctl.c before anything else looks at the argument, and by unit tests and a fuzz
 * target in user space. 0 or -EINVAL; never looks at handles, limits or memory.
 */
#ifndef SPECKV_CHECK_H
#define SPECKV_CHECK_H

#include "shim.h"
#include <uapi/linux/speckv.h>

int speckv_check_info(const struct speckv_info *info);
int speckv_check_alloc(const struct speckv_alloc *alloc, u64 device_bytes);
int speckv_check_free(const struct speckv_free *free);
int speckv_check_export(const struct speckv_export *change);
int speckv_check_stat(const struct speckv_stat *stat);
int speckv_check_list(const struct speckv_list *list);
int speckv_check_poison(const struct speckv_poison *poison, u64 device_bytes);

#endif /* SPECKV_CHECK_H */
