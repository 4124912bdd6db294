/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - the codec engine as the engine tests use it: what is not under test must succeed.
 *
 * /t/engine-cases has segments with the answers of the codec room (engine_cases.h).
 */
#ifndef VM_GUEST_ENGINE_H
#define VM_GUEST_ENGINE_H

#include "harness.h"

#define MOVED 4096u /* bytes of a plain move */

/* engine.c */
struct speckv_engine_info engine_attach(int control);
struct speckv_engine_info engine_info(int control);
uint64_t engine_counter(const char *name);
void engine_state(char *text, size_t bytes);
bool engine_becomes(const char *state, int seconds);
bool engine_counter_becomes(const char *name, uint64_t value, int seconds);
const char *engine_address(void); /* 0000:00:04.0 */
int engine_write(const char *attribute, const char *text);
void engine_fault(const char *line); /* asks the device process to do wrong, or to heal */
int engine_unbind(void);
int engine_bind(void);
int command(int control, struct speckv_cmd *cmd);
struct speckv_cmd copy_of(struct speckv_alloc from, struct speckv_alloc to, uint32_t bytes);
void fill(uint8_t *at, uint32_t bytes, uint32_t seed);

/* uring.c: commands by io_uring, in a ring of SQEs of 128 and CQEs of 32 bytes */
struct uring {
	int fd;
	unsigned int entries;
	unsigned char *sqes;
	unsigned int *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	unsigned char *cqes;
};
struct uring_end {
	uint64_t user;
	int32_t result;
	uint64_t second;
};
struct uring uring_make(unsigned int entries, bool is_big);
void uring_put(struct uring *ring, int control, uint32_t command, const struct speckv_cmd *cmd,
	       uint64_t user);
int uring_enter(struct uring *ring, unsigned int submit, unsigned int wait);
struct uring_end uring_take(struct uring *ring);

#endif /* VM_GUEST_ENGINE_H */
