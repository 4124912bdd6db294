// SPDX-License-Identifier: Apache-2.0
/* process.c - child processes, gates between them, descriptors on their way, and QEMU. */
#include <grp.h>
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
	if (WIFSIGNALED(status)) {
		printf("# child ended by signal %d\n", WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

void become(uid_t uid)
{
	EXPECT_EQ(setgroups(0, NULL), 0);
	EXPECT_EQ(setresgid(uid, uid, uid), 0);
	EXPECT_EQ(setresuid(uid, uid, uid), 0);
}

int send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
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
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
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

/* One command to QEMU, by the guest's second serial port. 0xFF ends whatever was half read. */
void qmp(const char *command)
{
	static int port = -1;
	struct termios raw;

	if (port < 0) {
		port = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
		EXPECT(port >= 0);
		tcgetattr(port, &raw);
		cfmakeraw(&raw);
		tcsetattr(port, TCSANOW, &raw);
		dprintf(port, "\377\n{\"execute\":\"qmp_capabilities\"}\n");
		tcdrain(port);
	}
	dprintf(port, "%s\n", command);
	tcdrain(port);
}
