/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * speckv_engine.h - what software and the codec engine write into each other's memory: descriptors
 * and completions, 64 bytes each, little-endian. The registers are in speckv_regs.h.
 *
 * A queue pair has two rings of equal size in host memory. Software writes descriptors and then the
 * tail to SQ_TAIL; the engine writes one completion for each, in the order in which it ends them.
 * A completion is there when its phase bit is 1 in the ring's first round, 0 in the second, and so
 * on. Reserved fields are 0. For the driver, the device process and benches; holds no code.
 */
#ifndef SPECKV_ENGINE_H
#define SPECKV_ENGINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPECKV_ENGINE_SLOT_BYTES 64u /* of a descriptor, of a completion */
#define SPECKV_ENGINE_BEAT_BYTES 64u /* offsets of what is moved are multiples of this */

enum speckv_engine_opcode {
	SPECKV_ENGINE_NOP = 0,
	SPECKV_ENGINE_ENCODE = 1,   /* raw K and V of a segment to what is stored */
	SPECKV_ENGINE_DECODE = 2,   /* a segment as it is stored to its raw K and V */
	SPECKV_ENGINE_CHECKSUM = 3, /* of the source's bytes: nothing is written */
	SPECKV_ENGINE_COPY = 4,     /* source to target, with the checksum; they may not overlap */
	SPECKV_ENGINE_FILL = 5,     /* `source_offset` again and again to the target */
	SPECKV_ENGINE_CANCEL = 6,   /* the job of this queue pair with the cookie `source_offset` */
	SPECKV_ENGINE_LOAD = 7,     /* one whole table, or some slots of widths, to table memory */
};

/* SPECKV_ENGINE_FIRST: first pages of each head are stored by the layout's codec `first`. */
#define SPECKV_ENGINE_FIRST 1u

/*
 * Table memory, for chanq: `target_offset` of LOAD is an offset in it. Turns of a theta: for token
 * 0 .. 63 and pair 0 .. 127 a cosine and a sine of 16 bits each (docs/codec.md, 5); a LOAD has one
 * whole theta. Widths: a slot is one head's, four bits a channel, the lower half of a byte first;
 * a LOAD has any slots, whole.
 * A table counts from its last byte on, and no longer from the first byte of its next LOAD on.
 */
#define SPECKV_ENGINE_TURNS_BYTES 32768u /* of a theta; theta 1 lies behind theta 0 */
#define SPECKV_ENGINE_WIDTHS_OFFSET 65536u
#define SPECKV_ENGINE_WIDTHS_BYTES 128u /* of a slot */

/* Fields that an opcode does not use are 0. */
struct speckv_engine_descriptor {
	uint8_t opcode; /* enum speckv_engine_opcode */
	uint8_t flags;  /* SPECKV_ENGINE_FIRST */
	uint8_t layout; /* slot of the layout table */
	uint8_t reserved_3;
	uint8_t source_extent;
	uint8_t target_extent;
	uint16_t widths; /* with chanq: the first head's slot; one a head follows */
	uint64_t cookie; /* comes back in the completion */
	uint64_t source_offset;
	uint64_t target_offset;
	uint32_t bytes; /* stored bytes of a segment; else what is moved: 32 * n, at most 2 MiB */
	uint32_t reserved_36;
	uint64_t reserved_40[3];
};

enum speckv_engine_status {
	SPECKV_ENGINE_OK = 0,
	SPECKV_ENGINE_BAD_OPCODE = 1,
	SPECKV_ENGINE_RESERVED = 2,    /* a reserved bit is set */
	SPECKV_ENGINE_BAD_LAYOUT = 3,  /* no such slot, not in use, or not a layout */
	SPECKV_ENGINE_UNSUPPORTED = 4, /* a codec that this build does not take: the CPU's */
	SPECKV_ENGINE_BAD_LENGTH = 5,  /* `bytes` is not the segment's */
	SPECKV_ENGINE_SOURCE = 6,      /* outside of its extent, misaligned, or not this queue's */
	SPECKV_ENGINE_TARGET = 7,      /* the same of the target, or it is not writable */
	SPECKV_ENGINE_READ_ERROR = 8,  /* the bus answered with an error */
	SPECKV_ENGINE_WRITE_ERROR = 9,
	SPECKV_ENGINE_MEMORY_ERROR = 10, /* a word inside the engine had the wrong parity */
	SPECKV_ENGINE_REFUSED = 11,   /* a page cannot be held by its codec: `page` and `refusal` */
	SPECKV_ENGINE_RING = 12,      /* a doorbell or a ring out of range; error log only */
	SPECKV_ENGINE_TABLE = 13,     /* a table that the layout asks for is not there whole */
	SPECKV_ENGINE_CANCELLED = 14, /* a part of the target may be written */
	SPECKV_ENGINE_NOT_FOUND = 15, /* of CANCEL: no lane has such a job; it may have ended */
};

struct speckv_engine_completion {
	uint64_t cookie;
	uint64_t checksum; /* of the stored bytes, as docs/codec.md defines it */
	uint8_t status;    /* enum speckv_engine_status */
	uint8_t refusal;   /* 1: NaN or infinity, 2: out of range; 0 unless REFUSED */
	uint16_t page;     /* that was refused, in stored order; 0 unless REFUSED */
	uint32_t bytes;    /* written to the target; REFUSED: 0, though a part was */
	uint16_t sq_head;  /* descriptors fetched from the ring so far */
	uint16_t reserved_26;
	uint32_t phase; /* bit 0 */
	uint64_t reserved_32[4];
};

#ifdef __cplusplus
}
#endif

#endif /* SPECKV_ENGINE_H */
