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

/* No mapping of any process shows these granules when this returns. */
void speckv_region_unmap(struct speckv_region *region, u32 first, u32 count)
{
	unmap_mapping_range(region->inode->i_mapping, (loff_t)first << SPECKV_GRANULE_SHIFT,
			    (loff_t)count << SPECKV_GRANULE_SHIFT, 1);
}

void speckv_region_event(struct speckv_region *region, const char *event, u32 granule)
{
	char what[32], where[48];
	char *environment[3] = { what, where };

	snprintf(what, sizeof(what), "SPECKV_EVENT=%s", event);
	snprintf(where, sizeof(where), "SPECKV_OFFSET=%llu", (u64)granule << SPECKV_GRANULE_SHIFT);
	kobject_uevent_env(&region->dev.kobj, KOBJ_CHANGE, environment);
}

static void region_release(struct device *dev)
{
	struct speckv_region *region = to_speckv_region(dev);

	speckv_extents_forget(region);
	kvfree(region->extent_of);
	speckv_space_destroy(&region->space);
	if (region->zero_page)
		__free_page(region->zero_page);
	iput(region->inode);
	if (region->has_minor)
		speckv_minor_put(region->id);
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
	region->zero_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	return region->extent_of && region->zero_page ? 0 : -ENOMEM;
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
	init_rwsem(&region->map_sem);
	INIT_LIST_HEAD(&region->files);
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
	rc = speckv_minor_get();
	if (rc < 0)
		goto out;
	region->id = rc;
	region->has_minor = true;
	region->dev.devt = speckv_devt(region->id);
	rc = dev_set_name(&region->dev, "speckv%d", region->id);
	if (rc)
		goto out;
	return region;
out:
	put_device(&region->dev);
	return ERR_PTR(rc);
}

/* The memory is mapped: show the region to the world and begin to zero it. */
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
	cdev_device_del(&region->cdev, &region->dev);
	debugfs_remove(region->debug);
	/* Now, not with the last file: the next binding is to have the same name. */
	speckv_minor_put(region->id);
	region->has_minor = false;
	mutex_lock(&region->lock);
	down_write(&region->map_sem);
	region->dead = true;
	up_write(&region->map_sem);
	trace_speckv_kill(region->id, region->extents);
	mutex_unlock(&region->lock);
	wake_up_all(&region->clean_wait);
	cancel_delayed_work_sync(&region->cleaner);
}
