/* SPDX-License-Identifier: GPL-2.0 */
/*
 * command.h - give a command to an engine. For ioctl.c's half of command.c, and uring.c.
 */
#ifndef SPECKV_COMMAND_H
#define SPECKV_COMMAND_H

#include <linux/types.h>

struct speckv_cmd;
struct speckv_file;
struct speckv_job;

int speckv_submit(struct speckv_file *file, const struct speckv_cmd *cmd,
		  void (*tell)(struct speckv_job *job, int result), void *whom, bool may_wait);

#endif /* SPECKV_COMMAND_H */
