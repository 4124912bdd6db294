// SPDX-License-Identifier: GPL-2.0
/*
 * uring.c - the same command as SPECKV_IOC_COMMAND, by io_uring: given in an SQE of 128 bytes,
 * ended in a CQE by task work. Nobody waits for it in a call, and nothing is copied but the SQE.
 *
 * Each word of the SQE is read once: it may lie in memory that its owner is writing. Every command
 * has a deadline, so a ring that is closed does not wait for ever.
 */
#include <linux/uaccess.h>

#include "speckv.h"

#include "compat/uring.h"
#include "command.h"
#include "engine.h"

/**
 * struct result - what io_uring keeps for us between the end of a command and its task work
 * @result: of the CQE
 * @second: of a CQE of 32 bytes
 */
struct result {
	s32 result;
	u64 second;
};

static void finish(struct io_uring_cmd *ioucmd, unsigned int issue_flags)
{
	const struct result *result = io_uring_cmd_to_pdu(ioucmd, struct result);

	speckv_uring_done(ioucmd, result->result, result->second, issue_flags);
}

SPECKV_TASK_WORK(finish_in_task, finish)

static void tell_uring(struct speckv_job *job, int error)
{
	struct io_uring_cmd *ioucmd = job->whom;
	struct result *result = io_uring_cmd_to_pdu(ioucmd, struct result);
	const struct speckv_cmd *cmd = &job->cmd;

	result->result = error ?: cmd->status << SPECKV_RESULT_STATUS_SHIFT | cmd->done_bytes;
	result->second = error	       ? 0
			 : cmd->status ? (u64)cmd->page << 8 | cmd->refusal
				       : cmd->checksum;
	io_uring_cmd_do_in_task_lazy(ioucmd, finish_in_task);
}

int speckv_uring_cmd(struct io_uring_cmd *ioucmd, unsigned int issue_flags)
{
	struct speckv_file *file = ioucmd->file->private_data;
	struct speckv_cmd cmd;
	const u64 *payload;
	u32 i;
	int rc;

	if (ioucmd->cmd_op != SPECKV_IOC_COMMAND)
		return -ENOTTY;
	rc = speckv_may_call(ioucmd->file, SPECKV_IOC_COMMAND);
	if (rc)
		return rc;
	if (!(issue_flags & IO_URING_F_SQE128))
		return -EINVAL;
	payload = speckv_sqe_payload(ioucmd);
	for (i = 0; i < sizeof(cmd) / sizeof(u64); i++)
		((u64 *)&cmd)[i] = READ_ONCE(payload[i]);
	rc = speckv_submit(file, &cmd, tell_uring, ioucmd, !(issue_flags & IO_URING_F_NONBLOCK));
	return rc ? rc : -EIOCBQUEUED;
}
