// SPDX-License-Identifier: Apache-2.0
/* device.c - the calls of /dev/speckv0 as tests use them: what is not under test must succeed. */
#include <setjmp.h>

#include "harness.h"

uint64_t device_bytes;

int control_open(void)
{
	struct speckv_info info = { 0 };
	int fd = open("/dev/speckv0", O_RDWR | O_CLOEXEC);

	EXPECT(fd >= 0);
	EXPECT_EQ(ioctl(fd, SPECKV_IOC_INFO, &info), 0);
	device_bytes = info.device_bytes;
	return fd;
}

struct speckv_alloc alloc_extent(int control, uint64_t bytes)
{
	struct speckv_alloc alloc = { .bytes = bytes, .timeout_ms = 60000 };

	EXPECT_EQ(ioctl(control, SPECKV_IOC_ALLOC, &alloc), 0);
	EXPECT(alloc.handle && alloc.offset % GRANULE == 0);
	return alloc;
}

void free_extent(int control, uint64_t handle)
{
	struct speckv_free request = { .handle = handle };

	EXPECT_EQ(ioctl(control, SPECKV_IOC_FREE, &request), 0);
}

int export_new(int control, uint32_t flags, const void *handles, uint32_t count)
{
	struct speckv_export request = {
		.flags = SPECKV_EXPORT_NEW | flags,
		.fd = -1,
		.handles = count ? (uintptr_t)handles : 0,
		.count = count,
	};

	EXPECT_EQ(ioctl(control, SPECKV_IOC_EXPORT, &request), 0);
	EXPECT(request.fd >= 0);
	return request.fd;
}

int export_change(int control, int export, uint32_t verb, uint64_t handle)
{
	struct speckv_export request = {
		.flags = verb,
		.fd = export,
		.handles = (uintptr_t)&handle,
		.count = 1,
	};

	return ioctl(control, SPECKV_IOC_EXPORT, &request);
}

uint8_t *map_all(int fd, int protection)
{
	void *map = mmap(NULL, device_bytes, protection, MAP_SHARED, fd, 0);

	EXPECT(map != MAP_FAILED);
	return map;
}

struct speckv_stat stat_of(int control, int fd)
{
	struct speckv_stat stat = { .fd = fd };

	EXPECT_EQ(ioctl(control, SPECKV_IOC_STAT, &stat), 0);
	return stat;
}

/* Ends by the test's own limit if it never comes. */
void wait_until_clean(int control)
{
	for (;;) {
		struct speckv_stat stat = stat_of(control, -1);

		if (!stat.dirty_bytes && !stat.quarantined_bytes && !stat.used_bytes)
			return;
		usleep(2000);
	}
}

static sigjmp_buf bus_return;
static volatile sig_atomic_t bus_seen;

static void on_bus(int signal, siginfo_t *info, void *context)
{
	(void)context;
	bus_seen = signal == SIGBUS ? SEEN_BUS(info->si_code) : SEEN_SEGV(info->si_code);
	siglongjmp(bus_return, 1);
}

static void catch_bus(void)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

int peek(const volatile uint8_t *at)
{
	catch_bus();
	if (sigsetjmp(bus_return, 1))
		return bus_seen;
	return *at;
}

int poke(volatile uint8_t *at, uint8_t value)
{
	catch_bus();
	if (sigsetjmp(bus_return, 1))
		return bus_seen;
	*at = value;
	return 0;
}
