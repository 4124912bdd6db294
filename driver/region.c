// SPDX-License-Identifier: GPL-2.0
/*
 * region.c - one region's life, from probe to the last file closed.
 *
 * Called by dax.c. Knows no DAX structure and no ioctl.
 */
#include <linux/debugfs.h>
#include <linux/slab.h>

#include "speckv.h"
#include "trace.h"

unsigned long speckv_granule_pfn(const struct speckv_region *region, u32 granule)
{
	u64 offset = (u64)granule << SPECKV_GRANULE_SHIFT;
	int i;

	for (i = 0; i < region->nr_range; i++) {
		u64 length = range_len(&region->ranges[i]);

		if (offset < length)
			return PHYS_PFN(region->ranges[i].start + offset);
		offset -= length;
	}
	WARN_ONCE(1, "granule %u is outside of the region\n", granule);
	return PHYS_PFN(region->ranges[0].start);
}

/* The page map holds one reference to each folio; any other is a pin (or, on 7.x, a mapping). */
bool speckv_granule_is_pinned(const struct speckv_region *region, u32 granule)
{
	return folio_ref_count(pfn_folio(speckv_granule_pfn(region, granule))) != 1;
}

/* After this no fault is under way that has not seen what the caller changed before. */
void speckv_region_settle(struct speckv_region *region)
{
	lockdep_assert_held(&region->lock);
	write_lock(&region->map_lock);
	write_unlock(&region->map_lock);
}

/* No mapping of any process shows these granules when this returns. Takes as long as there are. */
void speckv_region_unmap(struct speckv_region *region, u32 first, u32 count)
{
	unmap_mapping_range(region->inode->i_mapping, (loff_t)first << SPECKV_GRANULE_SHIFT,
			    (loff_t)count << SPECKV_GRANULE_SHIFT, 1);
}

static void region_release(struct device *dev)
{
	struct speckv_region *region = to_speckv_region(dev);

	speckv_extents_forget(region);
	kvfree(region->extent_of);
	speckv_space_destroy(&region->space);
	iput(region->inode);
	if (region->id >= 0)
		ida_free(&speckv_ids, region->id);
	if (region->minor >= 0)
		ida_free(&speckv_minors, region->minor);
	mutex_destroy(&region->lock);
	kfree(region);
}

static int region_tables(struct speckv_region *region)
{
	u32 granules = region->bytes >> SPECKV_GRANULE_SHIFT;
	int rc;

	rc = speckv_space_init(&region->space, granules);
	if (rc)
		return rc;
	region->extent_of = kvcalloc(granules, sizeof(*region->extent_of), GFP_KERNEL);
	return region->extent_of ? 0 : -ENOMEM;
}

static int region_numbers(struct speckv_region *region)
{
	region->id = speckv_number_get(&speckv_ids);
	if (region->id < 0)
		return region->id;
	region->minor = speckv_number_get(&speckv_minors);
	if (region->minor < 0)
		return region->minor;
	region->dev.devt = speckv_devt(region->minor);
	return dev_set_name(&region->dev, "speckv%d", region->id);
}

/* A region that nobody sees yet. From here on put_device(&region->dev) frees it. */
struct speckv_region *speckv_region_create(const char *dax_name, struct inode *inode, int numa_node,
					   const struct range *ranges, int nr_range)
{
	struct speckv_region *region = kzalloc(sizeof(*region), GFP_KERNEL);
	int rc, i;

	if (!region)
		return ERR_PTR(-ENOMEM);
	mutex_init(&region->lock);
	rwlock_init(&region->map_lock);
	INIT_LIST_HEAD(&region->files);
	INIT_LIST_HEAD(&region->retired);
	region->id = -1;
	region->minor = -1;
	INIT_DELAYED_WORK(&region->cleaner, speckv_cleaner);
	init_waitqueue_head(&region->clean_wait);
	strscpy(region->dax_name, dax_name);
	region->inode = igrab(inode);
	region->numa_node = numa_node;
	region->nr_range = nr_range;
	for (i = 0; i < nr_range; i++) {
		region->ranges[i] = ranges[i];
		region->bytes += range_len(&ranges[i]);
	}
	region->file_limit_bytes = region->bytes;
	region->file_exports_max = SPECKV_EXPORTS_MAX;
	device_initialize(&region->dev);
	region->dev.class = &speckv_class;
	region->dev.release = region_release;

	rc = region_tables(region);
	if (rc)
		goto out;
	rc = region_numbers(region);
	if (rc)
		goto out;
	return region;
out:
	put_device(&region->dev);
	return ERR_PTR(rc);
}

/*
 * The memory is mapped: show the region to the world and begin to zero it. Where that fails the
 * node may have been there for a moment and be open: so it takes speckv_region_kill() and a wait
 * for pins to go back, as ever.
 */
int speckv_region_start(struct speckv_region *region)
{
	u32 granule;
	int rc;

	for (granule = 0; granule < region->space.granules; granule++)
		if (speckv_pfn_was_poisoned(speckv_granule_pfn(region, granule)))
			speckv_space_poison(&region->space, granule);
	cdev_init(&region->cdev, &speckv_fops);
	region->cdev.owner = THIS_MODULE;
	rc = cdev_device_add(&region->cdev, &region->dev);
	if (rc)
		return rc;
	region->is_shown = true;
	speckv_debugfs_add(region);
	queue_delayed_work(speckv_workqueue, &region->cleaner, 0);
	return 0;
}

/*
 * No file of the region reaches the memory after this: calls say -ENODEV, new mappings are
 * refused, faults answer zeros or SIGBUS. What is in page tables is left to the caller's
 * kill_dev_dax(), pins to its wait.
 */
void speckv_region_kill(struct speckv_region *region)
{
	struct speckv_file *file;

	if (region->is_shown) {
		cdev_device_del(&region->cdev, &region->dev);
		debugfs_remove(region->debug);
	}
	mutex_lock(&region->lock);
	region->dead = true;
	speckv_region_settle(region);
	list_for_each_entry(file, &region->files, in_region)
		speckv_lend_end(file, NULL);
	trace_speckv_kill(region->id, region->extents);
	mutex_unlock(&region->lock);
	speckv_engines_settle();
	wake_up_all(&region->clean_wait);
	cancel_delayed_work_sync(&region->cleaner);
	/* Now, not with the last file: the next binding is to have the same name. */
	ida_free(&speckv_ids, region->id);
	WRITE_ONCE(region->id, -1);
}
