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
bool engine_fault(const char *line); /* asks the device process to do wrong */
int command(int control, struct speckv_cmd *cmd);
struct speckv_cmd copy_of(struct speckv_alloc from, struct speckv_alloc to, uint32_t bytes);
void fill(uint8_t *at, uint32_t bytes, uint32_t seed);

#endif /* VM_GUEST_ENGINE_H */
