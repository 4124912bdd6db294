// SPDX-License-Identifier: GPL-2.0
/*
 * lend.c - what memory the device can reach: the entries of its extent table, from the first
 * command on a window until nothing of it can be written any more. engine.h tells the rules.
 *
 * The only file that turns an extent into an address.
 */
#include <linux/dma-mapping.h>
#include <linux/moduleparam.h>

#include "compat/flush.h"
#include "engine.h"
#include "trace.h"

/*
 * An engine on the card that the extents lie on reaches them past the host, by the addresses that
 * its own decoders know; any other one over the bus, by addresses that the IOMMU knows.
 */
static bool extents_by_bus;
module_param(extents_by_bus, bool, 0444);
MODULE_PARM_DESC(extents_by_bus,
		 "the engine is not on the card that holds the extents (default: it is)");

/* The device reads an entry when it checks a descriptor, so FLAGS is last on, and first off. */
void speckv_lend_write(struct speckv_engine *engine, u32 index)
{
	const struct speckv_lend *lend = &engine->lends[index];
	const u32 at = index * SPECKV_REG_EXTENTS_STRIDE;
	u32 flags = SPECKV_REG_EXTENTS_FLAGS_VALID_MASK | SPECKV_REG_EXTENTS_FLAGS_WRITABLE_MASK;

	lockdep_assert_held(&engine->lock);
	speckv_set(engine, SPECKV_REG_EXTENTS_FLAGS + at, 0);
	if (lend->state == SPECKV_LEND_FREE || lend->state == SPECKV_LEND_ENDING)
		return;
	if (lend->state == SPECKV_LEND_RINGS)
		flags |= 1U << index << SPECKV_REG_EXTENTS_FLAGS_QUEUES_SHIFT;
	else
		flags |= SPECKV_REG_EXTENTS_FLAGS_QUEUES_MASK;
	if (lend->state == SPECKV_LEND_ACTIVE && !extents_by_bus)
		flags |= SPECKV_REG_EXTENTS_FLAGS_DEVICE_MASK;
	speckv_set(engine, SPECKV_REG_EXTENTS_BASE_LOW + at, lower_32_bits(lend->dma));
	speckv_set(engine, SPECKV_REG_EXTENTS_BASE_HIGH + at, upper_32_bits(lend->dma));
	speckv_set(engine, SPECKV_REG_EXTENTS_SIZE + at, lend->bytes / SPECKV_ENGINE_BEAT_BYTES);
	speckv_set(engine, SPECKV_REG_EXTENTS_FLAGS + at, flags);
}

static struct speckv_lend *find_lend(struct speckv_engine *engine, const struct speckv_file *file,
				     u64 handle, u32 window)
{
	u32 i;

	for (i = 0; i < SPECKV_LENDS; i++) {
		struct speckv_lend *lend = &engine->lends[i];

		if (lend->state == SPECKV_LEND_ACTIVE && lend->file == file &&
		    lend->handle == handle && lend->window == window)
			return lend;
	}
	return NULL;
}

/*
 * The entry for these bytes of an extent, which is then busy. -ERANGE: not in the extent.
 * -ENOENT: there is no entry yet.
 */
int speckv_lend_get(struct speckv_engine *engine, const struct speckv_file *file, u64 handle,
		    u64 offset, u64 bytes)
{
	struct speckv_lend *lend;
	u32 window;
	int rc;

	lockdep_assert_held(&engine->lock);
	lend = find_lend(engine, file, handle, offset >> SPECKV_WINDOW_SHIFT);
	if (!lend)
		return -ENOENT;
	rc = speckv_check_window(offset, bytes, lend->extent_bytes, &window);
	if (rc)
		return rc;
	lend->busy++;
	lend->used = ++engine->clock;
	return lend - engine->lends;
}

void speckv_lend_put(struct speckv_engine *engine, u8 index)
{
	struct speckv_lend *lend;

	lockdep_assert_held(&engine->lock);
	if (index == SPECKV_NO_LEND)
		return;
	lend = &engine->lends[index];
	if (WARN_ON_ONCE(!lend->busy))
		return;
	if (!--lend->busy && lend->state == SPECKV_LEND_ENDING)
		queue_work(speckv_workqueue, &engine->undo_work);
}

/*
 * The engine reads and writes its own card's memory behind the caches, unless it says that it is
 * coherent: before a command what the CPU wrote has to be out there, and after it what the CPU
 * read ahead has to go.
 */
void speckv_lend_flush(struct speckv_engine *engine, u8 index, u64 offset, u64 bytes)
{
	if (index == SPECKV_NO_LEND || !bytes || engine->caps.coherent || extents_by_bus)
		return;
	offset &= (1ULL << SPECKV_WINDOW_SHIFT) - 1;
	speckv_flush_caches(engine->lends[index].memory + offset, bytes);
	atomic64_add(bytes, &engine->counters.flushed);
}

/* No command gets it any more. */
static void end_lend(struct speckv_engine *engine, struct speckv_lend *lend)
{
	trace_speckv_unlend(engine->number, lend - engine->lends, lend->handle, lend->busy);
	lend->state = SPECKV_LEND_ENDING;
	lend->file = NULL;
	if (engine->state == SPECKV_ENGINE_LIVE)
		speckv_lend_write(engine, lend - engine->lends);
	queue_work(speckv_workqueue, &engine->undo_work);
}

void speckv_lend_end(struct speckv_file *file, const struct speckv_extent *extent)
{
	struct speckv_engine *engine;
	u32 i;

	lockdep_assert_held(&file->region->lock);
	engine = rcu_dereference_protected(file->engine, lockdep_is_held(&file->region->lock));
	if (!engine)
		return;
	spin_lock(&engine->lock);
	for (i = 0; i < SPECKV_LENDS; i++) {
		struct speckv_lend *lend = &engine->lends[i];

		if (lend->state == SPECKV_LEND_ACTIVE && lend->file == file &&
		    (!extent || lend->extent == extent))
			end_lend(engine, lend);
	}
	spin_unlock(&engine->lock);
}

/* All of the engine's, whosesoever. */
void speckv_lends_end(struct speckv_engine *engine)
{
	u32 i;

	lockdep_assert_held(&engine->lock);
	for (i = 0; i < SPECKV_LENDS; i++)
		if (engine->lends[i].state == SPECKV_LEND_ACTIVE)
			end_lend(engine, &engine->lends[i]);
}

/* An entry for a new lend. -EAGAIN: the one that was unused for longest is being taken back. */
static int free_entry(struct speckv_engine *engine)
{
	struct speckv_lend *oldest = NULL;
	u32 i;

	if (engine->state != SPECKV_ENGINE_LIVE)
		return engine->state == SPECKV_ENGINE_DEAD ? -ENODEV : -EAGAIN;
	for (i = 0; i < engine->caps.extents; i++) {
		struct speckv_lend *lend = &engine->lends[i];

		if (lend->state == SPECKV_LEND_FREE)
			return i;
		if (lend->state == SPECKV_LEND_ENDING && !lend->busy)
			return -EAGAIN; /* it is on its way */
		if (lend->state == SPECKV_LEND_ACTIVE && !lend->busy &&
		    (!oldest || lend->used < oldest->used))
			oldest = lend;
	}
	if (oldest)
		end_lend(engine, oldest);
	return -EAGAIN;
}

/* What the lend covers; region->lock held. */
static int describe(struct speckv_engine *engine, struct speckv_file *file, u64 handle, u32 window,
		    struct speckv_lend *lend)
{
	struct speckv_region *region = file->region;
	struct speckv_extent *extent = speckv_extent_find(file, handle);
	u64 start = (u64)window << SPECKV_WINDOW_SHIFT;
	unsigned long first, last;

	if (!extent)
		return -ENOENT;
	lend->extent_bytes = (u64)extent->count << SPECKV_GRANULE_SHIFT;
	if (start >= lend->extent_bytes)
		return -ERANGE;
	lend->bytes = min(lend->extent_bytes - start, 1ULL << SPECKV_WINDOW_SHIFT);
	first = extent->first + (start >> SPECKV_GRANULE_SHIFT);
	last = first + (lend->bytes >> SPECKV_GRANULE_SHIFT) - 1;
	/* A region in pieces, and this window across two of them: one entry cannot tell it. */
	if (speckv_granule_pfn(region, last) - speckv_granule_pfn(region, first) !=
	    (last - first) * SPECKV_GRANULE_PAGES)
		return -EOPNOTSUPP;
	lend->state = SPECKV_LEND_ACTIVE;
	lend->file = file;
	lend->extent = extent;
	lend->region = region;
	lend->handle = handle;
	lend->window = window;
	lend->memory = page_address(pfn_to_page(speckv_granule_pfn(region, first)));
	lend->dma = PFN_PHYS(speckv_granule_pfn(region, first));
	if (!extents_by_bus)
		return 0;
	lend->dma = dma_map_page(&engine->pdev->dev, pfn_to_page(PHYS_PFN(lend->dma)), 0,
				 lend->bytes, DMA_BIDIRECTIONAL);
	return dma_mapping_error(&engine->pdev->dev, lend->dma) ? -EIO : 0;
}

static void undescribe(struct speckv_engine *engine, const struct speckv_lend *lend)
{
	if (extents_by_bus)
		dma_unmap_page(&engine->pdev->dev, lend->dma, lend->bytes, DMA_BIDIRECTIONAL);
}

/*
 * Lend a window of an extent that the file holds; region->lock held. -EAGAIN: when something has
 * changed, try again. What the file does not hold is -ENOENT.
 */
int speckv_lend_make(struct speckv_engine *engine, struct speckv_file *file, u64 handle, u32 window)
{
	struct speckv_lend lend = { 0 };
	int rc, index;

	lockdep_assert_held(&file->region->lock);
	/* Its lends are ended through this pointer; so nothing is lent by any other. */
	if (rcu_access_pointer(file->engine) != engine)
		return -ENODEV;
	spin_lock(&engine->lock);
	index = free_entry(engine);
	spin_unlock(&engine->lock);
	if (index < 0)
		return index;
	rc = describe(engine, file, handle, window, &lend);
	if (rc)
		return rc;
	spin_lock(&engine->lock);
	index = find_lend(engine, file, handle, window) ? -EEXIST : free_entry(engine);
	if (index >= 0) {
		engine->lends[index] = lend;
		speckv_extent_lend(file->region, lend.extent);
		get_device(&file->region->dev);
		speckv_lend_write(engine, index);
		trace_speckv_lend(engine->number, index, handle, window);
	}
	spin_unlock(&engine->lock);
	if (index < 0)
		undescribe(engine, &lend);
	return index < 0 && index != -EEXIST ? index : 0;
}

/* One lend that nobody has and that the device knows to be over; false if there is none. */
static bool take_back_one(struct speckv_engine *engine)
{
	struct speckv_lend lend;
	u32 i;

	spin_lock(&engine->lock);
	for (i = 0; i < SPECKV_LENDS; i++)
		if (engine->lends[i].state == SPECKV_LEND_ENDING && !engine->lends[i].busy)
			break;
	/* Between two resets nobody knows what the device knows; whoever ends it looks again. */
	if (i == SPECKV_LENDS || (engine->state != SPECKV_ENGINE_LIVE && !engine->is_off)) {
		spin_unlock(&engine->lock);
		return false;
	}
	lend = engine->lends[i];
	/* A read drives the write of FLAGS before it. */
	if (!engine->is_off)
		speckv_get(engine, SPECKV_REG_STATUS);
	memset(&engine->lends[i], 0, sizeof(lend));
	undescribe(engine, &lend);
	spin_unlock(&engine->lock);

	mutex_lock(&lend.region->lock);
	speckv_extent_unlend(lend.region, lend.extent);
	mutex_unlock(&lend.region->lock);
	put_device(&lend.region->dev);
	return true;
}

void speckv_undo_work(struct work_struct *work)
{
	struct speckv_engine *engine = container_of(work, struct speckv_engine, undo_work);

	while (take_back_one(engine))
		speckv_engine_wake(engine);
}
