// SPDX-License-Identifier: GPL-2.0
/*
 * file.c - files of a region: opens of /dev/speckvN, and the exports made from them.
 *
 * An export is a second open of the same device node, turned into an export before anybody else
 * can see it. It must be a file of a character device: the core takes any other DAX file for a
 * file system's and forbids long pins. Its node is the daemon's (mode 0600), so whoever got the
 * descriptor cannot open it anew through /proc.
 */
#include <linux/file.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "speckv.h"
#include "trace.h"

static int speckv_open(struct inode *inode, struct file *filp)
{
	struct speckv_region *region = container_of(inode->i_cdev, struct speckv_region, cdev);
	struct speckv_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	int rc = -ENOMEM;

	if (!file)
		return -ENOMEM;
	file->account = speckv_account_create();
	if (!file->account)
		goto out_file;
	file->role = SPECKV_ROLE_CONTROL;
	file->region = region;
	xa_init(&file->holds);

	rc = -EINTR;
	if (mutex_lock_killable(&region->lock))
		goto out_account;
	rc = region->dead ? -ENODEV : 0;
	if (!rc) {
		file->account->limit_bytes = region->file_limit_bytes;
		list_add_tail(&file->in_region, &region->files);
	}
	mutex_unlock(&region->lock);
	if (rc)
		goto out_account;
	get_device(&region->dev);
	/* All mappings lie in the DAX device's own address space, at region offsets. */
	filp->f_mapping = region->inode->i_mapping;
	filp->private_data = file;
	return 0;

out_account:
	speckv_account_put(file->account);
out_file:
	kfree(file);
	return rc;
}

static int speckv_release(struct inode *inode, struct file *filp)
{
	struct speckv_file *file = filp->private_data;
	struct speckv_region *region = file->region;

	speckv_engine_detach(file);
	mutex_lock(&region->lock);
	speckv_file_drop_all(file);
	list_del(&file->in_region);
	if (file->maker)
		file->maker->exports--;
	mutex_unlock(&region->lock);
	speckv_account_put(file->maker);
	speckv_account_put(file->account);
	kfree(file);
	put_device(&region->dev);
	return 0;
}

const struct file_operations speckv_fops = {
	.owner = THIS_MODULE,
	.open = speckv_open,
	.release = speckv_release,
	.mmap = speckv_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.unlocked_ioctl = speckv_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = speckv_uring_cmd,
	.llseek = noop_llseek,
};

/* The export that @filp is, if @control made it. */
struct speckv_file *speckv_export_of(struct speckv_file *control, struct file *filp)
{
	struct speckv_file *file;

	if (filp->f_op != &speckv_fops)
		return NULL;
	file = filp->private_data;
	return file->maker == control->account ? file : NULL;
}

/* Handles of one EXPORT call, found. lock held. */
static int find_extents(struct speckv_file *control, const u64 *handles, u32 count,
			struct speckv_extent **extents)
{
	u32 i;

	for (i = 0; i < count; i++) {
		extents[i] = speckv_extent_find(control, handles[i]);
		if (!extents[i])
			return -ENOENT;
	}
	return 0;
}

static int add_extents(struct speckv_file *export, struct speckv_extent **extents, u32 count,
		       struct speckv_leaving *leaving)
{
	u32 i;
	int rc = 0;

	for (i = 0; i < count; i++) {
		rc = speckv_extent_hold(export, extents[i], &leaving[i]);
		if (rc)
			break;
	}
	if (rc)
		while (i--)
			speckv_extent_drop(export, extents[i], &leaving[i]);
	return rc;
}

static int drop_extents(struct speckv_file *export, struct speckv_extent **extents, u32 count,
			struct speckv_leaving *leaving)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (!xa_load(&export->holds, extents[i]->first))
			return -ENOENT;
	for (i = 0; i < count; i++)
		speckv_extent_drop(export, extents[i], &leaving[i]);
	return 0;
}

/* Everything of the call that needs the lock; @leaving is to be ended after it. */
static int export_locked(struct speckv_file *control, struct speckv_file *export,
			 const struct speckv_export *arg, const u64 *handles,
			 struct speckv_extent **extents, struct speckv_leaving *leaving)
{
	struct speckv_region *region = control->region;
	int rc;

	if (mutex_lock_killable(&region->lock))
		return -EINTR;
	rc = region->dead ? -ENODEV : find_extents(control, handles, arg->count, extents);
	if (rc)
		goto out;
	if (arg->flags & SPECKV_EXPORT_NEW) {
		if (control->account->exports >= region->file_exports_max) {
			rc = -EDQUOT;
			goto out;
		}
		export->role = arg->flags & SPECKV_EXPORT_WRITE ? SPECKV_ROLE_EXPORT_WRITE
								: SPECKV_ROLE_EXPORT_READ;
		kref_get(&control->account->ref);
		export->maker = control->account;
		control->account->exports++;
	}
	if (arg->flags & SPECKV_EXPORT_DROP)
		rc = drop_extents(export, extents, arg->count, leaving);
	else
		rc = add_extents(export, extents, arg->count, leaving);
	trace_speckv_export(region->id, arg->flags, arg->count, rc);
out:
	mutex_unlock(&region->lock);
	return rc;
}

static int compare_handles(const void *a, const void *b)
{
	u64 left = *(const u64 *)a, right = *(const u64 *)b;

	return left < right ? -1 : left > right;
}

/* The handles, in order; no two alike. */
static u64 *read_handles(const struct speckv_export *arg)
{
	u64 *handles;
	u32 i;

	handles = vmemdup_array_user(u64_to_user_ptr(arg->handles), arg->count, sizeof(u64));
	if (IS_ERR(handles))
		return handles;
	sort(handles, arg->count, sizeof(*handles), compare_handles, NULL);
	for (i = 1; i < arg->count; i++) {
		if (handles[i] == handles[i - 1]) {
			kvfree(handles);
			return ERR_PTR(-EINVAL);
		}
	}
	return handles;
}

/* The file that the call is about: a new one, or the one named. */
static struct file *export_file(struct file *control, const struct speckv_export *arg)
{
	int flags = arg->flags & SPECKV_EXPORT_WRITE ? O_RDWR : O_RDONLY;
	struct file *filp;

	if (arg->flags & SPECKV_EXPORT_NEW)
		return dentry_open(&control->f_path, flags | O_LARGEFILE, current_cred());
	filp = fget(arg->fd);
	if (filp && speckv_export_of(control->private_data, filp))
		return filp;
	if (filp)
		fput(filp);
	return ERR_PTR(-EBADF);
}

/* EXPORT. With NEW, *ret_new is the file, which the caller gives a descriptor or puts. */
long speckv_export(struct file *filp, struct speckv_export *arg, struct file **ret_new)
{
	struct speckv_file *control = filp->private_data;
	struct speckv_leaving *leaving = NULL;
	struct speckv_extent **extents;
	struct file *export;
	u64 *handles = NULL;
	int rc = -ENOMEM;

	if (arg->count) {
		handles = read_handles(arg);
		if (IS_ERR(handles))
			return PTR_ERR(handles);
	}
	extents = kvcalloc(max(arg->count, 1U), sizeof(*extents), GFP_KERNEL);
	leaving = kvcalloc(max(arg->count, 1U), sizeof(*leaving), GFP_KERNEL);
	if (!extents || !leaving)
		goto out_extents;
	export = export_file(filp, arg);
	if (IS_ERR(export)) {
		rc = PTR_ERR(export);
		goto out_extents;
	}
	rc = export_locked(control, export->private_data, arg, handles, extents, leaving);
	speckv_leave(control->region, leaving, arg->count);
	if (!rc && arg->flags & SPECKV_EXPORT_NEW)
		*ret_new = export;
	else
		fput(export);
out_extents:
	kvfree(leaving);
	kvfree(extents);
	kvfree(handles);
	return rc;
}
