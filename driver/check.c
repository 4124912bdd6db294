// SPDX-License-Identifier: GPL-2.0
/*
 * check.c - refuses ioctl arguments that are not well formed; see check.h.
 *
 * Every field that is not an input must be 0, so that a later version can give it a meaning.
 */
#include "check.h"

/* What is ABI stays as it is, for 32-bit callers too: no padding, and 64-bit members aligned. */
static_assert(sizeof(struct speckv_info) == 80 && offsetof(struct speckv_info, reserved) == 48);
static_assert(sizeof(struct speckv_alloc) == 56 && offsetof(struct speckv_alloc, handle) == 24);
static_assert(sizeof(struct speckv_free) == 32);
static_assert(sizeof(struct speckv_export) == 40 && offsetof(struct speckv_export, handles) == 8);
static_assert(sizeof(struct speckv_stat) == 136 && offsetof(struct speckv_stat, free_bytes) == 56);
static_assert(offsetof(struct speckv_stat, reserved) == 120);
static_assert(sizeof(struct speckv_extent_entry) == 40);
static_assert(sizeof(struct speckv_list) == 40);
static_assert(sizeof(struct speckv_poison) == 48);

static bool is_zero(const void *memory, size_t bytes)
{
	const u8 *byte = memory;

	while (bytes--)
		if (*byte++)
			return false;
	return true;
}

static bool is_one_of(u32 flags, u32 choices)
{
	flags &= choices;
	return flags && !(flags & (flags - 1));
}

int speckv_check_info(const struct speckv_info *info)
{
	return is_zero(info, sizeof(*info)) ? 0 : -EINVAL;
}

int speckv_check_alloc(const struct speckv_alloc *alloc, u64 device_bytes)
{
	if (!alloc->bytes || alloc->bytes % SPECKV_GRANULE_BYTES || alloc->bytes > device_bytes)
		return -EINVAL;
	if (alloc->flags & ~SPECKV_ALLOC_AT || alloc->timeout_ms > SPECKV_TIMEOUT_MS_MAX)
		return -EINVAL;
	if (alloc->offset && !(alloc->flags & SPECKV_ALLOC_AT))
		return -EINVAL;
	if (alloc->offset % SPECKV_GRANULE_BYTES || alloc->offset > device_bytes - alloc->bytes)
		return -EINVAL;
	if (alloc->handle || !is_zero(alloc->reserved, sizeof(alloc->reserved)))
		return -EINVAL;
	return 0;
}

int speckv_check_free(const struct speckv_free *free)
{
	if (free->flags || free->pad || !is_zero(free->reserved, sizeof(free->reserved)))
		return -EINVAL;
	return 0;
}

int speckv_check_export(const struct speckv_export *change)
{
	const u32 verbs = SPECKV_EXPORT_NEW | SPECKV_EXPORT_ADD | SPECKV_EXPORT_DROP;
	const bool is_new = change->flags & SPECKV_EXPORT_NEW;

	if (change->flags & ~(verbs | SPECKV_EXPORT_WRITE) || !is_one_of(change->flags, verbs))
		return -EINVAL;
	if (change->flags & SPECKV_EXPORT_WRITE && !is_new)
		return -EINVAL;
	if (is_new ? change->fd != -1 : change->fd < 0)
		return -EINVAL;
	if (change->count > SPECKV_CALL_MAX || (!change->count && !is_new))
		return -EINVAL;
	if (!change->count != !change->handles)
		return -EINVAL;
	if (change->pad || !is_zero(change->reserved, sizeof(change->reserved)))
		return -EINVAL;
	return 0;
}

int speckv_check_stat(const struct speckv_stat *stat)
{
	struct speckv_stat copy = *stat;

	if (stat->fd < -1)
		return -EINVAL;
	copy.fd = 0;
	return is_zero(&copy, sizeof(copy)) ? 0 : -EINVAL;
}

int speckv_check_list(const struct speckv_list *list)
{
	if (list->flags || !list->count || list->count > SPECKV_CALL_MAX || !list->entries)
		return -EINVAL;
	return is_zero(list->reserved, sizeof(list->reserved)) ? 0 : -EINVAL;
}

int speckv_check_poison(const struct speckv_poison *poison, u64 device_bytes)
{
	const u32 verbs = SPECKV_POISON_LIST | SPECKV_POISON_MARK;

	if (poison->flags & ~verbs || !is_one_of(poison->flags, verbs) ||
	    !is_zero(poison->reserved, sizeof(poison->reserved)))
		return -EINVAL;
	if (poison->flags & SPECKV_POISON_LIST) {
		if (!poison->count || poison->count > SPECKV_CALL_MAX || !poison->entries ||
		    poison->bytes)
			return -EINVAL;
		return 0;
	}
	if (poison->count || poison->entries || !poison->bytes)
		return -EINVAL;
	if (poison->offset >= device_bytes || poison->bytes > device_bytes - poison->offset)
		return -EINVAL;
	return 0;
}
