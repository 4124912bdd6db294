// SPDX-License-Identifier: GPL-2.0
/*
 * reset.c - an engine's states, deadlines, and the way back after a command that did not end.
 *
 * A reset has been answered when the engine says that nothing of it is under way on its buses: only
 * then are the jobs over, and what they were lent may go back. An engine that does not answer one,
 * nor a function-level reset, is DEAD and may keep what it has until it is unbound.
 */
#include <linux/delay.h>

#include "engine.h"
#include "trace.h"

/* The one transition; engine->lock held. False: it is not to be. */
bool speckv_engine_enter(struct speckv_engine *engine, enum speckv_engine_state state)
{
	lockdep_assert_held(&engine->lock);
	if (!speckv_state_may_follow(engine->state, state))
		return false;
	trace_speckv_state(engine->number, engine->state, state);
	engine->state = state;
	speckv_engine_wake(engine);
	return true;
}

/* It missed a deadline, or said what cannot be; engine->lock held. */
void speckv_engine_distrust(struct speckv_engine *engine)
{
	if (speckv_engine_enter(engine, SPECKV_ENGINE_RESETTING))
		queue_work(speckv_workqueue, &engine->reset_work);
}

/* Commands are under way: somebody is to look at their deadlines. engine->lock held. */
void speckv_engine_watch(struct speckv_engine *engine)
{
	queue_delayed_work(speckv_workqueue, &engine->watch, msecs_to_jiffies(SPECKV_WATCH_MS));
}

void speckv_watch_work(struct work_struct *work)
{
	struct speckv_engine *engine =
		container_of(to_delayed_work(work), struct speckv_engine, watch);
	u32 i, late = 0, missed = 0;

	/* An interrupt that was lost costs a little time, not a command. */
	for (i = 0; i < engine->caps.queues; i++)
		missed += speckv_queue_drain(&engine->queues[i]);

	spin_lock(&engine->lock);
	engine->counters.missed += missed;
	if (engine->state == SPECKV_ENGINE_LIVE) {
		late = speckv_jobs_late(engine);
		engine->counters.timeouts += late;
		if (late)
			speckv_engine_distrust(engine);
		else if (engine->in_flight)
			speckv_engine_watch(engine);
	}
	spin_unlock(&engine->lock);
	if (late)
		dev_warn_ratelimited(&engine->pdev->dev,
				     "%u commands missed their deadline; the engine is reset\n",
				     late);
}

/* Write everything that the device has to know; its state after a reset is not asked for. */
void speckv_engine_program(struct speckv_engine *engine)
{
	u32 i, at;

	lockdep_assert_held(&engine->lock);
	speckv_set(engine, SPECKV_REG_CONTROL, 0);
	for (i = 0; i < engine->caps.extents; i++)
		speckv_lend_write(engine, i);
	for (i = 0; i < engine->caps.layouts; i++) {
		const struct speckv_layout_words *words = &engine->layouts[i].words;

		at = i * SPECKV_REG_LAYOUTS_STRIDE;
		speckv_set(engine, SPECKV_REG_LAYOUTS_CODECS + at, words->codecs);
		speckv_set(engine, SPECKV_REG_LAYOUTS_ROPE + at, words->rope);
		speckv_set(engine, SPECKV_REG_LAYOUTS_SHAPE + at, words->shape);
	}
	for (i = 0; i < engine->caps.queues; i++) {
		struct speckv_queue *queue = &engine->queues[i];

		memset(queue->descriptors, 0, 2 * SPECKV_RING_BYTES);
		speckv_ring_reset(&queue->ring);
		at = i * SPECKV_REG_QUEUES_STRIDE;
		speckv_set(engine, SPECKV_REG_QUEUES_SETUP + at, 0);
		/* What software has written there may outlive a reset. */
		speckv_set(engine, SPECKV_REG_QUEUES_CQ_HEAD + at, 0);
		speckv_set(engine, SPECKV_REG_QUEUES_SQ_OFFSET + at, 0);
		speckv_set(engine, SPECKV_REG_QUEUES_CQ_OFFSET + at, SPECKV_RING_BYTES);
		speckv_set(engine, SPECKV_REG_QUEUES_SETUP + at,
			   SPECKV_REG_QUEUES_SETUP_ENABLE_MASK |
				   SPECKV_RING_LOG2 << SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_SHIFT |
				   i << SPECKV_REG_QUEUES_SETUP_SQ_EXTENT_SHIFT |
				   i << SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_SHIFT |
				   i << SPECKV_REG_QUEUES_SETUP_VECTOR_SHIFT);
	}
	speckv_set(engine, SPECKV_REG_MODERATION,
		   SPECKV_RING_SLOTS / 2 << SPECKV_REG_MODERATION_COMPLETIONS_SHIFT |
			   SPECKV_INTERRUPT_CYCLES << SPECKV_REG_MODERATION_CYCLES_SHIFT);
	speckv_set(engine, SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_ENABLE_MASK);
}

/* Until STATUS says that nothing is under way. False: not in SPECKV_RESET_MS, or it is gone. */
static bool is_idle_soon(struct speckv_engine *engine)
{
	unsigned long end = jiffies + msecs_to_jiffies(SPECKV_RESET_MS) + 1;
	u32 status;

	for (;;) {
		bool is_last = time_after(jiffies, end);

		status = speckv_get(engine, SPECKV_REG_STATUS);
		if (PCI_POSSIBLE_ERROR(status))
			return false;
		if ((status & (SPECKV_REG_STATUS_IDLE_MASK | SPECKV_REG_STATUS_RESETTING_MASK)) ==
		    SPECKV_REG_STATUS_IDLE_MASK)
			return speckv_get(engine, SPECKV_REG_MAGIC) == SPECKV_REG_MAGIC_VALUE_VALUE;
		if (is_last)
			return false;
		usleep_range(500, 1000);
	}
}

/* The engine's own reset, and if that is not answered the function's. Sleeps. */
bool speckv_engine_answers_reset(struct speckv_engine *engine)
{
	struct pci_dev *pdev = engine->pdev;

	if (!pci_device_is_present(pdev))
		return false;
	speckv_set(engine, SPECKV_REG_CONTROL, SPECKV_REG_CONTROL_RESET_MASK);
	if (is_idle_soon(engine))
		return true;
	pci_warn(pdev, "does not answer its reset in %u ms; trying the function's\n",
		 SPECKV_RESET_MS);
	pci_save_state(pdev);
	if (pcie_reset_flr(pdev, PCI_RESET_DO_RESET))
		return false;
	pci_restore_state(pdev);
	return is_idle_soon(engine);
}

/* What begun with RESETTING ends here, with the interrupts quiet. */
void speckv_engine_recovered(struct speckv_engine *engine, bool is_well)
{
	spin_lock(&engine->lock);
	speckv_jobs_fail(engine, is_well ? -EIO : -ENODEV, is_well);
	if (is_well && engine->state == SPECKV_ENGINE_RESETTING) {
		engine->counters.resets++;
		speckv_engine_program(engine);
		speckv_engine_enter(engine, SPECKV_ENGINE_LIVE);
	} else {
		speckv_engine_enter(engine, SPECKV_ENGINE_DEAD);
	}
	spin_unlock(&engine->lock);
	queue_work(speckv_workqueue, &engine->undo_work);
	if (is_well)
		return;
	pci_clear_master(engine->pdev);
	pci_err(engine->pdev, "does not come back from a reset; unbind it, and bind it anew\n");
}

void speckv_reset_work(struct work_struct *work)
{
	struct speckv_engine *engine = container_of(work, struct speckv_engine, reset_work);
	bool is_mine;

	spin_lock(&engine->lock);
	is_mine = engine->state == SPECKV_ENGINE_RESETTING && !engine->core_reset;
	spin_unlock(&engine->lock);
	if (!is_mine)
		return;
	speckv_irq_quiet(engine);
	speckv_engine_recovered(engine, speckv_engine_answers_reset(engine));
	speckv_irq_loud(engine);
}
