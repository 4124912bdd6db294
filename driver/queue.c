// SPDX-License-Identifier: GPL-2.0
/*
 * queue.c - jobs: a descriptor out, a completion in, and who is told.
 *
 * All with engine->lock held, but for speckv_queue_drain(). Which completion is believed is the
 * matter of ring.c.
 */
#include <linux/dma-mapping.h>

#include "engine.h"
#include "trace.h"

/* A slot of the device's layout table that says @words, then busy. -EAGAIN: all are in use. */
static int layout_get(struct speckv_engine *engine, const struct speckv_layout_words *words)
{
	struct speckv_layout *oldest = NULL;
	u32 i, at;

	for (i = 0; i < engine->caps.layouts; i++) {
		struct speckv_layout *layout = &engine->layouts[i];

		if (layout->is_set && !memcmp(&layout->words, words, sizeof(*words))) {
			layout->busy++;
			layout->used = engine->clock;
			return i;
		}
		if (!layout->busy && (!oldest || layout->used < oldest->used))
			oldest = layout;
	}
	if (!oldest)
		return -EAGAIN;
	i = oldest - engine->layouts;
	at = i * SPECKV_REG_LAYOUTS_STRIDE;
	oldest->words = *words;
	oldest->is_set = true;
	oldest->busy = 1;
	oldest->used = engine->clock;
	speckv_set(engine, SPECKV_REG_LAYOUTS_CODECS + at, words->codecs);
	speckv_set(engine, SPECKV_REG_LAYOUTS_ROPE + at, words->rope);
	speckv_set(engine, SPECKV_REG_LAYOUTS_SHAPE + at, words->shape);
	return i;
}

/* A table is whose who loaded it, until that file is closed: nobody else may load or name it. */
static bool may_have(const struct speckv_file *owner, const struct speckv_file *file, bool is_load)
{
	return owner == file || (is_load && !owner);
}

static int tables_get(struct speckv_engine *engine, struct speckv_file *file,
		      const struct speckv_plan *plan)
{
	const u32 end = plan->first + plan->widths;
	u32 i;

	if (plan->has_theta && !may_have(engine->theta_owner[plan->theta], file, plan->is_load))
		return -EACCES;
	for (i = plan->first; i < end; i++)
		if (!may_have(engine->widths_owner[i], file, plan->is_load))
			return -EACCES;
	if (!plan->is_load)
		return 0;
	if (plan->has_theta)
		engine->theta_owner[plan->theta] = file;
	for (i = plan->first; i < end; i++)
		engine->widths_owner[i] = file;
	return 0;
}

/* The device's cookie of the file's command with this one; 0, which none has, if there is none. */
static u64 find_cookie(const struct speckv_queue *queue, const struct speckv_file *file, u32 cookie)
{
	u32 tag;

	for (tag = 0; tag < SPECKV_RING_SLOTS; tag++)
		if (queue->ring.busy[tag] && queue->jobs[tag].file == file &&
		    queue->jobs[tag].cmd.cookie == cookie &&
		    queue->jobs[tag].cmd.opcode != SPECKV_CMD_CANCEL)
			return speckv_ring_cookie(&queue->ring, tag);
	return 0;
}

static void write_descriptor(struct speckv_queue *queue, const struct speckv_job *job, u64 cookie)
{
	const struct speckv_cmd *cmd = &job->cmd;
	const u64 in_window = (1ULL << SPECKV_WINDOW_SHIFT) - 1;
	struct speckv_engine_descriptor descriptor = {
		.opcode = cmd->opcode,
		.flags = cmd->flags & SPECKV_CMD_FIRST ? SPECKV_ENGINE_FIRST : 0,
		.layout = job->layout == SPECKV_NO_LAYOUT ? 0 : job->layout,
		.widths = cmd->widths,
		.cookie = cookie,
		.source_offset = cmd->source_offset,
		.target_offset = cmd->target_offset,
		.bytes = cmd->bytes,
	};

	if (job->source != SPECKV_NO_LEND) {
		descriptor.source_extent = job->source;
		descriptor.source_offset &= in_window;
	}
	if (job->target != SPECKV_NO_LEND) {
		descriptor.target_extent = job->target;
		descriptor.target_offset &= in_window;
	}
	if (cmd->opcode == SPECKV_CMD_CANCEL)
		descriptor.source_offset = find_cookie(queue, job->file, cmd->source_offset);
	queue->descriptors[speckv_ring_slot(queue->ring.tail - 1)] = descriptor;
}

static bool lend_is_over(const struct speckv_engine *engine, u8 index)
{
	return index != SPECKV_NO_LEND && engine->lends[index].state != SPECKV_LEND_ACTIVE;
}

/*
 * Give a job to the device: @job has its command, its lends, and who is to be told. It keeps the
 * lends until it ends. -EAGAIN: no place, or a reset is under way.
 */
int speckv_queue_post(struct speckv_queue *queue, const struct speckv_job *job,
		      const struct speckv_plan *plan)
{
	struct speckv_engine *engine = queue->engine;
	struct speckv_job *mine;
	int rc, layout = SPECKV_NO_LAYOUT;
	u64 cookie;
	u32 tag;

	lockdep_assert_held(&engine->lock);
	if (engine->state != SPECKV_ENGINE_LIVE)
		return engine->state == SPECKV_ENGINE_DEAD ? -ENODEV : -EAGAIN;
	if (lend_is_over(engine, job->source) || lend_is_over(engine, job->target))
		return -ENOENT; /* freed since it was looked up */
	if (queue->ring.used >= SPECKV_RING_SLOTS)
		return -EAGAIN;
	rc = tables_get(engine, job->file, plan);
	if (rc)
		return rc;
	engine->clock++;
	if (plan->has_layout) {
		layout = layout_get(engine, &plan->layout);
		if (layout < 0)
			return layout;
	}
	rc = speckv_ring_take(&queue->ring, &tag, &cookie);
	if (WARN_ON_ONCE(rc))
		return rc;
	mine = &queue->jobs[tag];
	*mine = *job;
	mine->layout = layout;
	mine->target_bytes = plan->target_bytes;
	mine->done_bytes = plan->done_bytes;
	write_descriptor(queue, mine, cookie);
	engine->in_flight++;
	trace_speckv_command(engine->number, queue->number, tag, &mine->cmd);
	/* writel() comes after what was written to memory before it. */
	speckv_set(engine, SPECKV_REG_QUEUES_SQ_TAIL + queue->number * SPECKV_REG_QUEUES_STRIDE,
		   queue->ring.tail);
	speckv_engine_watch(engine);
	return 0;
}

static void tell(struct speckv_job *job, int result)
{
	typeof(job->tell) tell = job->tell;

	job->tell = NULL;
	if (tell)
		tell(job, result);
}

/* The tag's place is free again, and so is what the job had. */
static void job_over(struct speckv_queue *queue, u32 tag)
{
	struct speckv_engine *engine = queue->engine;
	struct speckv_job *job = &queue->jobs[tag];

	speckv_lend_put(engine, job->source);
	speckv_lend_put(engine, job->target);
	if (job->layout != SPECKV_NO_LAYOUT)
		engine->layouts[job->layout].busy--;
	speckv_ring_give(&queue->ring, tag);
	engine->in_flight--;
}

/* Does what the engine says about this job fit what it was asked? */
static bool fits(const struct speckv_job *job, const struct speckv_engine_completion *told)
{
	if (told->status == SPECKV_ENGINE_OK ? told->bytes != job->done_bytes
					     : told->bytes > job->target_bytes)
		return false;
	return told->status != SPECKV_ENGINE_REFUSED || job->cmd.opcode == SPECKV_CMD_ENCODE;
}

static void job_ended(struct speckv_queue *queue, u32 tag,
		      const struct speckv_engine_completion *told)
{
	struct speckv_engine *engine = queue->engine;
	struct speckv_job *job = &queue->jobs[tag];

	speckv_lend_flush(engine, job->target, job->cmd.target_offset, job->target_bytes);
	job->cmd.checksum = told->checksum;
	job->cmd.done_bytes = told->bytes;
	job->cmd.page = told->page;
	job->cmd.status = told->status;
	job->cmd.refusal = told->refusal;
	engine->counters.commands++;
	engine->counters.errors += told->status != SPECKV_ENGINE_OK;
	trace_speckv_completion(engine->number, queue->number, tag, told->status, told->bytes);
	tell(job, 0);
	job_over(queue, tag);
}

/* Take what the device has completed. False if there was nothing. */
bool speckv_queue_drain(struct speckv_queue *queue)
{
	struct speckv_engine *engine = queue->engine;
	bool any = false;

	spin_lock(&engine->lock);
	while (engine->state == SPECKV_ENGINE_LIVE) {
		const struct speckv_engine_completion *slot =
			&queue->completions[speckv_ring_slot(queue->ring.head)];
		struct speckv_engine_completion told;
		int tag;

		if (!speckv_ring_is_there(&queue->ring, READ_ONCE(slot->phase)))
			break;
		dma_rmb();
		/* Once: the device may write it again, and what is checked is what is used. */
		memcpy(&told, slot, sizeof(told));
		barrier();
		any = true;
		tag = speckv_ring_accept(&queue->ring, &told);
		if (tag < 0 || !fits(&queue->jobs[tag], &told)) {
			engine->counters.lies++;
			speckv_engine_distrust(engine);
			break;
		}
		job_ended(queue, tag, &told);
	}
	if (any && engine->state == SPECKV_ENGINE_LIVE)
		speckv_set(engine,
			   SPECKV_REG_QUEUES_CQ_HEAD + queue->number * SPECKV_REG_QUEUES_STRIDE,
			   queue->ring.head);
	if (any)
		speckv_engine_wake(engine);
	spin_unlock(&engine->lock);
	return any;
}

/* Everybody who waits is told @error. @is_over: the device cannot write any more for any job. */
void speckv_jobs_fail(struct speckv_engine *engine, int error, bool is_over)
{
	u32 i, tag;

	lockdep_assert_held(&engine->lock);
	for (i = 0; i < SPECKV_QUEUES; i++) {
		struct speckv_queue *queue = &engine->queues[i];

		for (tag = 0; tag < SPECKV_RING_SLOTS; tag++) {
			if (!queue->ring.busy[tag])
				continue;
			tell(&queue->jobs[tag], error);
			if (is_over)
				job_over(queue, tag);
		}
	}
}

/* The file is gone: a cookie of it means nothing to a later file that gets its address. */
void speckv_jobs_forget_file(struct speckv_engine *engine, const struct speckv_file *file)
{
	u32 i, tag;

	lockdep_assert_held(&engine->lock);
	for (i = 0; i < SPECKV_QUEUES; i++)
		for (tag = 0; tag < SPECKV_RING_SLOTS; tag++)
			if (engine->queues[i].jobs[tag].file == file)
				engine->queues[i].jobs[tag].file = NULL;
}

/* Who waits was killed. */
void speckv_job_forget(struct speckv_engine *engine, const void *whom)
{
	u32 i, tag;

	lockdep_assert_held(&engine->lock);
	for (i = 0; i < SPECKV_QUEUES; i++)
		for (tag = 0; tag < SPECKV_RING_SLOTS; tag++)
			if (engine->queues[i].jobs[tag].whom == whom)
				engine->queues[i].jobs[tag].tell = NULL;
}

/* Tell those whose deadline has passed; how many there were. */
u32 speckv_jobs_late(struct speckv_engine *engine)
{
	u32 i, tag, late = 0;

	lockdep_assert_held(&engine->lock);
	for (i = 0; i < SPECKV_QUEUES; i++) {
		struct speckv_queue *queue = &engine->queues[i];

		for (tag = 0; tag < SPECKV_RING_SLOTS; tag++) {
			if (!queue->ring.busy[tag] ||
			    time_before(jiffies, queue->jobs[tag].deadline))
				continue;
			late++;
			tell(&queue->jobs[tag], -ETIMEDOUT);
		}
	}
	return late;
}
