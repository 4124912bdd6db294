// SPDX-License-Identifier: GPL-2.0
/*
 * cmd_check.c - see cmd_check.h. Fields that an opcode does not use must be 0, so that they can get
 * a meaning; the device would refuse most of them, too.
 */
#include "cmd_check.h"

#include <hw/speckv_regs.h>

static_assert(sizeof(struct speckv_cmd) == 80, "what fits into an SQE of 128 bytes");
static_assert(offsetof(struct speckv_cmd, heads) == 40);
static_assert(offsetof(struct speckv_cmd, checksum) == 64);
static_assert(sizeof(struct speckv_engine_info) == 72);
static_assert(offsetof(struct speckv_engine_info, reserved) == 56);
static_assert(sizeof(struct speckv_engine_descriptor) == 64);
static_assert(sizeof(struct speckv_engine_completion) == 64);

#define FIELD(value, name) ((name##_MASK & (value)) >> name##_SHIFT)
#define PUT(name, value) ((u32)(value) << name##_SHIFT)

#define CMD_FLAGS (SPECKV_CMD_FIRST | SPECKV_CMD_NOWAIT)
#define CMD_ROPE                                                                                   \
	(SPECKV_CMD_ROPE_HALF_SPLIT | SPECKV_CMD_ROPE_THETA_1 | SPECKV_CMD_ROPE_SHARED_WIDTHS)
#define PER_HEAD_MAX 256 /* heads, pages of one, channels of one */
#define CODECS 32

void speckv_caps_unpack(struct speckv_caps *caps, u32 shapes, u32 resources, u32 tables)
{
	caps->tokens = FIELD(shapes, SPECKV_REG_SHAPES_TOKENS);
	caps->head_dims = FIELD(shapes, SPECKV_REG_SHAPES_HEAD_DIMS);
	caps->dtypes = FIELD(shapes, SPECKV_REG_SHAPES_DTYPES);
	caps->coherent = FIELD(shapes, SPECKV_REG_SHAPES_COHERENT);
	caps->queues = FIELD(resources, SPECKV_REG_RESOURCES_QUEUES);
	caps->extents = FIELD(resources, SPECKV_REG_RESOURCES_EXTENTS);
	caps->layouts = FIELD(resources, SPECKV_REG_RESOURCES_LAYOUTS);
	caps->thetas = FIELD(tables, SPECKV_REG_TABLES_THETAS);
	caps->widths = FIELD(tables, SPECKV_REG_TABLES_WIDTHS);
}

static u64 whole_beats(u64 bytes)
{
	return (bytes + SPECKV_ENGINE_BEAT_BYTES - 1) & ~(u64)(SPECKV_ENGINE_BEAT_BYTES - 1);
}

static bool is_length(u32 bytes)
{
	return bytes && bytes % 32 == 0 && bytes <= SPECKV_CMD_BYTES_MAX;
}

static bool has_no_layout(const struct speckv_cmd *cmd)
{
	return !(cmd->flags & SPECKV_CMD_FIRST) && !cmd->bf16 && !cmd->heads && !cmd->pages &&
	       !cmd->head_dim && !cmd->rotated && !cmd->tokens && !cmd->codec_k && !cmd->codec_v &&
	       !cmd->codec_first && !cmd->widths && !cmd->rope;
}

/* log2(tokens) - 4, and head_dim / 64 - 1: how registers and capability bits count them. */
static int tokens_code(u32 tokens)
{
	return tokens == 16 ? 0 : tokens == 32 ? 1 : tokens == 64 ? 2 : -EINVAL;
}

static int head_dim_code(u32 head_dim)
{
	if (!head_dim || head_dim % 64 || head_dim > PER_HEAD_MAX)
		return -EINVAL;
	return head_dim / 64 - 1;
}

/* A codec with tables reads one theta's turns, and a slot of widths a head or one for all. */
static int check_tables(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
			struct speckv_plan *plan)
{
	u32 used = 1U << cmd->codec_k | 1U << cmd->codec_v | 1U << cmd->codec_first;

	if (!(used & SPECKV_CODECS_WITH_TABLES))
		return cmd->widths || cmd->rope || cmd->rotated ? -EINVAL : 0;
	plan->has_theta = cmd->rotated;
	plan->theta = cmd->rope & SPECKV_CMD_ROPE_THETA_1 ? 1 : 0;
	plan->first = cmd->widths;
	plan->widths = cmd->rope & SPECKV_CMD_ROPE_SHARED_WIDTHS ? 1 : cmd->heads;
	if ((plan->has_theta && plan->theta >= caps->thetas) ||
	    plan->first + plan->widths > caps->widths)
		return -EOPNOTSUPP;
	return 0;
}

static int check_layout(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
			struct speckv_plan *plan)
{
	const u32 known = cmd->opcode == SPECKV_CMD_ENCODE ? caps->encoders : caps->decoders;
	const bool first = cmd->flags & SPECKV_CMD_FIRST;
	const int tokens = tokens_code(cmd->tokens), head_dim = head_dim_code(cmd->head_dim);
	struct speckv_layout_words *words = &plan->layout;

	if (tokens < 0 || head_dim < 0 || cmd->bf16 > 1 || cmd->rope & ~CMD_ROPE)
		return -EINVAL;
	if (!cmd->heads || cmd->heads > PER_HEAD_MAX || !cmd->pages || cmd->pages > PER_HEAD_MAX)
		return -EINVAL;
	if (cmd->codec_k >= CODECS || cmd->codec_v >= CODECS || cmd->codec_first >= CODECS)
		return -EINVAL;
	if ((cmd->codec_first && !first) || cmd->rotated > cmd->head_dim)
		return -EINVAL;
	if (!(caps->tokens >> tokens & 1) || !(caps->head_dims >> head_dim & 1) ||
	    !(caps->dtypes >> cmd->bf16 & 1))
		return -EOPNOTSUPP;
	if (!(known >> cmd->codec_k & 1) || !(known >> cmd->codec_v & 1) ||
	    (first && !(known >> cmd->codec_first & 1)))
		return -EOPNOTSUPP;
	words->shape = SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK |
		       PUT(SPECKV_REG_LAYOUTS_SHAPE_TOKENS, tokens) |
		       PUT(SPECKV_REG_LAYOUTS_SHAPE_BLOCKS, head_dim) |
		       PUT(SPECKV_REG_LAYOUTS_SHAPE_BF16, cmd->bf16) |
		       PUT(SPECKV_REG_LAYOUTS_SHAPE_HEADS, cmd->heads) |
		       PUT(SPECKV_REG_LAYOUTS_SHAPE_PAGES, cmd->pages);
	words->codecs = PUT(SPECKV_REG_LAYOUTS_CODECS_K, cmd->codec_k) |
			PUT(SPECKV_REG_LAYOUTS_CODECS_V, cmd->codec_v) |
			PUT(SPECKV_REG_LAYOUTS_CODECS_FIRST, cmd->codec_first);
	words->rope = PUT(SPECKV_REG_LAYOUTS_ROPE_ROTATED, cmd->rotated) |
		      PUT(SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT,
			  !!(cmd->rope & SPECKV_CMD_ROPE_HALF_SPLIT)) |
		      PUT(SPECKV_REG_LAYOUTS_ROPE_THETA, !!(cmd->rope & SPECKV_CMD_ROPE_THETA_1)) |
		      PUT(SPECKV_REG_LAYOUTS_ROPE_SHARED_WIDTHS,
			  !!(cmd->rope & SPECKV_CMD_ROPE_SHARED_WIDTHS));
	plan->has_layout = true;
	return check_tables(cmd, caps, plan);
}

/* ENCODE, DECODE: what a segment is raw follows from its shape. */
static int check_segment(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
			 struct speckv_plan *plan)
{
	u64 raw = 2ULL * cmd->heads * cmd->pages * cmd->tokens * cmd->head_dim * 2;
	int rc;

	if (!is_length(cmd->bytes) || !cmd->source || !cmd->target)
		return -EINVAL;
	rc = check_layout(cmd, caps, plan);
	if (rc)
		return rc;
	if (raw > SPECKV_CMD_BYTES_MAX)
		return -EOPNOTSUPP;
	plan->source_bytes = cmd->opcode == SPECKV_CMD_ENCODE ? raw : whole_beats(cmd->bytes);
	plan->target_bytes = cmd->opcode == SPECKV_CMD_ENCODE ? whole_beats(cmd->bytes) : raw;
	plan->done_bytes = cmd->opcode == SPECKV_CMD_ENCODE ? cmd->bytes : raw;
	return 0;
}

/* One whole theta, or slots of widths, whole. */
static int check_load(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
		      struct speckv_plan *plan)
{
	u64 at = cmd->target_offset;

	plan->is_load = true;
	if (at < SPECKV_ENGINE_WIDTHS_OFFSET) {
		plan->has_theta = true;
		plan->theta = (u32)at / SPECKV_ENGINE_TURNS_BYTES;
		if (at % SPECKV_ENGINE_TURNS_BYTES || cmd->bytes != SPECKV_ENGINE_TURNS_BYTES ||
		    plan->theta >= caps->thetas)
			return -EINVAL;
		return 0;
	}
	at -= SPECKV_ENGINE_WIDTHS_OFFSET;
	if (at > SPECKV_CMD_BYTES_MAX * 4ULL || at % SPECKV_ENGINE_WIDTHS_BYTES ||
	    cmd->bytes % SPECKV_ENGINE_WIDTHS_BYTES)
		return -EINVAL;
	plan->first = (u32)at / SPECKV_ENGINE_WIDTHS_BYTES;
	plan->widths = cmd->bytes / SPECKV_ENGINE_WIDTHS_BYTES;
	return plan->first + plan->widths > caps->widths ? -EINVAL : 0;
}

static int check_move(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
		      struct speckv_plan *plan)
{
	const u8 opcode = cmd->opcode;
	const bool is_load = opcode == SPECKV_CMD_LOAD;
	const bool reads = opcode != SPECKV_CMD_FILL;
	const bool writes = opcode == SPECKV_CMD_COPY || opcode == SPECKV_CMD_FILL;

	if (!is_length(cmd->bytes) || !has_no_layout(cmd))
		return -EINVAL;
	if (!cmd->source != !reads || !cmd->target != !writes)
		return -EINVAL;
	if (cmd->target_offset && !writes && !is_load)
		return -EINVAL;
	if (reads)
		plan->source_bytes = whole_beats(cmd->bytes);
	if (writes) {
		plan->target_bytes = whole_beats(cmd->bytes);
		plan->done_bytes = cmd->bytes;
	}
	if (opcode == SPECKV_CMD_COPY && cmd->source == cmd->target &&
	    cmd->source_offset < cmd->target_offset + plan->target_bytes &&
	    cmd->target_offset < cmd->source_offset + plan->source_bytes)
		return -EINVAL;
	return is_load ? check_load(cmd, caps, plan) : 0;
}

/* NOP, CANCEL. */
static int check_empty(const struct speckv_cmd *cmd)
{
	if (cmd->bytes || cmd->source || cmd->target || cmd->target_offset || !has_no_layout(cmd))
		return -EINVAL;
	if (cmd->source_offset &&
	    (cmd->opcode != SPECKV_CMD_CANCEL || cmd->source_offset > (u32)~0U))
		return -EINVAL;
	return 0;
}

static int check_offsets(const struct speckv_cmd *cmd, const struct speckv_plan *plan)
{
	if (plan->source_bytes && cmd->source_offset % SPECKV_ENGINE_BEAT_BYTES)
		return -EINVAL;
	if (plan->target_bytes && cmd->target_offset % SPECKV_ENGINE_BEAT_BYTES)
		return -EINVAL;
	return 0;
}

int speckv_check_cmd(const struct speckv_cmd *cmd, const struct speckv_caps *caps,
		     struct speckv_plan *ret)
{
	int rc;

	memset(ret, 0, sizeof(*ret));
	if (cmd->flags & ~CMD_FLAGS || cmd->pad || cmd->timeout_ms > SPECKV_CMD_TIMEOUT_MS_MAX)
		return -EINVAL;
	if (cmd->checksum || cmd->done_bytes || cmd->page || cmd->status || cmd->refusal)
		return -EINVAL;
	if (cmd->opcode > SPECKV_CMD_LOAD || cmd->queue >= caps->queues)
		return -EINVAL;
	if (!(caps->operations >> cmd->opcode & 1))
		return -EOPNOTSUPP;
	switch (cmd->opcode) {
	case SPECKV_CMD_ENCODE:
	case SPECKV_CMD_DECODE:
		rc = check_segment(cmd, caps, ret);
		break;
	case SPECKV_CMD_CHECKSUM:
	case SPECKV_CMD_COPY:
	case SPECKV_CMD_FILL:
	case SPECKV_CMD_LOAD:
		rc = check_move(cmd, caps, ret);
		break;
	default:
		rc = check_empty(cmd);
	}
	return rc ? rc : check_offsets(cmd, ret);
}

int speckv_check_window(u64 offset, u64 bytes, u64 extent_bytes, u32 *ret_window)
{
	u64 last;

	if (!bytes || bytes > extent_bytes || offset > extent_bytes - bytes)
		return -ERANGE;
	last = offset + bytes - 1;
	if (offset >> SPECKV_WINDOW_SHIFT != last >> SPECKV_WINDOW_SHIFT)
		return -ERANGE;
	*ret_window = offset >> SPECKV_WINDOW_SHIFT;
	return 0;
}

int speckv_check_engine(const struct speckv_engine_info *info)
{
	struct speckv_engine_info copy = *info;
	const u8 *byte = (const u8 *)&copy;
	size_t i;

	if (info->flags & ~SPECKV_ENGINE_ATTACH)
		return -EINVAL;
	copy.flags = 0;
	copy.engine = 0;
	for (i = 0; i < sizeof(copy); i++)
		if (byte[i])
			return -EINVAL;
	return 0;
}
