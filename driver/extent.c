// SPDX-License-Identifier: GPL-2.0
/*
 * extent.c - who holds which run of granules, who pays for it, and how it becomes free again.
 *
 * Called by ioctl.c and file.c with region->lock held (the cleaner takes it itself). Nothing here
 * looks at user memory.
 */
#include <linux/sched.h>
#include <linux/slab.h>

#include "speckv.h"
#include "trace.h"

#define CLEAN_DELAY_MIN (HZ / 100 + 1)
#define CLEAN_DELAY_MAX HZ

struct speckv_account *speckv_account_create(void)
{
	struct speckv_account *account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);

	if (!account)
		return NULL;
	kref_init(&account->ref);
	account->pid = task_tgid_nr(current);
	account->uid = current_uid();
	get_task_comm(account->comm, current);
	return account;
}

static void account_free(struct kref *ref)
{
	kfree(container_of(ref, struct speckv_account, ref));
}

void speckv_account_put(struct speckv_account *account)
{
	if (account)
		kref_put(&account->ref, account_free);
}

static u64 extent_bytes(const struct speckv_extent *extent)
{
	return (u64)extent->count << SPECKV_GRANULE_SHIFT;
}

static void extent_destroy(struct speckv_extent *extent)
{
	speckv_account_put(extent->owner);
	speckv_account_put(extent->charge);
	kfree(extent);
}

/* Drop one granule's pointer to its extent; the last one frees it. */
static void extent_of_clear(struct speckv_region *region, u32 granule)
{
	struct speckv_extent *extent = region->extent_of[granule];

	if (!extent)
		return;
	region->extent_of[granule] = NULL;
	if (!--extent->left)
		extent_destroy(extent);
}

/* Called when nobody can reach the region any more. */
void speckv_extents_forget(struct speckv_region *region)
{
	u32 granule;

	for (granule = 0; region->extent_of && granule < region->space.granules; granule++)
		extent_of_clear(region, granule);
}

/* Nobody holds it: hand its granules to the cleaner. */
static void extent_retire(struct speckv_region *region, struct speckv_extent *extent)
{
	u32 granule, first = extent->first, end = first + extent->count;

	trace_speckv_retire(region->id, extent->handle, extent->first, extent->count);
	extent->retired = true;
	extent->owner->held_bytes -= extent_bytes(extent);
	region->extents--;
	speckv_space_give(&region->space, first, extent->count);
	/* What is poisoned is lost and will not come by the cleaner. */
	for (granule = first; granule < end; granule++)
		if (speckv_space_is_poisoned(&region->space, granule))
			extent_of_clear(region, granule);
	region->clean_delay = CLEAN_DELAY_MIN;
	if (!region->dead)
		mod_delayed_work(speckv_workqueue, &region->cleaner, 0);
}

struct speckv_extent *speckv_extent_find(struct speckv_file *file, u64 handle)
{
	struct speckv_hold *hold = xa_load(&file->holds, (u32)handle);

	return hold && hold->extent->handle == handle ? hold->extent : NULL;
}

static void erase_granules(struct speckv_file *file, u32 first, u32 count)
{
	while (count--)
		xa_erase(&file->holds, first + count);
}

/*
 * Let a file hold an extent. A reader may have touched the place before and have zeros mapped
 * there; so those entries go, after the hold is visible to faults.
 */
int speckv_extent_hold(struct speckv_file *file, struct speckv_extent *extent)
{
	struct speckv_region *region = file->region;
	struct speckv_hold *hold;
	u32 i;
	int rc = 0;

	lockdep_assert_held(&region->lock);
	if (xa_load(&file->holds, extent->first))
		return -EEXIST;
	hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);
	if (!hold)
		return -ENOMEM;
	hold->extent = extent;
	hold->file = file;
	down_write(&region->map_sem);
	for (i = 0; i < extent->count && !rc; i++)
		rc = xa_insert(&file->holds, extent->first + i, hold, GFP_KERNEL_ACCOUNT);
	if (rc)
		erase_granules(file, extent->first, i - 1);
	up_write(&region->map_sem);
	if (rc) {
		kfree(hold);
		return rc;
	}
	list_add(&hold->in_extent, &extent->holds);
	file->extents++;
	file->held_bytes += extent_bytes(extent);
	if (atomic64_read(&file->faults_zero))
		speckv_region_unmap(region, extent->first, extent->count);
	return 0;
}

/* map_sem held exclusively, or the file has no mapping any more. */
static void hold_remove(struct speckv_hold *hold)
{
	struct speckv_extent *extent = hold->extent;
	struct speckv_file *file = hold->file;

	erase_granules(file, extent->first, extent->count);
	list_del(&hold->in_extent);
	file->extents--;
	file->held_bytes -= extent_bytes(extent);
	kfree(hold);
}

/* Take an extent away from one file. */
void speckv_extent_drop(struct speckv_file *file, struct speckv_extent *extent)
{
	struct speckv_region *region = file->region;
	struct speckv_hold *hold = xa_load(&file->holds, extent->first);

	lockdep_assert_held(&region->lock);
	down_write(&region->map_sem);
	hold_remove(hold);
	up_write(&region->map_sem);
	speckv_region_unmap(region, extent->first, extent->count);
	if (list_empty(&extent->holds))
		extent_retire(region, extent);
}

/* Who is to pay for pins that outlast the extent: the one export that had it, or its owner. */
static struct speckv_account *pin_charge(struct speckv_extent *extent)
{
	struct speckv_account *charge = NULL;
	struct speckv_hold *hold;

	list_for_each_entry(hold, &extent->holds, in_extent) {
		if (!hold->file->maker)
			continue;
		if (charge)
			return extent->owner;
		charge = hold->file->account;
	}
	return charge ?: extent->owner;
}

/* Take an extent away from everybody. */
void speckv_extent_free(struct speckv_extent *extent)
{
	struct speckv_region *region;
	struct speckv_hold *hold, *next;
	struct speckv_account *charge = pin_charge(extent);

	region = list_first_entry(&extent->holds, struct speckv_hold, in_extent)->file->region;
	lockdep_assert_held(&region->lock);
	kref_get(&charge->ref);
	speckv_account_put(extent->charge);
	extent->charge = charge;
	down_write(&region->map_sem);
	list_for_each_entry_safe(hold, next, &extent->holds, in_extent)
		hold_remove(hold);
	up_write(&region->map_sem);
	speckv_region_unmap(region, extent->first, extent->count);
	extent_retire(region, extent);
}

/* The file is closed: it has no mapping, so nothing of it is in a page table. */
void speckv_file_drop_all(struct speckv_file *file)
{
	struct speckv_region *region = file->region;
	struct speckv_hold *hold;
	unsigned long granule;

	lockdep_assert_held(&region->lock);
	xa_for_each(&file->holds, granule, hold) {
		struct speckv_extent *extent = hold->extent;

		hold_remove(hold);
		if (list_empty(&extent->holds))
			extent_retire(region, extent);
	}
	xa_destroy(&file->holds);
}

/* The generation is never 0, not even after 2^32 allocations; so neither is a handle. */
static u64 next_handle(struct speckv_region *region, u32 first)
{
	region->generation++;
	if (!region->generation)
		region->generation = 1;
	return (u64)region->generation << 32 | first;
}

int speckv_extent_alloc(struct speckv_file *file, u32 count, u64 cookie, u64 *ret_handle,
			u32 *ret_first)
{
	struct speckv_region *region = file->region;
	struct speckv_account *account = file->account;
	struct speckv_extent *extent;
	u64 bytes = (u64)count << SPECKV_GRANULE_SHIFT;
	u64 charged = account->held_bytes + account->pinned_bytes;
	u32 i;
	int rc;

	lockdep_assert_held(&region->lock);
	if (charged > account->limit_bytes || bytes > account->limit_bytes - charged)
		return -EDQUOT;
	extent = kzalloc(sizeof(*extent), GFP_KERNEL_ACCOUNT);
	if (!extent)
		return -ENOMEM;
	rc = speckv_space_take(&region->space, count, &extent->first);
	if (rc) {
		kfree(extent);
		return rc;
	}
	INIT_LIST_HEAD(&extent->holds);
	extent->count = count;
	extent->left = count;
	extent->cookie = cookie;
	extent->handle = next_handle(region, extent->first);
	kref_get(&account->ref);
	extent->owner = account;
	kref_get(&account->ref);
	extent->charge = account;
	account->held_bytes += bytes;
	region->extents++;
	for (i = 0; i < count; i++)
		region->extent_of[extent->first + i] = extent;
	rc = speckv_extent_hold(file, extent);
	if (rc) {
		extent_retire(region, extent);
		return rc;
	}
	*ret_handle = extent->handle;
	*ret_first = extent->first;
	trace_speckv_alloc(region->id, extent->handle, extent->first, count);
	return 0;
}

/* The cleaner. */

static void zero_granule(struct speckv_region *region, u32 granule)
{
	void *memory = page_address(pfn_to_page(speckv_granule_pfn(region, granule)));

	memset(memory, 0, SPECKV_GRANULE_BYTES);
}

/* Charge or release a granule whose pin was found, or found gone. */
static void charge_pin(struct speckv_region *region, u32 granule, u32 pinned_before)
{
	struct speckv_extent *extent = region->extent_of[granule];

	if (!extent)
		return;
	if (region->space.pinned > pinned_before)
		extent->charge->pinned_bytes += SPECKV_GRANULE_BYTES;
	else if (region->space.pinned < pinned_before)
		extent->charge->pinned_bytes -= SPECKV_GRANULE_BYTES;
}

/* Mark one granule; false if it was marked before. Its mappings are the caller's to remove. */
bool speckv_extent_poison(struct speckv_region *region, u32 granule)
{
	u32 pinned_before = region->space.pinned;
	bool is_new;

	lockdep_assert_held(&region->lock);
	down_write(&region->map_sem);
	is_new = speckv_space_poison(&region->space, granule);
	up_write(&region->map_sem);
	charge_pin(region, granule, pinned_before);
	if (region->space.table[granule].state == SPECKV_GRANULE_LOST)
		extent_of_clear(region, granule);
	return is_new;
}

/* One granule; false if there is none. */
static bool clean_one(struct speckv_region *region)
{
	u32 granule, pinned_before;
	bool is_pinned, is_poisoned;

	mutex_lock(&region->lock);
	granule = region->dead ? SPECKV_NO_GRANULE : speckv_space_next_dirty(&region->space);
	is_poisoned =
		granule != SPECKV_NO_GRANULE && speckv_space_is_poisoned(&region->space, granule);
	mutex_unlock(&region->lock);
	if (granule == SPECKV_NO_GRANULE)
		return false;

	is_pinned = speckv_granule_is_pinned(region, granule);
	if (!is_pinned && !is_poisoned)
		zero_granule(region, granule);

	mutex_lock(&region->lock);
	pinned_before = region->space.pinned;
	if (is_pinned)
		speckv_space_postpone(&region->space, granule);
	else
		speckv_space_cleaned(&region->space, granule);
	charge_pin(region, granule, pinned_before);
	if (!is_pinned || speckv_space_is_poisoned(&region->space, granule)) {
		extent_of_clear(region, granule);
		region->clean_seq++;
	}
	trace_speckv_clean(region->id, granule, is_pinned);
	mutex_unlock(&region->lock);
	if (!is_pinned)
		wake_up_all(&region->clean_wait);
	return true;
}

/*
 * Nothing tells us when a pin goes, so what is pinned is looked at again, at growing intervals,
 * for as long as it takes.
 */
void speckv_cleaner(struct work_struct *work)
{
	struct speckv_region *region =
		container_of(to_delayed_work(work), struct speckv_region, cleaner);
	u32 turns, left;

	mutex_lock(&region->lock);
	turns = region->space.counts[SPECKV_GRANULE_DIRTY];
	mutex_unlock(&region->lock);
	while (turns-- && clean_one(region))
		cond_resched();

	mutex_lock(&region->lock);
	left = region->dead ? 0 : region->space.counts[SPECKV_GRANULE_DIRTY];
	if (left && left > region->space.pinned) {
		mod_delayed_work(speckv_workqueue, &region->cleaner, 0);
	} else if (left) {
		region->clean_delay =
			clamp(2 * region->clean_delay, CLEAN_DELAY_MIN, CLEAN_DELAY_MAX);
		mod_delayed_work(speckv_workqueue, &region->cleaner, region->clean_delay);
	}
	mutex_unlock(&region->lock);
	wake_up_all(&region->clean_wait);
}
