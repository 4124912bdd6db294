/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cmd_check.h - is a command well formed, does this engine take it, and what does it move? Pure
 * functions over a copy of the command.
 *
 * Called by command.c before anything else looks at the command, and by unit tests and a fuzz
 * target in user space. Never looks at handles or memory.
 */
#ifndef SPECKV_CMD_CHECK_H
#define SPECKV_CMD_CHECK_H

#include "shim.h"
#include <hw/speckv_engine.h>
#include <uapi/linux/speckv.h>

/* Codec ids of docs/codec.md that need tables: chanq. */
#define SPECKV_CODECS_WITH_TABLES 0xffff0000U

/* What one entry of the device's extent table covers; its size register could take twice that. */
#define SPECKV_WINDOW_SHIFT 37

/**
 * struct speckv_caps - what an engine takes, as its registers say
 * @decoders: codecs
 * @encoders: codecs
 * @operations: opcodes
 * @tokens: bits, see struct speckv_engine_info
 * @head_dims: likewise
 * @dtypes: likewise
 * @queues: queue pairs
 * @extents: entries of the extent table
 * @layouts: slots of the layout table
 * @thetas: whose turns table memory holds
 * @widths: slots of widths that it holds
 * @coherent: what it writes to its own memory needs no care for the CPU's caches
 */
struct speckv_caps {
	u32 decoders;
	u32 encoders;
	u32 operations;
	u8 tokens;
	u8 head_dims;
	u8 dtypes;
	u8 queues;
	u8 extents;
	u8 layouts;
	u16 thetas;
	u16 widths;
	bool coherent;
};

/**
 * struct speckv_layout_words - one slot of the device's layout table
 * @shape: register LAYOUTS_SHAPE
 * @codecs: register LAYOUTS_CODECS
 * @rope: register LAYOUTS_ROPE
 */
struct speckv_layout_words {
	u32 shape;
	u32 codecs;
	u32 rope;
};

/**
 * struct speckv_plan - what a command moves
 * @source_bytes: that it reads, whole beats; 0: none
 * @target_bytes: that it writes to an extent, likewise
 * @done_bytes: that it says to have written, if all is well
 * @has_layout: @layout counts
 * @is_load: it writes table memory; otherwise it reads what it names there:
 * @has_theta: theta @theta
 * @theta: see there
 * @first: slots of widths from here on
 * @widths: so many; 0: none
 * @layout: what the device's layout table has to hold for it
 */
struct speckv_plan {
	u64 source_bytes;
	u64 target_bytes;
	u32 done_bytes;
	bool has_layout;
	bool is_load;
	bool has_theta;
	u32 theta;
	u32 first;
	u32 widths;
	struct speckv_layout_words layout;
};

/* From the registers SHAPES, RESOURCES, TABLES: those of @caps that lie in them. */
void speckv_caps_unpack(struct speckv_caps *caps, u32 shapes, u32 resources, u32 tables);

/* 0, -EINVAL or -EOPNOTSUPP. */
int speckv_check_cmd(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
		     struct speckv_plan *ret);

/* Where @bytes from @offset on lie: in which window of an extent of @extent_bytes; or -ERANGE. */
int speckv_check_window(u64 offset, u64 bytes, u64 extent_bytes, u32 *ret_window);

int speckv_check_engine(const struct speckv_engine_info *info);

#endif /* SPECKV_CMD_CHECK_H */
