// SPDX-License-Identifier: GPL-2.0
/*
 * extent.c - who holds which run of granules, who pays for it, and how it becomes free again.
 *
 * Called by ioctl.c and file.c with region->lock held (the cleaner and speckv_leave() take it
 * themselves). Nothing here looks at user memory.
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
	list_del(&extent->in_retired);
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

/* An engine may reach a window of the extent: it keeps its granules, retired or not, and itself. */
void speckv_extent_lend(struct speckv_region *region, struct speckv_extent *extent)
{
	lockdep_assert_held(&region->lock);
	extent->left++;
	extent->lent++;
	region->lent++;
}

void speckv_extent_unlend(struct speckv_region *region, struct speckv_extent *extent)
{
	lockdep_assert_held(&region->lock);
	region->lent--;
	extent->lent--;
	if (!extent->lent && extent->retired && !region->dead) {
		region->clean_delay = CLEAN_DELAY_MIN;
		mod_delayed_work(speckv_workqueue, &region->cleaner, 0);
	}
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
	list_add_tail(&extent->in_retired, &region->retired);
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

/*
 * A run is a few entries that cover powers of two, not one for each granule. Taking out what was
 * put in with the same bounds needs no memory.
 */
static int store_hold(struct speckv_file *file, const struct speckv_extent *extent,
		      struct speckv_hold *hold)
{
	unsigned long last = extent->first + extent->count - 1;

	return xa_err(xa_store_range(&file->holds, extent->first, last, hold, GFP_KERNEL_ACCOUNT));
}

/*
 * Let a file hold an extent. A reader may have touched the place before and have zeros mapped
 * there; so those entries are the caller's to remove, now that faults see the hold.
 */
int speckv_extent_hold(struct speckv_file *file, struct speckv_extent *extent,
		       struct speckv_leaving *ret_zeros)
{
	struct speckv_region *region = file->region;
	struct speckv_hold *hold;
	int rc;

	*ret_zeros = (struct speckv_leaving){ 0 };
	lockdep_assert_held(&region->lock);
	if (xa_load(&file->holds, extent->first))
		return -EEXIST;
	hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);
	if (!hold)
		return -ENOMEM;
	hold->extent = extent;
	hold->file = file;
	rc = store_hold(file, extent, hold);
	if (rc) {
		/* A part of it may have been seen, and mapped. */
		store_hold(file, extent, NULL);
		speckv_region_settle(region);
		speckv_region_unmap(region, extent->first, extent->count);
		kfree(hold);
		return rc;
	}
	list_add(&hold->in_extent, &extent->holds);
	file->extents++;
	file->held_bytes += extent_bytes(extent);
	speckv_region_settle(region);
	if (atomic64_read(&file->faults_zero))
		*ret_zeros = (struct speckv_leaving){ extent->first, extent->count, NULL };
	return 0;
}

/* Pins that outlast the extent are charged to this one. */
static void set_charge(struct speckv_extent *extent, struct speckv_account *charge)
{
	kref_get(&charge->ref);
	speckv_account_put(extent->charge);
	extent->charge = charge;
}

/*
 * Faults look whether there is a hold, never into it. An export that goes is who may have left
 * pins behind; in what order a daemon that ends closes it and its control file is chance.
 */
static void hold_remove(struct speckv_hold *hold)
{
	struct speckv_extent *extent = hold->extent;
	struct speckv_file *file = hold->file;

	if (file->maker)
		set_charge(extent, file->account);
	else
		speckv_lend_end(file, extent);
	store_hold(file, extent, NULL);
	list_del(&hold->in_extent);
	file->extents--;
	file->held_bytes -= extent_bytes(extent);
	kfree(hold);
}

/* Take an extent away from one file. */
void speckv_extent_drop(struct speckv_file *file, struct speckv_extent *extent,
			struct speckv_leaving *ret)
{
	struct speckv_region *region = file->region;

	lockdep_assert_held(&region->lock);
	hold_remove(xa_load(&file->holds, extent->first));
	speckv_region_settle(region);
	*ret = (struct speckv_leaving){ extent->first, extent->count, NULL };
	if (list_empty(&extent->holds))
		ret->last = extent;
}

/*
 * Ends what was begun under the lock: no mapping shows the granules when this returns, and an
 * extent that nobody holds is on its way to the cleaner. Clients can have as many mappings as
 * they like; that is why nobody waits for the lock meanwhile.
 */
void speckv_leave(struct speckv_region *region, struct speckv_leaving *leaving, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (leaving[i].count)
			speckv_region_unmap(region, leaving[i].first, leaving[i].count);
	mutex_lock(&region->lock);
	for (i = 0; i < count; i++)
		if (leaving[i].last)
			extent_retire(region, leaving[i].last);
	mutex_unlock(&region->lock);
}

/*
 * Who is to pay when all lose it at once: the one export that has it, or its owner where several
 * do; where none does any more, whoever is charged already.
 */
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
	return charge ?: extent->charge;
}

/* Whose pin on a granule it may be; false if nobody is known. Takes the lock itself. */
bool speckv_granule_user(struct speckv_region *region, u32 granule, pid_t *ret_pid, kuid_t *ret_uid)
{
	struct speckv_extent *extent;

	mutex_lock(&region->lock);
	extent = region->extent_of[granule];
	if (extent) {
		struct speckv_account *who = extent->retired ? extent->charge : pin_charge(extent);

		*ret_pid = who->pid;
		*ret_uid = who->uid;
	}
	mutex_unlock(&region->lock);
	return extent;
}

/* Take an extent away from everybody. */
void speckv_extent_free(struct speckv_file *file, struct speckv_extent *extent,
			struct speckv_leaving *ret)
{
	struct speckv_region *region = file->region;
	struct speckv_account *charge;
	struct speckv_hold *hold, *next;

	lockdep_assert_held(&region->lock);
	charge = pin_charge(extent);
	kref_get(&charge->ref);
	list_for_each_entry_safe(hold, next, &extent->holds, in_extent)
		hold_remove(hold);
	set_charge(extent, charge);
	speckv_account_put(charge);
	speckv_region_settle(region);
	*ret = (struct speckv_leaving){ extent->first, extent->count, extent };
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

/* @at: where it has to lie, or NULL. */
int speckv_extent_alloc(struct speckv_file *file, const u32 *at, u32 count, u64 cookie,
			u64 *ret_handle, u32 *ret_first)
{
	struct speckv_region *region = file->region;
	struct speckv_account *account = file->account;
	struct speckv_leaving zeros;
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
	extent->first = at ? *at : 0;
	rc = at ? speckv_space_take_at(&region->space, *at, count)
		: speckv_space_take(&region->space, count, &extent->first);
	if (rc) {
		kfree(extent);
		return rc;
	}
	INIT_LIST_HEAD(&extent->holds);
	INIT_LIST_HEAD(&extent->in_retired);
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
	/* A control file is shown no zeros, so there are none to remove. */
	rc = speckv_extent_hold(file, extent, &zeros);
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

/* Who has most in quarantine; NULL if nothing is. */
struct speckv_account *speckv_pinner(struct speckv_region *region)
{
	struct speckv_account *most = NULL;
	struct speckv_extent *extent;

	lockdep_assert_held(&region->lock);
	if (!region->space.pinned)
		return NULL;
	list_for_each_entry(extent, &region->retired, in_retired)
		if (extent->charge->pinned_bytes > (most ? most->pinned_bytes : 0))
			most = extent->charge;
	return most;
}

/* Mark one granule; false if it was marked before. The caller settles, and removes mappings. */
bool speckv_extent_poison(struct speckv_region *region, u32 granule)
{
	u32 pinned_before = region->space.pinned;
	bool is_new;

	lockdep_assert_held(&region->lock);
	is_new = speckv_space_poison(&region->space, granule);
	charge_pin(region, granule, pinned_before);
	if (region->space.table[granule].state == SPECKV_GRANULE_LOST)
		extent_of_clear(region, granule);
	return is_new;
}

/* One granule; false if there is none. */
static bool clean_one(struct speckv_region *region)
{
	u32 granule, pinned_before;
	bool is_pinned, is_poisoned, is_lent;

	mutex_lock(&region->lock);
	granule = region->dead ? SPECKV_NO_GRANULE : speckv_space_next_dirty(&region->space);
	is_poisoned =
		granule != SPECKV_NO_GRANULE && speckv_space_is_poisoned(&region->space, granule);
	/* Nobody holds it any more, so no engine will be lent it anew. */
	is_lent = granule != SPECKV_NO_GRANULE && region->extent_of[granule] &&
		  region->extent_of[granule]->lent;
	mutex_unlock(&region->lock);
	if (granule == SPECKV_NO_GRANULE)
		return false;

	is_pinned = is_lent || speckv_granule_is_pinned(region, granule);
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
