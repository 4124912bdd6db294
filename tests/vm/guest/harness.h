/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - the guest tests' frame: registration, TAP, and helpers around /dev/speckv0.
 *
 * Every test runs in a process of its own with a limit of host-independent length: the host ends a
 * guest that hangs. After each test the frame waits until the region is whole again (nothing used,
 * nothing dirty, nothing in quarantine, tables sound); a test that leaks fails by that.
 */
#ifndef VM_GUEST_HARNESS_H
#define VM_GUEST_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/speckv.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ULL << 20)
#define GRANULE SPECKV_GRANULE_BYTES
#define UID_ONE 1001
#define UID_TWO 1002

/* What the region must be after a test. */
enum balance {
	BALANCE_WHOLE,	 /* bound, and all of it free but for what is poisoned */
	BALANCE_NONE,	 /* the test takes the region away, and the frame puts it back */
	BALANCE_IGNORED, /* speckv does not have the region at all */
};

struct test {
	const char *group;
	const char *name;
	void (*run)(void);
	enum balance balance;
	struct test *next;
};

void test_register(struct test *test);

#define TEST_BALANCED(group_, name_, balance_)                                                     \
	static void test_##group_##_##name_(void);                                                 \
	static struct test entry_##group_##_##name_ = {                                            \
		.group = #group_,                                                                  \
		.name = #name_,                                                                    \
		.run = test_##group_##_##name_,                                                    \
		.balance = balance_,                                                               \
	};                                                                                         \
	__attribute__((constructor)) static void register_##group_##_##name_(void)                 \
	{                                                                                          \
		test_register(&entry_##group_##_##name_);                                          \
	}                                                                                          \
	static void test_##group_##_##name_(void)

#define TEST(group_, name_) TEST_BALANCED(group_, name_, BALANCE_WHOLE)

/* Ends the test's process, with the place and both values. */
void fail_at(const char *file, int line, const char *what, long long is, long long wanted)
	__attribute__((noreturn));

#define EXPECT_EQ(is, wanted)                                                                      \
	do {                                                                                       \
		long long is_ = (long long)(is), wanted_ = (long long)(wanted);                    \
		if (is_ != wanted_)                                                                \
			fail_at(__FILE__, __LINE__, #is " == " #wanted, is_, wanted_);             \
	} while (0)
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_at(__FILE__, __LINE__, #condition, 0, 1);                             \
	} while (0)
/* A call that must fail with exactly this errno. */
#define EXPECT_ERRNO(call, wanted)                                                                 \
	do {                                                                                       \
		errno = 0;                                                                         \
		long result_ = (long)(call);                                                       \
		if (result_ != -1 || errno != (wanted))                                            \
			fail_at(__FILE__, __LINE__, #call " fails with " #wanted,                  \
				result_ == -1 ? errno : 0, wanted);                                \
	} while (0)

/* device.c: /dev/speckv0 */
extern uint64_t device_bytes;
int control_open(void);
struct speckv_alloc alloc_extent(int control, uint64_t bytes);
void free_extent(int control, uint64_t handle);
int export_new(int control, uint32_t flags, const void *handles, uint32_t count);
int export_change(int control, int export, uint32_t verb, uint64_t handle);
uint8_t *map_all(int fd, int protection);
struct speckv_stat stat_of(int control, int fd);
void wait_until_clean(int control);
/* A read or write that may fault: the byte (0 for poke), or which signal came with which code. */
#define SEEN_BUS(code) (-1000 - (code))
#define SEEN_SEGV(code) (-2000 - (code))
int peek(const volatile uint8_t *at);
int poke(volatile uint8_t *at, uint8_t value);

/* process.c: other processes, and the host */
pid_t spawn(void (*body)(void *), void *argument);
int reap(pid_t child);
void become(uid_t uid);
int send_fd(int socket, int fd);
int receive_fd(int socket);
struct gate {
	int ends[2];
};
void gate_make(struct gate *gate);
void gate_open(struct gate *gate);
void gate_wait(struct gate *gate);
int write_file(const char *path, const char *text);
int read_file(const char *path, char *text, size_t bytes);
bool qmp(const char *command);
bool card_plug(void);
bool wait_for_path(const char *path, bool present, int seconds);

/* pin.c: long-term pins by io_uring, and a page that a pipe holds */
int ring_make(void);
int ring_register(int ring, void *address, size_t bytes);
int ring_unregister(int ring);
int hold_node(int node);

/* bind.c: the region comes and goes */
int region_bind(void);
int region_unbind(void);
int region_ensure(void);
int card_remove(void);
int card_rescan(void);

#endif /* VM_GUEST_HARNESS_H */
