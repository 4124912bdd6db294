/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * speckv_cmd.h - what user space may ask of a codec engine, by a control file of /dev/speckvN.
 * Part of speckv.h, which says what a control file, an extent and the conventions are.
 *
 * A file asks for an engine once (SPECKV_IOC_ENGINE with SPECKV_ENGINE_ATTACH); from then on it
 * gives commands, each a struct speckv_cmd, by SPECKV_IOC_COMMAND, which waits until the command
 * has ended. Memory is named by the handle of an extent of this file and an offset in it, never by
 * an address. A typical sequence, where bytes of KV lie in one extent and are to be stored in
 * another:
 *
 *	struct speckv_engine_info engine = { .flags = SPECKV_ENGINE_ATTACH };
 *	ioctl(control, SPECKV_IOC_ENGINE, &engine);      what it takes: .encoders, .shapes ...
 *	struct speckv_cmd cmd = {
 *		.opcode = SPECKV_CMD_ENCODE, .source = from.handle, .target = to.handle,
 *		.heads = 8, .pages = 1, .tokens = 32, .head_dim = 128,
 *		.codec_k = 1, .codec_v = 1, .bytes = bytes that codec and shape make,
 *	};
 *	if (ioctl(control, SPECKV_IOC_COMMAND, &cmd))    errno: the driver or the device's end
 *	...
 *	if (cmd.status)                                  the engine's verdict, see below
 *	...
 *	.checksum, .done_bytes
 *
 * The same by io_uring: IORING_OP_URING_CMD with cmd_op SPECKV_IOC_COMMAND and the struct in an SQE
 * of 128 bytes (IORING_SETUP_SQE128). Results come in the CQE: res is an error, or else the status
 * from bit SPECKV_RESULT_STATUS_SHIFT on and below it @done_bytes; in a ring with
 * IORING_SETUP_CQE32 the second half is the checksum, or for a status that is not OK
 * @page * 256 + @refusal.
 *
 * Two kinds of failure. An errno: the driver refused, or nobody knows what became of the command.
 * A status that is not SPECKV_STATUS_OK: the engine ended it and says why; the call returns 0.
 *
 * What nobody may touch: until the call returns, and after ETIMEDOUT until the engine's `resets`
 * has grown, the engine may still write the target; one whose state is DEAD may until it is
 * unbound. The driver keeps an extent that was freed meanwhile out of use until then; a file that
 * goes on using its extent has to look itself.
 */
#ifndef _UAPI_LINUX_SPECKV_CMD_H
#define _UAPI_LINUX_SPECKV_CMD_H

#include <linux/types.h>

/* struct speckv_cmd.opcode; the numbers are the bits of struct speckv_engine_info.operations. */
enum speckv_cmd_opcode {
	SPECKV_CMD_NOP = 0,      /* nothing but the way there and back */
	SPECKV_CMD_ENCODE = 1,   /* raw K and V of a segment to what is stored */
	SPECKV_CMD_DECODE = 2,   /* and back */
	SPECKV_CMD_CHECKSUM = 3, /* of @bytes of the source; nothing is written */
	SPECKV_CMD_COPY = 4,     /* @bytes, with their checksum; they may not overlap */
	SPECKV_CMD_FILL = 5,     /* @source_offset again and again to @bytes of the target */
	SPECKV_CMD_CANCEL = 6,   /* the file's own in this queue with @cookie == @source_offset */
	SPECKV_CMD_LOAD = 7,     /* @bytes of the source to @target_offset in table memory */
};

/* Page size and the like come from the engine's description, include/hw/speckv_engine.h. */
#define SPECKV_CMD_BYTES_MAX (1U << 21)

/* Of the result of a command by io_uring. */
#define SPECKV_RESULT_STATUS_SHIFT 24

/* Longest @timeout_ms, and what 0 means. */
#define SPECKV_CMD_TIMEOUT_MS_MAX 60000U
#define SPECKV_CMD_TIMEOUT_MS 1000U

/* SPECKV_CMD_FIRST: the first page of each head is stored by @codec_first. */
#define SPECKV_CMD_FIRST (1U << 0)

/* SPECKV_CMD_NOWAIT: EAGAIN where the call would wait for a place in the ring or for a reset. */
#define SPECKV_CMD_NOWAIT (1U << 1)

/* struct speckv_cmd.rope, for codecs that use tables; 0: neighbours pair up, the first theta. */
#define SPECKV_CMD_ROPE_HALF_SPLIT (1U << 0)    /* halves of what is rotated pair up */
#define SPECKV_CMD_ROPE_THETA_1 (1U << 1)       /* the second theta's turns */
#define SPECKV_CMD_ROPE_SHARED_WIDTHS (1U << 2) /* all heads have the widths of the first */

/* struct speckv_cmd.status; those of include/hw/speckv_engine.h. */
enum speckv_cmd_status {
	SPECKV_STATUS_OK = 0,
	SPECKV_STATUS_UNSUPPORTED = 4,   /* a shape or a codec that this engine does not take */
	SPECKV_STATUS_BAD_LENGTH = 5,    /* @bytes is not what shape and codecs make */
	SPECKV_STATUS_SOURCE = 6,        /* the extent was freed while the command waited */
	SPECKV_STATUS_TARGET = 7,        /* likewise */
	SPECKV_STATUS_READ_ERROR = 8,    /* the bus answered with an error */
	SPECKV_STATUS_WRITE_ERROR = 9,   /* likewise */
	SPECKV_STATUS_MEMORY_ERROR = 10, /* a word inside the engine had the wrong parity */
	SPECKV_STATUS_REFUSED = 11,   /* a page cannot be held by its codec: @page and @refusal */
	SPECKV_STATUS_TABLE = 13,     /* a table is not there whole: LOAD it again */
	SPECKV_STATUS_CANCELLED = 14, /* a part of the target may be written */
	SPECKV_STATUS_NOT_FOUND = 15, /* of CANCEL: it has ended, or never was */
};

/**
 * struct speckv_cmd - one command, and what became of it; argument of SPECKV_IOC_COMMAND
 * @opcode: in; enum speckv_cmd_opcode
 * @flags: in; SPECKV_CMD_*
 * @queue: in; which queue pair, below struct speckv_engine_info.queues. Commands of one queue are
 *	begun in their order and end in any
 * @bf16: in; 0: fp16, 1: bf16
 * @bytes: in; ENCODE, DECODE: stored bytes of the segment; else what is moved; a multiple of 32, at
 *	most SPECKV_CMD_BYTES_MAX. The last 64 bytes that it touches are read or written whole
 * @source: in; handle of the extent that is read
 * @source_offset: in; a multiple of 64; see FILL, CANCEL
 * @target: in; handle of the extent that is written
 * @target_offset: in; a multiple of 64; of LOAD in table memory
 * @heads: in; KV heads, 1..256; this and all down to @rope: of ENCODE and DECODE
 * @pages: in; pages of a head, 1..256
 * @head_dim: in; 64, 128, 192 or 256
 * @rotated: in; channels of a head that RoPE turned, for codecs that use tables
 * @tokens: in; of a page: 16, 32 or 64
 * @codec_k: in; codec ids of docs/codec.md
 * @codec_v: in
 * @codec_first: in; of first pages, with SPECKV_CMD_FIRST; else 0
 * @widths: in; first head's slot of widths in table memory
 * @rope: in; SPECKV_CMD_ROPE_*
 * @pad: must be 0
 * @timeout_ms: in; the deadline, at most SPECKV_CMD_TIMEOUT_MS_MAX; 0: SPECKV_CMD_TIMEOUT_MS
 * @cookie: in; any value, for CANCEL
 * @checksum: out; of the stored bytes, as docs/codec.md defines it
 * @done_bytes: out; written to the target
 * @page: out; that was refused
 * @status: out; enum speckv_cmd_status
 * @refusal: out; 1: NaN or infinity, 2: out of range; 0 unless REFUSED
 *
 * Fields that an opcode does not use must be 0.
 *
 * EINVAL: not well formed. EOPNOTSUPP: this engine does not take the opcode, a codec or the shape.
 * ENXIO: the file has no engine. ENOENT: no such extent here. ERANGE: outside of the extent, or
 * across a multiple of 128 GiB in it. EACCES: tables that another file has loaded. EAGAIN: see
 * NOWAIT. ETIMEDOUT: the deadline has passed; the engine is reset. EIO: the engine was reset for
 * another command's sake. ENODEV: it is gone, or given up.
 */
struct speckv_cmd {
	__u8 opcode;
	__u8 flags;
	__u8 queue;
	__u8 bf16;
	__u32 bytes;
	__aligned_u64 source;
	__aligned_u64 source_offset;
	__aligned_u64 target;
	__aligned_u64 target_offset;
	__u16 heads;
	__u16 pages;
	__u16 head_dim;
	__u16 rotated;
	__u8 tokens;
	__u8 codec_k;
	__u8 codec_v;
	__u8 codec_first;
	__u16 widths;
	__u8 rope;
	__u8 pad;
	__u32 timeout_ms;
	__u32 cookie;
	__aligned_u64 checksum;
	__u32 done_bytes;
	__u16 page;
	__u8 status;
	__u8 refusal;
};

/* SPECKV_ENGINE_ATTACH: the file is to use this engine from now on. EBUSY if it has another. */
#define SPECKV_ENGINE_ATTACH (1U << 0)

/* struct speckv_engine_info.state */
enum speckv_engine_state {
	SPECKV_ENGINE_NEW = 0,
	SPECKV_ENGINE_LIVE = 1,
	SPECKV_ENGINE_RESETTING = 2,
	SPECKV_ENGINE_DEAD = 3, /* gone, or did not come back from a reset; for good */
};

/**
 * struct speckv_engine_info - argument of SPECKV_IOC_ENGINE
 * @flags: in; SPECKV_ENGINE_ATTACH, or 0: only tell
 * @engine: in: number of the engine, the Nth that was found; a file that has one already may only
 *	name that
 * @state: out; enum speckv_engine_state
 * @decoders: out; one bit a codec id: what DECODE takes
 * @encoders: out; likewise of ENCODE
 * @tokens: out; of a page: bit 0: 16, 1: 32, 2: 64
 * @head_dims: out; bit 0: 64, 1: 128, 2: 192, 3: 256
 * @dtypes: out; bit 0: fp16, 1: bf16
 * @queues: out; queue pairs
 * @slots: out; commands that a queue holds
 * @operations: out; one bit an opcode
 * @thetas: out; thetas whose turns table memory holds
 * @widths: out; slots of widths in table memory
 * @resets: out; function resets so far
 * @commands: out; commands that ended
 * @in_flight: out; commands of this file that may still read or write, whoever gave them: those of
 *	a process that died, and those past their deadline, until the engine has answered a reset
 * @pad: must be 0
 * @reserved: must be 0
 *
 * Whoever takes a file over from a process that died waits until @in_flight is 0 before it uses
 * extents anew that this one may have named.
 *
 * ENODEV: there is no such engine.
 */
struct speckv_engine_info {
	__u32 flags;
	__u32 engine;
	__u32 state;
	__u32 decoders;
	__u32 encoders;
	__u8 tokens;
	__u8 head_dims;
	__u8 dtypes;
	__u8 queues;
	__u32 slots;
	__u32 operations;
	__u16 thetas;
	__u16 widths;
	__u32 resets;
	__aligned_u64 commands;
	__u32 in_flight;
	__u32 pad;
	__aligned_u64 reserved[2];
};

#endif /* _UAPI_LINUX_SPECKV_CMD_H */
