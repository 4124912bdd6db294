// SPDX-License-Identifier: GPL-2.0
/*
 * ioctl.c - the calls of uapi/linux/speckv.h.
 *
 * Each copies its argument once, has check.c look at the copy, does its work on the copy, and
 * copies it back. No lock is held over a copy.
 */
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "check.h"
#include "speckv.h"

/* Nobody has to wait for others for ever: see "Conventions" in the uapi header. */
static int lock_alive(struct speckv_file *file)
{
	struct speckv_region *region = file->region;

	if (file->maker && mutex_lock_interruptible(&region->lock))
		return -ERESTARTSYS;
	if (!file->maker && mutex_lock_killable(&region->lock))
		return -EINTR;
	if (!region->dead)
		return 0;
	mutex_unlock(&region->lock);
	return -ENODEV;
}

static u64 bytes_of(u64 granules)
{
	return granules << SPECKV_GRANULE_SHIFT;
}

static long ioctl_info(struct speckv_file *file, struct speckv_info *arg)
{
	struct speckv_region *region = file->region;
	int rc = speckv_check_info(arg);

	if (rc)
		return rc;
	rc = lock_alive(file);
	if (rc)
		return rc;
	arg->abi_version = SPECKV_ABI_VERSION;
	arg->device_bytes = region->bytes;
	arg->granule_bytes = SPECKV_GRANULE_BYTES;
	arg->features =
		SPECKV_FEATURE_ZERO_FALLBACK | SPECKV_FEATURE_PINNABLE | SPECKV_FEATURE_ENGINE;
	arg->limit_bytes = file->maker ? 0 : file->account->limit_bytes;
	arg->role = file->role;
	arg->numa_node = region->numa_node;
	mutex_unlock(&region->lock);
	return 0;
}

/* Until a granule was cleaned since @seen; what is left of the time, or an error. */
static long wait_until_cleaner(struct speckv_region *region, u32 seen, long left)
{
	struct wait_queue_head *queue = &region->clean_wait;
	const u32 *seq = &region->clean_seq;
	const bool *dead = &region->dead;

	return wait_event_interruptible_timeout(*queue, READ_ONCE(*seq) != seen || READ_ONCE(*dead),
						left);
}

static long ioctl_alloc(struct speckv_file *file, struct speckv_alloc *arg)
{
	struct speckv_region *region = file->region;
	long left = msecs_to_jiffies(arg->timeout_ms);
	u32 count = arg->bytes >> SPECKV_GRANULE_SHIFT;
	u32 first, seen, at = arg->offset >> SPECKV_GRANULE_SHIFT;
	const u32 *place = arg->flags & SPECKV_ALLOC_AT ? &at : NULL;
	int rc = speckv_check_alloc(arg, region->bytes);

	if (rc)
		return rc;
	for (;;) {
		rc = lock_alive(file);
		if (rc)
			return rc;
		seen = region->clean_seq;
		rc = speckv_extent_alloc(file, place, count, arg->cookie, &arg->handle, &first);
		mutex_unlock(&region->lock);
		if (rc != -EAGAIN || left <= 0)
			break;
		left = wait_until_cleaner(region, seen, left);
		if (left < 0)
			return -EINTR;
	}
	if (!rc)
		arg->offset = bytes_of(first);
	return rc;
}

/* The caller never learnt the handle. */
static void undo_alloc(struct speckv_file *file, u64 handle)
{
	struct speckv_leaving leaving = { 0 };
	struct speckv_extent *extent;

	mutex_lock(&file->region->lock);
	extent = speckv_extent_find(file, handle);
	if (extent)
		speckv_extent_free(file, extent, &leaving);
	mutex_unlock(&file->region->lock);
	speckv_leave(file->region, &leaving, 1);
}

static long ioctl_free(struct speckv_file *file, struct speckv_free *arg)
{
	struct speckv_leaving leaving = { 0 };
	struct speckv_extent *extent;
	int rc = speckv_check_free(arg);

	if (rc)
		return rc;
	rc = lock_alive(file);
	if (rc)
		return rc;
	extent = speckv_extent_find(file, arg->handle);
	if (extent)
		speckv_extent_free(file, extent, &leaving);
	mutex_unlock(&file->region->lock);
	if (!extent)
		return -ENOENT;
	speckv_lend_settle(file);
	speckv_leave(file->region, &leaving, 1);
	return 0;
}

static long ioctl_export(struct file *filp, struct speckv_export *arg, void __user *user)
{
	struct file *export = NULL;
	int fd = -1;
	long rc = speckv_check_export(arg);

	if (rc)
		return rc;
	if (arg->flags & SPECKV_EXPORT_NEW) {
		fd = get_unused_fd_flags(O_CLOEXEC);
		if (fd < 0)
			return fd;
	}
	rc = speckv_export(filp, arg, &export);
	if (fd < 0)
		return rc;
	arg->fd = fd;
	if (!rc && copy_to_user(user, arg, sizeof(*arg)))
		rc = -EFAULT;
	if (rc) {
		put_unused_fd(fd);
		if (export)
			fput(export);
		return rc;
	}
	fd_install(fd, export);
	return 0;
}

static void stat_file(struct speckv_file *file, struct speckv_stat *arg)
{
	arg->held_bytes = file->held_bytes;
	arg->pinned_bytes = file->account->pinned_bytes;
	arg->extents = file->extents;
	arg->exports = file->account->exports;
	arg->faults_huge = atomic64_read(&file->faults_huge);
	arg->faults_zero = atomic64_read(&file->faults_zero);
}

static void stat_region(struct speckv_region *region, struct speckv_stat *arg)
{
	const struct speckv_space *space = &region->space;
	const struct speckv_account *pinner = speckv_pinner(region);
	u32 waiting = space->counts[SPECKV_GRANULE_DIRTY] + space->counts[SPECKV_GRANULE_CLEANING];

	arg->free_bytes = bytes_of(space->counts[SPECKV_GRANULE_FREE]);
	arg->used_bytes = bytes_of(space->counts[SPECKV_GRANULE_USED]);
	arg->dirty_bytes = bytes_of(waiting - space->pinned);
	arg->quarantined_bytes = bytes_of(space->pinned);
	arg->poisoned_bytes = bytes_of(space->poisoned);
	arg->longest_bytes = bytes_of(speckv_space_longest(space));
	if (!pinner)
		return;
	arg->pinner_bytes = pinner->pinned_bytes;
	arg->pinner_pid = pinner->pid;
	arg->pinner_uid = from_kuid_munged(current_user_ns(), pinner->uid);
}

static long ioctl_stat(struct speckv_file *file, struct speckv_stat *arg)
{
	struct speckv_file *about = file;
	struct file *filp = NULL;
	int rc = speckv_check_stat(arg);

	if (rc)
		return rc;
	if (arg->fd >= 0) {
		filp = fget(arg->fd);
		about = filp && !file->maker ? speckv_export_of(file, filp) : NULL;
	}
	rc = about ? lock_alive(file) : -EBADF;
	if (!rc) {
		stat_file(about, arg);
		if (!file->maker)
			stat_region(file->region, arg);
		mutex_unlock(&file->region->lock);
	}
	if (filp)
		fput(filp);
	return rc;
}

static u64 poisoned_bytes(struct speckv_region *region, const struct speckv_extent *extent)
{
	u32 i, poisoned = 0;

	for (i = 0; i < extent->count; i++)
		poisoned += speckv_space_is_poisoned(&region->space, extent->first + i);
	return bytes_of(poisoned);
}

/* Fill @entries; lock held. */
static u32 list_extents(struct speckv_file *file, struct speckv_list *arg,
			struct speckv_extent_entry *entries)
{
	u64 start = min(arg->start_offset, file->region->bytes);
	unsigned long granule = DIV_ROUND_UP_ULL(start, SPECKV_GRANULE_BYTES);
	const unsigned long from = granule;
	struct speckv_hold *hold;
	u32 written = 0;

	hold = xa_find(&file->holds, &granule, ULONG_MAX, XA_PRESENT);
	while (hold && written < arg->count) {
		struct speckv_extent *extent = hold->extent;

		if (extent->first >= from)
			entries[written++] = (struct speckv_extent_entry){
				.handle = extent->handle,
				.offset = bytes_of(extent->first),
				.bytes = bytes_of(extent->count),
				.cookie = extent->cookie,
				.poisoned_bytes = poisoned_bytes(file->region, extent),
			};
		granule = extent->first + extent->count;
		arg->start_offset = bytes_of(granule);
		hold = xa_find(&file->holds, &granule, ULONG_MAX, XA_PRESENT);
	}
	return written;
}

static long ioctl_list(struct speckv_file *file, struct speckv_list *arg)
{
	struct speckv_extent_entry *entries;
	int rc = speckv_check_list(arg);

	if (rc)
		return rc;
	entries = kvcalloc(arg->count, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	rc = lock_alive(file);
	if (!rc) {
		arg->count = list_extents(file, arg, entries);
		mutex_unlock(&file->region->lock);
		if (copy_to_user(u64_to_user_ptr(arg->entries), entries,
				 arg->count * sizeof(*entries)))
			rc = -EFAULT;
	}
	kvfree(entries);
	return rc;
}

static long poison_list(struct speckv_file *file, struct speckv_poison *arg)
{
	const struct speckv_space *space = &file->region->space;
	u64 start = min(arg->offset, file->region->bytes);
	u64 granule = DIV_ROUND_UP_ULL(start, SPECKV_GRANULE_BYTES);
	u32 written = 0;
	u64 *offsets;
	int rc;

	offsets = kvcalloc(arg->count, sizeof(*offsets), GFP_KERNEL_ACCOUNT);
	if (!offsets)
		return -ENOMEM;
	rc = lock_alive(file);
	if (rc)
		goto out;
	for (; granule < space->granules && written < arg->count; granule++)
		if (speckv_space_is_poisoned(space, granule))
			offsets[written++] = bytes_of(granule);
	mutex_unlock(&file->region->lock);
	arg->count = written;
	arg->offset = bytes_of(granule);
	if (copy_to_user(u64_to_user_ptr(arg->entries), offsets, written * sizeof(*offsets)))
		rc = -EFAULT;
out:
	kvfree(offsets);
	return rc;
}

static long ioctl_poison(struct speckv_file *file, struct speckv_poison *arg)
{
	int rc = speckv_check_poison(arg, file->region->bytes);
	u32 first, last;

	if (rc)
		return rc;
	if (arg->flags & SPECKV_POISON_LIST)
		return poison_list(file, arg);
	first = arg->offset >> SPECKV_GRANULE_SHIFT;
	last = (arg->offset + arg->bytes - 1) >> SPECKV_GRANULE_SHIFT;
	rc = speckv_region_poison(file->region, first, last - first + 1);
	return rc < 0 ? rc : 0;
}

/* May this file make this call at all? */
int speckv_may_call(struct file *filp, unsigned int command)
{
	struct speckv_file *file = filp->private_data;

	switch (command) {
	case SPECKV_IOC_INFO:
	case SPECKV_IOC_STAT:
		return 0;
	case SPECKV_IOC_ALLOC:
	case SPECKV_IOC_FREE:
	case SPECKV_IOC_EXPORT:
	case SPECKV_IOC_LIST:
	case SPECKV_IOC_POISON:
	case SPECKV_IOC_ENGINE:
	case SPECKV_IOC_COMMAND:
		if (file->maker)
			return -EACCES;
		if (!(filp->f_mode & FMODE_READ) || !(filp->f_mode & FMODE_WRITE))
			return -EBADF;
		return 0;
	default:
		return -ENOTTY;
	}
}

union speckv_argument {
	struct speckv_info info;
	struct speckv_alloc alloc;
	struct speckv_free free;
	struct speckv_export export;
	struct speckv_stat stat;
	struct speckv_list list;
	struct speckv_poison poison;
	struct speckv_engine_info engine;
	struct speckv_cmd cmd;
};

long speckv_ioctl(struct file *filp, unsigned int command, unsigned long argument)
{
	struct speckv_file *file = filp->private_data;
	void __user *user = (void __user *)argument;
	union speckv_argument arg;
	long rc;

	rc = speckv_may_call(filp, command);
	if (rc)
		return rc;
	if (copy_from_user(&arg, user, _IOC_SIZE(command)))
		return -EFAULT;
	switch (command) {
	case SPECKV_IOC_INFO:
		rc = ioctl_info(file, &arg.info);
		break;
	case SPECKV_IOC_ALLOC:
		rc = ioctl_alloc(file, &arg.alloc);
		break;
	case SPECKV_IOC_FREE:
		return ioctl_free(file, &arg.free);
	case SPECKV_IOC_EXPORT:
		return ioctl_export(filp, &arg.export, user);
	case SPECKV_IOC_STAT:
		rc = ioctl_stat(file, &arg.stat);
		break;
	case SPECKV_IOC_LIST:
		rc = ioctl_list(file, &arg.list);
		break;
	case SPECKV_IOC_POISON:
		rc = ioctl_poison(file, &arg.poison);
		break;
	case SPECKV_IOC_ENGINE:
		rc = speckv_engine_tell(file, &arg.engine);
		break;
	case SPECKV_IOC_COMMAND:
		rc = speckv_command(file, &arg.cmd);
		break;
	}
	if (!rc && copy_to_user(user, &arg, _IOC_SIZE(command))) {
		rc = -EFAULT;
		if (command == SPECKV_IOC_ALLOC)
			undo_alloc(file, arg.alloc.handle);
	}
	return rc;
}
