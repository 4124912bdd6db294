// SPDX-License-Identifier: GPL-2.0
/*
 * command.c - a command of user space, from its check until it is with the device; and the call
 * that waits for its end.
 *
 * Called by ioctl.c and uring.c. cmd_check.c looks at a copy of the command; lend.c at whether the
 * file may name that memory.
 */
#include <linux/completion.h>

#include "command.h"
#include "engine.h"

/* The memory of a command that has one. -ENOENT with *ret_missing set: there is no lend yet. */
static int get_lend(struct speckv_engine *engine, struct speckv_file *file, u64 handle, u64 offset,
		    u64 bytes, u8 *ret_index, bool *ret_missing)
{
	int index;

	*ret_index = SPECKV_NO_LEND;
	if (!bytes)
		return 0;
	index = speckv_lend_get(engine, file, handle, offset, bytes);
	*ret_missing = index == -ENOENT;
	if (index < 0)
		return index;
	*ret_index = index;
	return 0;
}

/* Both lends, or none. *ret_source_misses tells which of them there is not. */
static int get_lends(struct speckv_engine *engine, struct speckv_job *job,
		     const struct speckv_plan *plan, bool *ret_missing, bool *ret_is_source)
{
	const struct speckv_cmd *cmd = &job->cmd;
	int rc;

	*ret_missing = false;
	*ret_is_source = true;
	spin_lock(&engine->lock);
	rc = get_lend(engine, job->file, cmd->source, cmd->source_offset, plan->source_bytes,
		      &job->source, ret_missing);
	if (!rc) {
		*ret_is_source = false;
		rc = get_lend(engine, job->file, cmd->target, cmd->target_offset,
			      plan->target_bytes, &job->target, ret_missing);
		if (rc)
			speckv_lend_put(engine, job->source);
	}
	spin_unlock(&engine->lock);
	return rc;
}

static int make_lend(struct speckv_engine *engine, const struct speckv_job *job, bool is_source,
		     bool may_wait)
{
	struct speckv_region *region = job->file->region;
	u64 handle = is_source ? job->cmd.source : job->cmd.target;
	u64 offset = is_source ? job->cmd.source_offset : job->cmd.target_offset;
	int rc;

	if (!may_wait && !mutex_trylock(&region->lock))
		return -EAGAIN;
	if (may_wait && mutex_lock_killable(&region->lock))
		return -EINTR;
	rc = region->dead
		     ? -ENODEV
		     : speckv_lend_make(engine, job->file, handle, offset >> SPECKV_WINDOW_SHIFT);
	mutex_unlock(&region->lock);
	return rc;
}

/* One try. -EAGAIN: something has to change first. */
static int try_submit(struct speckv_engine *engine, struct speckv_job *job,
		      const struct speckv_plan *plan, bool may_wait)
{
	bool is_missing, is_source;
	int rc;

	while ((rc = get_lends(engine, job, plan, &is_missing, &is_source)) && is_missing) {
		rc = make_lend(engine, job, is_source, may_wait);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	speckv_lend_flush(engine, job->source, job->cmd.source_offset, plan->source_bytes);
	speckv_lend_flush(engine, job->target, job->cmd.target_offset, plan->target_bytes);

	spin_lock(&engine->lock);
	rc = speckv_queue_post(&engine->queues[job->cmd.queue], job, plan);
	if (rc) {
		speckv_lend_put(engine, job->source);
		speckv_lend_put(engine, job->target);
	}
	spin_unlock(&engine->lock);
	return rc;
}

static int submit(struct speckv_engine *engine, struct speckv_job *job, bool may_wait)
{
	struct speckv_plan plan;
	u32 seen;
	long left;
	int rc = speckv_check_cmd(&job->cmd, &engine->caps, &plan);

	if (rc)
		return rc;
	if (!job->cmd.timeout_ms)
		job->cmd.timeout_ms = SPECKV_CMD_TIMEOUT_MS;
	job->deadline = jiffies + msecs_to_jiffies(job->cmd.timeout_ms) + 1;
	may_wait = may_wait && !(job->cmd.flags & SPECKV_CMD_NOWAIT);
	for (;;) {
		seen = READ_ONCE(engine->changed);
		rc = try_submit(engine, job, &plan, may_wait);
		if (rc != -EAGAIN || !may_wait)
			return rc;
		left = job->deadline - jiffies;
		if (left <= 0)
			return -ETIMEDOUT;
		left = wait_event_killable_timeout(engine->wait, READ_ONCE(engine->changed) != seen,
						   left);
		if (left < 0)
			return -EINTR;
	}
}

/*
 * Give a command of the file to its engine. 0: @tell will be called, once, unless @whom is
 * forgotten. @may_wait: sleep where there is no place; else -EAGAIN.
 */
int speckv_submit(struct speckv_file *file, const struct speckv_cmd *cmd,
		  void (*tell)(struct speckv_job *job, int result), void *whom, bool may_wait)
{
	struct speckv_engine *engine = speckv_engine_of(file);
	struct speckv_job job = {
		.cmd = *cmd,
		.file = file,
		.tell = tell,
		.whom = whom,
		.source = SPECKV_NO_LEND,
		.target = SPECKV_NO_LEND,
		.layout = SPECKV_NO_LAYOUT,
	};
	int rc;

	if (!engine)
		return -ENXIO;
	rc = submit(engine, &job, may_wait);
	if (rc && rc != -EAGAIN) {
		spin_lock(&engine->lock);
		engine->counters.refused++;
		spin_unlock(&engine->lock);
	}
	speckv_engine_put(engine);
	return rc;
}

/**
 * struct waiter - somebody who waits in a call
 * @done: the command ended
 * @result: 0, or an error
 * @cmd: the command with its results, if @result is 0
 */
struct waiter {
	struct completion done;
	int result;
	struct speckv_cmd *cmd;
};

static void tell_waiter(struct speckv_job *job, int result)
{
	struct waiter *waiter = job->whom;

	waiter->result = result;
	if (!result) {
		waiter->cmd->checksum = job->cmd.checksum;
		waiter->cmd->done_bytes = job->cmd.done_bytes;
		waiter->cmd->page = job->cmd.page;
		waiter->cmd->status = job->cmd.status;
		waiter->cmd->refusal = job->cmd.refusal;
	}
	complete(&waiter->done);
}

/* SPECKV_IOC_COMMAND */
long speckv_command(struct speckv_file *file, struct speckv_cmd *cmd)
{
	struct waiter waiter = { .cmd = cmd };
	struct speckv_engine *engine;
	int rc;

	init_completion(&waiter.done);
	rc = speckv_submit(file, cmd, tell_waiter, &waiter, true);
	if (rc)
		return rc;
	/* Its deadline ends the wait; so does a deadly signal, and then nobody is to be told. */
	if (!wait_for_completion_killable(&waiter.done))
		return waiter.result;
	engine = speckv_engine_of(file);
	if (engine) {
		spin_lock(&engine->lock);
		speckv_job_forget(engine, &waiter);
		spin_unlock(&engine->lock);
		speckv_engine_put(engine);
	}
	return -EINTR;
}
