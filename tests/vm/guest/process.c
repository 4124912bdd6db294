// SPDX-License-Identifier: Apache-2.0
/* process.c - child processes, gates between them, descriptors on their way, and QEMU. */
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>

#include "harness.h"

pid_t spawn(void (*body)(void *), void *argument)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	EXPECT(child >= 0);
	if (!child) {
		body(argument);
		_exit(0);
	}
	return child;
}

/* Exit status, or 128 + signal. */
int reap(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		printf("# child ended by signal %d\n", WTERMSIG(status));
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

void become(uid_t uid)
{
	EXPECT_EQ(setgroups(0, NULL), 0);
	EXPECT_EQ(setresgid(uid, uid, uid), 0);
	EXPECT_EQ(setresuid(uid, uid, uid), 0);
	/* As after an exec: else /proc and ptrace would refuse for another reason than the tested.
	 */
	EXPECT_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
}

int send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

int receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	EXPECT_EQ(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

void gate_make(struct gate *gate)
{
	EXPECT_EQ(pipe(gate->ends), 0);
}

void gate_open(struct gate *gate)
{
	EXPECT_EQ(write(gate->ends[1], "x", 1), 1);
}

void gate_wait(struct gate *gate)
{
	char byte;

	EXPECT_EQ(read(gate->ends[0], &byte, 1), 1);
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return -errno;
	written = write(fd, text, strlen(text));
	int error = errno;

	close(fd);
	return written == (ssize_t)strlen(text) ? 0 : -error;
}

int read_file(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, bytes - 1);
	close(fd);
	if (length < 0)
		return -errno;
	text[length] = 0;
	return (int)length;
}

bool wait_for_path(const char *path, bool present, int seconds)
{
	for (int tick = 0; tick < seconds * 200; tick++) {
		if ((access(path, F_OK) == 0) == present)
			return true;
		usleep(5000);
	}
	return false;
}

/* One line from QEMU, without its end; false if none comes for `seconds`. */
static bool qmp_line(int port, char *line, size_t room, int seconds)
{
	struct pollfd ready = { .fd = port, .events = POLLIN };
	size_t length = 0;

	while (poll(&ready, 1, seconds * 1000) == 1 && read(port, line + length, 1) == 1) {
		if (line[length] == '\n')
			break;
		if (line[length] != '\r' && length + 1 < room)
			length++;
	}
	line[length] = 0;
	return length > 0;
}

static bool qmp_send(int port, const char *command)
{
	char line[1024];

	tcflush(port, TCIFLUSH);
	dprintf(port, "%s\n", command);
	while (qmp_line(port, line, sizeof(line), 20)) {
		if (strstr(line, "\"return\""))
			return true;
		if (strstr(line, "\"error\"")) {
			printf("# qemu: %s\n", line);
			return false;
		}
	}
	printf("# qemu: no answer to %s\n", command);
	return false;
}

/*
 * Ends QEMU's greeting. Until the port was raw, its echo may have sent QEMU half of its own words,
 * so a byte that is none of JSON makes it forget that; the first tries may be answered by a
 * complaint. A port that somebody used before says that it is done already.
 */
static bool qmp_begin(int port)
{
	char line[1024];

	for (int attempt = 0; attempt < 20; attempt++) {
		dprintf(port, "\377\n{\"execute\":\"qmp_capabilities\"}\n");
		while (qmp_line(port, line, sizeof(line), 1))
			if (strstr(line, "\"return\"") || strstr(line, "already complete"))
				return true;
	}
	return false;
}

/* One command to QEMU, by the guest's second serial port; true if it was carried out. */
bool qmp(const char *command)
{
	static int port = -1;
	struct termios raw;

	if (port < 0) {
		port = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
		EXPECT(port >= 0);
		tcgetattr(port, &raw);
		cfmakeraw(&raw);
		tcsetattr(port, TCSANOW, &raw);
		EXPECT(qmp_begin(port));
	}
	return qmp_send(port, command);
}

/*
 * Another card of the same size (lib/boot.sh) under the same name: QEMU does not let a second
 * device use the memory of one that was pulled. The slot is free only some time after Linux let
 * go of the card, so this asks until it is.
 */
bool card_plug(void)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":\"memory-backend-memfd\","
		 "\"id\":\"card%d\",\"size\":1073741824,\"share\":true}}",
		 getpid());
	if (!qmp(command))
		return false;
	snprintf(command, sizeof(command),
		 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"cxl-type3\","
		 "\"bus\":\"rp0\",\"volatile-memdev\":\"card%d\",\"id\":\"cxl-vmem0\"}}",
		 getpid());
	for (int attempt = 0; attempt < 30; attempt++) {
		if (qmp(command))
			return true;
		sleep(1);
	}
	return false;
}
