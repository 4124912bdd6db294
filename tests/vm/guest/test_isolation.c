// SPDX-License-Identifier: Apache-2.0
/*
 * test_isolation.c - what a client of another uid can do with a read-only export, by every road
 * that goes round the mapping's own protection. The victim's bytes must not change, and nothing
 * but its own extents must be read.
 */
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "harness.h"

/* What every test begins with: an extent full of 0x51, read-only for a client. */
struct stage {
	int control, reader;
	struct speckv_alloc extent;
	uint8_t *mine;	 /* the owner's view */
	uint8_t *theirs; /* the client's view, mapped before the uid changed */
};

static struct stage set_stage(void)
{
	struct stage stage = { .control = control_open() };

	stage.extent = alloc_extent(stage.control, GRANULE);
	stage.mine = map_all(stage.control, PROT_READ | PROT_WRITE);
	memset(stage.mine + stage.extent.offset, 0x51, GRANULE);
	stage.reader = export_new(stage.control, 0, &stage.extent.handle, 1);
	stage.theirs = map_all(stage.reader, PROT_READ);
	return stage;
}

/* The client's process has nothing of the owner's but the export. */
static void play_client(struct stage *stage)
{
	munmap(stage->mine, device_bytes);
	close(stage->control);
	become(UID_ONE);
}

static void run_client(struct stage *stage, void (*body)(void *))
{
	EXPECT_EQ(reap(spawn(body, stage)), 0);
	for (uint64_t at = 0; at < GRANULE; at += 512)
		EXPECT_EQ(stage->mine[stage->extent.offset + at], 0x51);
}

static void open_node(void *unused)
{
	(void)unused;
	become(UID_ONE);
	EXPECT_ERRNO(open("/dev/speckv0", O_RDWR), EACCES);
	EXPECT_ERRNO(open("/dev/speckv0", O_RDONLY), EACCES);
}

TEST(isolation, the_node_is_the_daemons)
{
	struct stat node;

	EXPECT_EQ(stat("/dev/speckv0", &node), 0);
	EXPECT_EQ(node.st_mode, S_IFCHR | 0600);
	EXPECT_EQ(reap(spawn(open_node, NULL)), 0);
}

static void reopen(void *argument)
{
	struct stage *stage = argument;
	char path[64];

	play_client(stage);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", stage->reader);
	EXPECT_ERRNO(open(path, O_RDWR), EACCES);
	EXPECT_ERRNO(open(path, O_RDONLY), EACCES);
	EXPECT_ERRNO(fchmod(stage->reader, 0666), EPERM);
	EXPECT_ERRNO(ftruncate(stage->reader, 0), EINVAL);
	fcntl(stage->reader, F_SETFL, O_RDWR);
	EXPECT_EQ(fcntl(stage->reader, F_GETFL) & O_ACCMODE, O_RDONLY);
	EXPECT_ERRNO(mmap(NULL, GRANULE, PROT_WRITE, MAP_SHARED, stage->reader, 0), EACCES);
}

TEST(isolation, an_export_cannot_be_opened_anew)
{
	struct stage stage = set_stage();

	run_client(&stage, reopen);
}

TEST(isolation, root_reopening_an_export_gets_an_empty_control_file)
{
	struct stage stage = set_stage();
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", stage.reader);
	fd = open(path, O_RDWR);
	EXPECT(fd >= 0);
	EXPECT_EQ(stat_of(fd, -1).extents, 0);
	EXPECT_EQ(peek(map_all(fd, PROT_READ) + stage.extent.offset), SEEN_BUS(BUS_ADRERR));
}

static void calls(void *argument)
{
	struct stage *stage = argument;
	struct speckv_free request = { .handle = stage->extent.handle };
	struct speckv_export more = { .flags = SPECKV_EXPORT_NEW | SPECKV_EXPORT_WRITE, .fd = -1 };

	play_client(stage);
	EXPECT_ERRNO(ioctl(stage->reader, SPECKV_IOC_FREE, &request), EACCES);
	EXPECT_ERRNO(ioctl(stage->reader, SPECKV_IOC_EXPORT, &more), EACCES);
	EXPECT(madvise(stage->theirs + stage->extent.offset, 4096, MADV_HWPOISON) != 0);
}

TEST(isolation, a_client_has_no_calls)
{
	struct stage stage = set_stage();

	run_client(&stage, calls);
}

static void vm_write(void *argument)
{
	struct stage *stage = argument;
	uint8_t evil[64] = { 0xff };
	struct iovec from = { evil, sizeof(evil) };
	struct iovec to = { stage->theirs + stage->extent.offset, sizeof(evil) };

	play_client(stage);
	EXPECT_ERRNO(process_vm_writev(getpid(), &from, 1, &to, 1, 0), EFAULT);
	EXPECT_EQ(process_vm_readv(getpid(), &from, 1, &to, 1, 0), sizeof(evil));
	EXPECT_EQ(evil[0], 0x51);
}

TEST(isolation, process_vm_writev_into_a_read_only_export)
{
	struct stage stage = set_stage();

	run_client(&stage, vm_write);
}

static void mem_write(void *argument)
{
	struct stage *stage = argument;
	uint8_t evil[64] = { 0xff };
	int mem = open("/proc/self/mem", O_RDWR);

	EXPECT(mem >= 0);
	play_client(stage);
	off_t at = (off_t)(uintptr_t)(stage->theirs + stage->extent.offset);

	EXPECT(pwrite(mem, evil, sizeof(evil), at) <= 0);
	EXPECT_EQ(pread(mem, evil, sizeof(evil), at), sizeof(evil));
	EXPECT_EQ(evil[0], 0x51);
}

TEST(isolation, proc_pid_mem_into_a_read_only_export)
{
	struct stage stage = set_stage();

	run_client(&stage, mem_write);
}

static void traced(void *argument)
{
	(void)argument;
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
}

static void trace(void *argument)
{
	struct stage *stage = argument;
	uint8_t *at = stage->theirs + stage->extent.offset;
	int status;
	pid_t child;

	play_client(stage);
	child = spawn(traced, NULL);
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT(WIFSTOPPED(status));
	errno = 0;
	EXPECT_EQ(ptrace(PTRACE_PEEKDATA, child, at, 0), 0x5151515151515151);
	EXPECT_ERRNO(ptrace(PTRACE_POKEDATA, child, at, 0xffff), EIO);
	ptrace(PTRACE_CONT, child, 0, 0);
	EXPECT_EQ(reap(child), 0);
}

TEST(isolation, ptrace_into_a_read_only_export)
{
	struct stage stage = set_stage();

	run_client(&stage, trace);
}

static void kernel_writes(void *argument)
{
	struct stage *stage = argument;
	uint8_t *at = stage->theirs + stage->extent.offset;
	int zero = open("/dev/zero", O_RDONLY), pair[2];

	play_client(stage);
	EXPECT_ERRNO(read(zero, at, 4096), EFAULT);
	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	EXPECT_EQ(write(pair[0], "x", 1), 1);
	EXPECT_ERRNO(recv(pair[1], at, 1, 0), EFAULT);
	EXPECT_ERRNO(ring_register(ring_make(), at, 4096), EFAULT);
}

TEST(isolation, the_kernel_does_not_write_for_a_reader)
{
	struct stage stage = set_stage();

	run_client(&stage, kernel_writes);
}

static void splice_gift(void *argument)
{
	struct stage *stage = argument;
	struct iovec page = { stage->theirs + stage->extent.offset, 4096 };
	uint8_t seen[4096];
	int ends[2], file;

	play_client(stage);
	EXPECT_EQ(pipe(ends), 0);
	EXPECT_EQ(vmsplice(ends[1], &page, 1, SPLICE_F_GIFT), 4096);
	file = memfd_create("stolen", 0);
	EXPECT(file >= 0);
	EXPECT_EQ(splice(ends[0], NULL, file, NULL, 4096, SPLICE_F_MOVE), 4096);
	EXPECT_EQ(pread(file, seen, 4096, 0), 4096);
	EXPECT_EQ(seen[4095], 0x51);
	memset(seen, 0xff, sizeof(seen));
	EXPECT_EQ(pwrite(file, seen, 4096, 0), 4096);
	EXPECT_EQ(*(uint8_t *)page.iov_base, 0x51);
}

TEST(isolation, vmsplice_gives_no_page_away)
{
	struct stage stage = set_stage();

	run_client(&stage, splice_gift);
}

struct two_clients {
	int reader[2];
	uint64_t offset[2];
};

static void look_at_the_other(void *argument)
{
	struct two_clients *clients = argument;
	uint8_t *map;

	become(UID_TWO);
	map = map_all(clients->reader[1], PROT_READ);
	EXPECT_EQ(peek(map + clients->offset[1]), 0x82);
	for (uint64_t at = 0; at < device_bytes; at += GRANULE / 2) {
		int seen = peek(map + at);

		EXPECT(seen == 0 || at / GRANULE == clients->offset[1] / GRANULE);
	}
}

TEST(isolation, one_client_sees_nothing_of_another)
{
	struct two_clients clients;
	int control = control_open();
	uint8_t *mine = map_all(control, PROT_READ | PROT_WRITE);

	for (int i = 0; i < 2; i++) {
		struct speckv_alloc extent = alloc_extent(control, GRANULE);

		memset(mine + extent.offset, 0x81 + i, GRANULE);
		clients.offset[i] = extent.offset;
		clients.reader[i] = export_new(control, 0, &extent.handle, 1);
	}
	EXPECT_EQ(reap(spawn(look_at_the_other, &clients)), 0);
}

static void wait_for_ever(void *argument)
{
	become(UID_ONE);
	gate_open(argument);
	pause();
}

struct reach {
	pid_t victim;
	uint8_t *at;
};

static void reach_over(void *argument)
{
	struct reach *reach = argument;
	uint8_t byte;
	struct iovec here = { &byte, 1 }, there = { reach->at, 1 };
	char path[64];

	become(UID_TWO);
	EXPECT_ERRNO(process_vm_readv(reach->victim, &here, 1, &there, 1, 0), EPERM);
	EXPECT_ERRNO(ptrace(PTRACE_ATTACH, reach->victim, 0, 0), EPERM);
	snprintf(path, sizeof(path), "/proc/%d/mem", reach->victim);
	EXPECT_ERRNO(open(path, O_RDONLY), EACCES);
}

TEST(isolation, another_uid_cannot_reach_through_a_client)
{
	struct stage stage = set_stage();
	struct gate ready;
	struct reach reach = { .at = stage.theirs + stage.extent.offset };

	gate_make(&ready);
	reach.victim = spawn(wait_for_ever, &ready);
	gate_wait(&ready);
	EXPECT_EQ(reap(spawn(reach_over, &reach)), 0);
	kill(reach.victim, SIGKILL);
	waitpid(reach.victim, NULL, 0);
}

static void child_of_client(void *argument)
{
	struct stage *stage = argument;

	EXPECT_EQ(peek(stage->theirs + stage->extent.offset), 0x51);
	EXPECT_EQ(poke(stage->theirs + stage->extent.offset, 1), SEEN_SEGV(SEGV_ACCERR));
}

static void fork_client(void *argument)
{
	play_client(argument);
	EXPECT_EQ(reap(spawn(child_of_client, argument)), 0);
}

TEST(isolation, a_forked_child_may_no_more_than_its_parent)
{
	struct stage stage = set_stage();

	run_client(&stage, fork_client);
}

static void exec_client(void *argument)
{
	struct stage *stage = argument;
	char path[64];

	snprintf(path, sizeof(path),
		 "test ! -e /proc/self/fd/%d && ! grep -q speckv /proc/self/maps", stage->reader);
	play_client(stage);
	execl("/bin/sh", "sh", "-c", path, NULL);
	_exit(9);
}

TEST(isolation, exec_leaves_nothing_behind)
{
	struct stage stage = set_stage();

	run_client(&stage, exec_client);
}
