// SPDX-License-Identifier: GPL-2.0
/*
 * poison.c - memory that the device or the kernel called bad.
 *
 * A poisoned granule leaves every mapping at once and is never handed out again, not even to
 * another binding of the same addresses while the module is loaded: the kernel's own notes go with
 * the page map. Called by dax.c (memory_failure), ioctl.c (MARK) and region.c (at start).
 */
#include <linux/sched/signal.h>

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

/* The next binding of these addresses knows them. */
static int remember(struct speckv_region *region, u32 granule)
{
	unsigned long pfn = speckv_granule_pfn(region, granule);

	if (xa_load(&speckv_poisoned_pfns, pfn))
		return 0;
	return xa_err(xa_store(&speckv_poisoned_pfns, pfn, xa_mk_value(1), GFP_KERNEL));
}

static void tell(struct speckv_region *region, u32 first, u32 count, u32 new)
{
	char where[48], length[48];
	char *environment[4] = { "SPECKV_EVENT=poison", where, length };

	snprintf(where, sizeof(where), "SPECKV_OFFSET=%llu", (u64)first << SPECKV_GRANULE_SHIFT);
	snprintf(length, sizeof(length), "SPECKV_BYTES=%llu", (u64)count << SPECKV_GRANULE_SHIFT);
	kobject_uevent_env(&region->dev.kobj, KOBJ_CHANGE, environment);
	dev_warn_ratelimited(&region->dev, "granules %u to %u are poisoned, %u of them new\n",
			     first, first + count - 1, new);
}

/*
 * Marks a run: one event and one line for all of it, and a deadly signal ends it between granules.
 * Returns how many were new; -ENODEV after removal. Remembering may fail for want of memory; the
 * mark cannot.
 */
int speckv_region_poison(struct speckv_region *region, u32 first, u32 count)
{
	u32 granule, new = 0;
	int rc = 0;

	mutex_lock(&region->lock);
	if (region->dead) {
		mutex_unlock(&region->lock);
		return -ENODEV;
	}
	for (granule = first; granule < first + count; granule++) {
		if (granule != first && fatal_signal_pending(current))
			break;
		new += speckv_extent_poison(region, granule);
		rc = remember(region, granule) ?: rc;
	}
	count = granule - first;
	speckv_region_settle(region);
	mutex_unlock(&region->lock);
	speckv_region_unmap(region, first, count);
	if (!new)
		return 0;
	trace_speckv_poison(region->id, first, count);
	tell(region, first, count, new);
	if (rc)
		dev_warn_ratelimited(&region->dev, "no memory to remember all of it (%d)\n", rc);
	return new;
}
