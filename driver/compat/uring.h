/* SPDX-License-Identifier: GPL-2.0 */
/*
 * uring.h - io_uring's words for a command, as each kernel has them. Only uring.c includes it.
 */
#ifndef SPECKV_COMPAT_URING_H
#define SPECKV_COMPAT_URING_H

#include <linux/io_uring/cmd.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
static inline const void *speckv_sqe_payload(struct io_uring_cmd *ioucmd)
{
	return io_uring_sqe_cmd(ioucmd->sqe);
}

static inline void speckv_uring_done(struct io_uring_cmd *ioucmd, s32 result, u64 second,
				     unsigned int issue_flags)
{
	io_uring_cmd_done(ioucmd, result, second, issue_flags);
}

/* A function that io_uring calls in the context of the task, and what it calls: @body. */
#define SPECKV_TASK_WORK(name, body)                                                               \
	static void name(struct io_uring_cmd *ioucmd, unsigned int issue_flags)                    \
	{                                                                                          \
		body(ioucmd, issue_flags);                                                         \
	}
#else
static inline const void *speckv_sqe_payload(struct io_uring_cmd *ioucmd)
{
	return io_uring_sqe128_cmd(ioucmd->sqe, struct speckv_cmd);
}

static inline void speckv_uring_done(struct io_uring_cmd *ioucmd, s32 result, u64 second,
				     unsigned int issue_flags)
{
	io_uring_cmd_done32(ioucmd, result, second, issue_flags);
}

#define SPECKV_TASK_WORK(name, body)                                                               \
	static void name(struct io_tw_req work, io_tw_token_t token)                               \
	{                                                                                          \
		body(io_uring_cmd_from_tw(work), IO_URING_CMD_TASK_WORK_ISSUE_FLAGS);              \
	}
#endif

#endif /* SPECKV_COMPAT_URING_H */
