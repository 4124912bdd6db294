/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h - a process that has an engine store segments without end, by io_uring, and looks at
 * everything that comes back.
 *
 * Each command has a number that no other has, and is answered once: never twice, never not at all.
 * One that the driver ended with EIO or ENODEV is given again until its segment is stored; so no
 * segment is ever lost. What an ENCODE or a DECODE wrote is what the codec room made of the same
 * bytes, and nothing lies behind it.
 */
#ifndef VM_GUEST_LOAD_H
#define VM_GUEST_LOAD_H

#include "engine.h"

#include "engine_cases.h"

/* load.c: segments of /t/engine-cases, with the codec room's answers */
#define SEGMENTS 5
struct segment {
	struct engine_case one;
	uint8_t *raw, *stored, *back, *turns, *widths;
};
void segments_read(struct segment segments[SEGMENTS]);

/* What the process says of itself, and is told. */
struct load_shared {
	int wanted; /* enum load_phase */
	int is;
	uint64_t ended;	 /* commands that the engine ended, each told to us once */
	uint64_t failed; /* that the driver ended, and that were given again */
	uint64_t rounds; /* times that all segments of the process were stored */
};
enum load_phase {
	LOAD_RUNS,
	LOAD_RESTS, /* all segments are stored, nothing is under way */
	LOAD_ENDS,
};
struct load {
	pid_t child;
	struct load_shared *shared;
};

/* Only one process may have tables, since they are whose who loads them first. */
struct load load_start(bool has_tables);
/* Both wait; what went wrong in there ends the caller, too. */
void load_tell(struct load *load, enum load_phase phase);
void load_wait_round(const struct load *load);

#endif /* VM_GUEST_LOAD_H */
