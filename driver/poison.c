// SPDX-License-Identifier: GPL-2.0
/*
 * poison.c - memory that the device or the kernel called bad.
 *
 * A poisoned granule leaves every mapping at once and is never handed out again, not even to
 * another binding of the same addresses while the module is loaded: the kernel's own notes go with
 * the page map. Called by dax.c (memory_failure), ioctl.c (MARK) and region.c (at start).
 */
#include "speckv.h"
#include "trace.h"

/* pfn of each poisoned granule's first page; outlives regions. */
static DEFINE_XARRAY(speckv_poisoned_pfns);

bool speckv_pfn_was_poisoned(unsigned long pfn)
{
	return xa_load(&speckv_poisoned_pfns, pfn);
}

void speckv_poisoned_pfns_forget(void)
{
	xa_destroy(&speckv_poisoned_pfns);
}

/* -ENODEV after removal. Remembering the pfn may fail for want of memory; the mark cannot. */
int speckv_region_poison(struct speckv_region *region, u32 first, u32 count)
{
	u32 granule;

	mutex_lock(&region->lock);
	if (region->dead) {
		mutex_unlock(&region->lock);
		return -ENODEV;
	}
	for (granule = first; granule < first + count; granule++) {
		unsigned long pfn = speckv_granule_pfn(region, granule);

		if (!speckv_extent_poison(region, granule))
			continue;
		speckv_region_unmap(region, granule, 1);
		xa_store(&speckv_poisoned_pfns, pfn, xa_mk_value(1), GFP_KERNEL);
		trace_speckv_poison(region->id, granule);
		speckv_region_event(region, "poison", granule);
		dev_warn(&region->dev, "granule %u (pfn %#lx) is poisoned, out of use\n", granule,
			 pfn);
	}
	mutex_unlock(&region->lock);
	return 0;
}
