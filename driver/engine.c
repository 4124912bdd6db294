// SPDX-License-Identifier: GPL-2.0
/*
 * engine.c - engines by number, and which one a control file has.
 *
 * An engine is found by whoever may open a region's node; what a file does with it touches only
 * that file's extents. Called by pci.c, ioctl.c, file.c.
 */
#include <linux/slab.h>
#include <linux/xarray.h>

#include "engine.h"

static DEFINE_XARRAY_ALLOC(speckv_engines);
static DEFINE_MUTEX(speckv_engines_lock);

static void engine_free(struct kref *ref)
{
	struct speckv_engine *engine = container_of(ref, struct speckv_engine, ref);

	pci_dev_put(engine->pdev);
	kvfree(engine->widths_owner);
	kfree_rcu(engine, rcu);
}

void speckv_engine_put(struct speckv_engine *engine)
{
	kref_put(&engine->ref, engine_free);
}

struct speckv_engine *speckv_engine_create(struct pci_dev *pdev)
{
	struct speckv_engine *engine = kzalloc(sizeof(*engine), GFP_KERNEL);
	u32 i;

	if (!engine)
		return NULL;
	kref_init(&engine->ref);
	engine->pdev = pci_dev_get(pdev);
	engine->number = -1;
	spin_lock_init(&engine->lock);
	init_waitqueue_head(&engine->wait);
	INIT_DELAYED_WORK(&engine->watch, speckv_watch_work);
	INIT_WORK(&engine->reset_work, speckv_reset_work);
	INIT_WORK(&engine->undo_work, speckv_undo_work);
	for (i = 0; i < SPECKV_QUEUES; i++) {
		engine->queues[i].engine = engine;
		engine->queues[i].number = i;
		speckv_ring_init(&engine->queues[i].ring);
	}
	return engine;
}

/* Files may ask for it from now on. */
int speckv_engine_publish(struct speckv_engine *engine)
{
	u32 number;
	int rc;

	mutex_lock(&speckv_engines_lock);
	rc = xa_alloc(&speckv_engines, &number, engine, XA_LIMIT(0, SPECKV_ENGINES_MAX - 1),
		      GFP_KERNEL);
	if (!rc)
		engine->number = number;
	mutex_unlock(&speckv_engines_lock);
	return rc;
}

void speckv_engine_withdraw(struct speckv_engine *engine)
{
	mutex_lock(&speckv_engines_lock);
	xa_erase(&speckv_engines, engine->number);
	mutex_unlock(&speckv_engines_lock);
}

void speckv_engine_wake(struct speckv_engine *engine)
{
	WRITE_ONCE(engine->changed, engine->changed + 1);
	wake_up_all(&engine->wait);
}

/* A reference, or NULL. */
struct speckv_engine *speckv_engine_of(struct speckv_file *file)
{
	struct speckv_engine *engine;

	rcu_read_lock();
	engine = rcu_dereference(file->engine);
	if (engine && !kref_get_unless_zero(&engine->ref))
		engine = NULL;
	rcu_read_unlock();
	return engine;
}

static struct speckv_engine *engine_numbered(u32 number)
{
	struct speckv_engine *engine;

	mutex_lock(&speckv_engines_lock);
	engine = xa_load(&speckv_engines, number);
	if (engine)
		kref_get(&engine->ref);
	mutex_unlock(&speckv_engines_lock);
	return engine;
}

static void file_let_go(struct speckv_file *file, struct speckv_engine *engine)
{
	u32 i;

	spin_lock(&engine->lock);
	speckv_jobs_forget_file(engine, file);
	for (i = 0; i < ARRAY_SIZE(engine->theta_owner); i++)
		if (engine->theta_owner[i] == file)
			engine->theta_owner[i] = NULL;
	for (i = 0; i < engine->caps.widths; i++)
		if (engine->widths_owner[i] == file)
			engine->widths_owner[i] = NULL;
	spin_unlock(&engine->lock);
	speckv_engine_put(engine);
}

/* The file gets @engine, a reference; in the place of one that is dead, or of none. */
static int file_attach(struct speckv_file *file, struct speckv_engine *engine)
{
	struct speckv_region *region = file->region;
	struct speckv_engine *before;

	if (mutex_lock_killable(&region->lock))
		return -EINTR;
	before = rcu_dereference_protected(file->engine, lockdep_is_held(&region->lock));
	if (region->dead || (before && READ_ONCE(before->state) != SPECKV_ENGINE_DEAD)) {
		mutex_unlock(&region->lock);
		return region->dead ? -ENODEV : -EBUSY;
	}
	speckv_lend_end(file, NULL);
	kref_get(&engine->ref);
	rcu_assign_pointer(file->engine, engine);
	mutex_unlock(&region->lock);
	if (before)
		file_let_go(file, before);
	return 0;
}

/* The file is being closed: nothing of it is lent when this returns but what a command still has.
 */
void speckv_engine_detach(struct speckv_file *file)
{
	struct speckv_region *region = file->region;
	struct speckv_engine *engine;

	mutex_lock(&region->lock);
	engine = rcu_dereference_protected(file->engine, lockdep_is_held(&region->lock));
	if (engine)
		speckv_lend_end(file, NULL);
	RCU_INIT_POINTER(file->engine, NULL);
	mutex_unlock(&region->lock);
	if (!engine)
		return;
	flush_work(&engine->undo_work);
	file_let_go(file, engine);
}

void speckv_lend_settle(struct speckv_file *file)
{
	struct speckv_engine *engine = speckv_engine_of(file);

	if (!engine)
		return;
	flush_work(&engine->undo_work);
	speckv_engine_put(engine);
}

void speckv_engines_settle(void)
{
	struct speckv_engine *engine;
	unsigned long number;

	mutex_lock(&speckv_engines_lock);
	xa_for_each(&speckv_engines, number, engine)
		flush_work(&engine->undo_work);
	mutex_unlock(&speckv_engines_lock);
}

/* engine->lock held. What is over has given its tag back. */
static u32 in_flight_of(const struct speckv_engine *engine, const struct speckv_file *file)
{
	u32 i, tag, count = 0;

	for (i = 0; i < SPECKV_QUEUES; i++)
		for (tag = 0; tag < SPECKV_RING_SLOTS; tag++)
			count += engine->queues[i].ring.busy[tag] &&
				 engine->queues[i].jobs[tag].file == file;
	return count;
}

static void tell_caps(const struct speckv_engine *engine, struct speckv_engine_info *info)
{
	const struct speckv_caps *caps = &engine->caps;

	info->flags = 0;
	info->engine = engine->number;
	info->state = engine->state;
	info->decoders = caps->decoders;
	info->encoders = caps->encoders;
	info->tokens = caps->tokens;
	info->head_dims = caps->head_dims;
	info->dtypes = caps->dtypes;
	info->queues = caps->queues;
	info->slots = SPECKV_RING_SLOTS;
	info->operations = caps->operations;
	info->thetas = caps->thetas;
	info->widths = caps->widths;
	info->resets = engine->counters.resets;
	info->commands = engine->counters.commands;
}

/* SPECKV_IOC_ENGINE */
long speckv_engine_tell(struct speckv_file *file, struct speckv_engine_info *info)
{
	struct speckv_engine *engine = speckv_engine_of(file);
	int rc = speckv_check_engine(info);

	bool is_had = engine && READ_ONCE(engine->state) != SPECKV_ENGINE_DEAD;

	if (!rc && engine && engine->number == info->engine && (is_had || !info->flags)) {
		/* Told of the one that it has; of a dead one, unless it wants another. */
	} else if (!rc) {
		if (engine)
			speckv_engine_put(engine);
		engine = is_had ? NULL : engine_numbered(info->engine);
		if (!engine)
			rc = is_had ? -EBUSY : -ENODEV;
		else if (info->flags & SPECKV_ENGINE_ATTACH)
			rc = file_attach(file, engine);
	}
	if (!rc) {
		spin_lock(&engine->lock);
		tell_caps(engine, info);
		info->in_flight = in_flight_of(engine, file);
		spin_unlock(&engine->lock);
	}
	if (engine)
		speckv_engine_put(engine);
	return rc;
}
