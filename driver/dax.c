// SPDX-License-Identifier: GPL-2.0
/*
 * dax.c - takes a DAX device that the operator names in new_id, and gives it back.
 *
 * The only file that reads the DAX bus's private structures (compat/dax_abi.h). It trusts nothing
 * in them that it has not checked: a wrong layout must end in a refusal with a sentence, never in
 * a mapping of somebody else's memory. Called by the driver core; calls region.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dax.h>
#include <linux/delay.h>
#include <linux/ioport.h>
#include <linux/module.h>

#include "compat/dax_abi.h"
#include "speckv.h"
#include "trace.h"

static uint drain_seconds = 30;
module_param(drain_seconds, uint, 0644);
MODULE_PARM_DESC(drain_seconds,
		 "how long removal waits for pins before it gives the memory up (default 30)");

static struct dax_device_driver speckv_dax_driver;

/*
 * Does what we read through our copy of the private layout make sense? Each line says what was
 * wrong; together they let a wrong layout through with no memory that is not the device's.
 */
static const char *layout_doubt(struct dev_dax *dev_dax)
{
	struct device *dev = &dev_dax->dev;
	struct inode *inode;
	int i;

	/* dax_dev has had its place in all versions; the rest are values until they are known. */
	inode = dax_inode(dev_dax->dax_dev);
	if (dev->devt != inode->i_rdev || !S_ISCHR(inode->i_mode))
		return "device.devt is not that of dax_dev's inode";
	if (dev->driver != &speckv_dax_driver.drv)
		return "device.driver is not speckv's";
	if (dev_dax->align != PAGE_SIZE && dev_dax->align != PMD_SIZE && dev_dax->align != PUD_SIZE)
		return "align is none of 4 KiB, 2 MiB, 1 GiB";
	if (dev_dax->nr_range < 1 || dev_dax->nr_range > SPECKV_RANGES_MAX)
		return "nr_range is not 1..64";
	if (!virt_addr_valid(dev_dax->ranges))
		return "ranges is no pointer";
	for (i = 0; i < dev_dax->nr_range; i++) {
		struct range *range = &dev_dax->ranges[i].range;

		if (range->start >= range->end ||
		    region_intersects(range->start, range_len(range), IORESOURCE_MEM,
				      IORES_DESC_NONE) != REGION_INTERSECTS)
			return "a range does not lie in a memory resource";
	}
	return NULL;
}

static int check_device(struct dev_dax *dev_dax)
{
	struct device *dev = &dev_dax->dev;
	const char *doubt = layout_doubt(dev_dax);
	int i;

	if (doubt) {
		/* dev may be anything, so it is not asked for its name. */
		pr_err("unknown DAX layout (%s); rebuild speckv for this kernel\n", doubt);
		return -ENODEV;
	}
	if (static_dev_dax(dev_dax)) {
		dev_err(dev, "a static DAX device is not supported; use a CXL region\n");
		return -EOPNOTSUPP;
	}
	for (i = 0; i < dev_dax->nr_range; i++) {
		struct range *range = &dev_dax->ranges[i].range;

		if (!IS_ALIGNED(range->start, PMD_SIZE) ||
		    !IS_ALIGNED(range_len(range), PMD_SIZE)) {
			dev_err(dev, "[%#llx-%#llx] is not made of 2 MiB granules; use align 2M\n",
				range->start, range->end);
			return -EINVAL;
		}
	}
	return 0;
}

static void release_ranges(struct speckv_region *region, int count)
{
	while (count--)
		release_mem_region(region->ranges[count].start, range_len(&region->ranges[count]));
}

static int request_ranges(struct speckv_region *region, struct device *dev)
{
	int i;

	for (i = 0; i < region->nr_range; i++) {
		struct range *range = &region->ranges[i];

		/* Not devm: an abandoned map must keep its addresses. */
		if (!request_mem_region(range->start, range_len(range), region->dax_name)) {
			dev_err(dev,
				"[%#llx-%#llx] is taken, see /proc/iomem; unbind its user first\n",
				range->start, range->end);
			release_ranges(region, i);
			return -EBUSY;
		}
	}
	return 0;
}

static int speckv_memory_failure(struct dev_pagemap *pgmap, unsigned long pfn,
				 unsigned long nr_pages, int flags)
{
	struct speckv_region *region = pgmap->owner;
	unsigned long last = pfn + max(nr_pages, 1UL) - 1;
	unsigned long before = 0, found = 0; /* pages of the region; ranges met */
	int i;

	for (i = 0; i < region->nr_range; i++) {
		unsigned long start = PHYS_PFN(region->ranges[i].start);
		unsigned long end = PHYS_PFN(region->ranges[i].end); /* its last page */

		if (start <= last && pfn <= end) {
			u32 first = (before + max(pfn, start) - start) / SPECKV_GRANULE_PAGES;
			u32 until = (before + min(last, end) - start) / SPECKV_GRANULE_PAGES;

			found += speckv_region_poison(region, first, until - first + 1) >= 0;
		}
		before += end + 1 - start;
	}
	/*
	 * 0 ends it here: all mappings are gone, and whoever comes back faults. A reader then gets
	 * zeros, a writer SIGBUS. Left to itself the core would kill readers as well.
	 */
	return found ? 0 : -EOPNOTSUPP;
}

static const struct dev_pagemap_ops speckv_pgmap_ops = {
	.memory_failure = speckv_memory_failure,
};

static int map_memory(struct speckv_region *region, struct device *dev)
{
	struct dev_pagemap *pgmap;
	void *address;
	int i;

	/* Not devm, see request_ranges(). */
	pgmap = kzalloc(struct_size(pgmap, ranges, region->nr_range - 1), GFP_KERNEL);
	if (!pgmap)
		return -ENOMEM;
	pgmap->type = MEMORY_DEVICE_GENERIC;
	pgmap->vmemmap_shift = SPECKV_GRANULE_SHIFT - PAGE_SHIFT;
	pgmap->ops = &speckv_pgmap_ops;
	pgmap->owner = region;
	pgmap->nr_range = region->nr_range;
	for (i = 0; i < region->nr_range; i++)
		pgmap->ranges[i] = region->ranges[i];
	address = memremap_pages(pgmap, dev_to_node(dev));
	if (IS_ERR(address)) {
		kfree(pgmap);
		return PTR_ERR(address);
	}
	region->pgmap = pgmap;
	return 0;
}

/* Folios of the region belong to the DAX inode's address space as long as we are bound. */
static void set_folio_mappings(struct speckv_region *region, struct address_space *mapping)
{
	u32 granule;

	for (granule = 0; granule < region->bytes >> SPECKV_GRANULE_SHIFT; granule++) {
		struct folio *folio = pfn_folio(speckv_granule_pfn(region, granule));

		folio->mapping = mapping;
		folio->index = mapping ? granule * SPECKV_GRANULE_PAGES : 0;
		if (!(granule % 4096))
			cond_resched();
	}
}

static void unmap_memory(struct speckv_region *region)
{
	set_folio_mappings(region, NULL);
	region->inode->i_mapping->a_ops = region->saved_aops;
	memunmap_pages(region->pgmap);
	kfree(region->pgmap);
	region->pgmap = NULL;
	release_ranges(region, region->nr_range);
}

/* Granules that somebody has pinned, and windows that an engine may reach. */
static u32 count_pinned(struct speckv_region *region, u32 *ret_first)
{
	u32 granule, lent, pinned = 0;

	*ret_first = 0;
	for (granule = 0; granule < region->bytes >> SPECKV_GRANULE_SHIFT; granule++) {
		if (!speckv_granule_is_pinned(region, granule))
			continue;
		if (!pinned++)
			*ret_first = granule;
	}
	mutex_lock(&region->lock);
	lent = region->lent;
	mutex_unlock(&region->lock);
	return pinned + lent;
}

/* The operator has to end somebody, and debugfs is gone by now. */
static void say_who_is_waited_for(struct speckv_region *region, struct device *dev, u32 pinned,
				  u32 first)
{
	kuid_t uid;
	pid_t pid;

	if (speckv_granule_user(region, first, &pid, &uid))
		dev_warn(dev, "removal waits for %u pinned granules, one of process %d, uid %u\n",
			 pinned, pid, from_kuid_munged(&init_user_ns, uid));
	else
		dev_warn(dev, "removal waits for %u pinned granules\n", pinned);
}

/* Waits, no longer than drain_seconds, until nobody but the page map has a reference. */
static bool drain(struct speckv_region *region, struct device *dev)
{
	unsigned long end = jiffies + min(drain_seconds, 600U) * HZ;
	unsigned long say = jiffies;
	u32 pinned, first;

	while ((pinned = count_pinned(region, &first))) {
		if (time_after_eq(jiffies, say)) {
			say_who_is_waited_for(region, dev, pinned, first);
			say = jiffies + HZ;
		}
		if (time_after_eq(jiffies, end))
			return false;
		msleep(20);
	}
	return true;
}

/*
 * The one way back, of a removal and of a binding that failed after somebody may have seen the
 * region: nobody reaches the memory any more, and when nobody has it pinned the page map goes.
 */
static void take_away(struct speckv_region *region, struct dev_dax *dev_dax)
{
	struct device *dev = &dev_dax->dev;

	speckv_region_kill(region);
	kill_dev_dax(dev_dax);
	if (drain(region, dev)) {
		unmap_memory(region);
	} else {
		/* Freeing the struct pages would crash whoever still has them. */
		dev_err(dev, "pins outlast removal: %llu MiB stay taken until reboot\n",
			region->bytes >> 20);
		get_device(&region->dev);
		__module_get(THIS_MODULE);
	}
	dev_set_drvdata(dev, NULL);
	put_device(&region->dev);
}

static int speckv_dax_probe(struct dev_dax *dev_dax)
{
	struct device *dev = &dev_dax->dev;
	struct range ranges[SPECKV_RANGES_MAX];
	struct speckv_region *region;
	struct inode *inode;
	int rc, i;

	rc = check_device(dev_dax);
	if (rc)
		return rc;
	for (i = 0; i < dev_dax->nr_range; i++)
		ranges[i] = dev_dax->ranges[i].range;
	inode = dax_inode(dev_dax->dax_dev);
	region = speckv_region_create(dev_name(dev), inode, dev_dax->target_node, ranges,
				      dev_dax->nr_range);
	if (IS_ERR(region))
		return PTR_ERR(region);
	rc = request_ranges(region, dev);
	if (rc)
		goto out_region;
	rc = map_memory(region, dev);
	if (rc) {
		release_ranges(region, region->nr_range);
		goto out_region;
	}
	region->saved_aops = inode->i_mapping->a_ops;
	inode->i_mapping->a_ops = &speckv_aops;
	set_folio_mappings(region, inode->i_mapping);
	run_dax(dev_dax->dax_dev);
	dev_set_drvdata(dev, region);
	region->dev.parent = dev;
	rc = speckv_region_start(region);
	if (rc) {
		take_away(region, dev_dax);
		return rc;
	}
	dev_info(dev, "is now %s, %llu MiB\n", dev_name(&region->dev), region->bytes >> 20);
	return 0;

out_region:
	put_device(&region->dev);
	return rc;
}

/*
 * Comes with the device already gone (hot removal) or still there (unbind); dev_dax->pgmap may
 * have been cleared, and the DAX bus may be locked for as long as this takes.
 */
static void speckv_dax_remove(struct dev_dax *dev_dax)
{
	take_away(dev_get_drvdata(&dev_dax->dev), dev_dax);
}

static struct dax_device_driver speckv_dax_driver = {
	.type = SPECKV_DAXDRV_TYPE,
	.probe = speckv_dax_probe,
	.remove = speckv_dax_remove,
};

int speckv_dax_register(void)
{
	return __dax_driver_register(&speckv_dax_driver, THIS_MODULE, KBUILD_MODNAME);
}

void speckv_dax_unregister(void)
{
	dax_driver_unregister(&speckv_dax_driver);
}
