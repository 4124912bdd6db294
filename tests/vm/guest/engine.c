// SPDX-License-Identifier: Apache-2.0
/* engine.c - see engine.h. */
#include "engine.h"

#include <dirent.h>
#include <termios.h>

#define DRIVER "/sys/bus/pci/drivers/speckv/"
#define CONTROL "/dev/ttyS2"

const char *engine_address(void)
{
	static char address[32];
	struct dirent *entry;
	DIR *folder = opendir("/sys/bus/pci/devices");

	EXPECT(folder != NULL);
	address[0] = 0;
	while ((entry = readdir(folder))) {
		char path[300], text[16] = "";

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", entry->d_name);
		read_file(path, text, sizeof(text));
		if (!strncmp(text, "0x10f0", 6))
			snprintf(address, sizeof(address), "%.31s", entry->d_name);
	}
	closedir(folder);
	EXPECT(address[0] != 0);
	return address;
}

static void attribute_path(char *path, size_t bytes, const char *name)
{
	snprintf(path, bytes, "/sys/bus/pci/devices/%s/%s", engine_address(), name);
}

int engine_write(const char *attribute, const char *text)
{
	char path[128];

	attribute_path(path, sizeof(path), attribute);
	return write_file(path, text);
}

void engine_state(char *text, size_t bytes)
{
	char path[128];

	attribute_path(path, sizeof(path), "speckv/state");
	memset(text, 0, bytes);
	read_file(path, text, bytes);
	text[strcspn(text, "\n")] = 0;
}

uint64_t engine_counter(const char *name)
{
	char path[128], attribute[64], text[32] = "";

	snprintf(attribute, sizeof(attribute), "speckv/%s", name);
	attribute_path(path, sizeof(path), attribute);
	EXPECT(read_file(path, text, sizeof(text)) > 0);
	return strtoull(text, NULL, 10);
}

/* Guest seconds are long under TCG, so a limit is generous and only ends what hangs. */
bool engine_becomes(const char *state, int seconds)
{
	char text[32];

	for (int i = 0; i < seconds * 100; i++) {
		engine_state(text, sizeof(text));
		if (!strcmp(text, state))
			return true;
		usleep(10000);
	}
	return false;
}

bool engine_counter_becomes(const char *name, uint64_t value, int seconds)
{
	for (int i = 0; i < seconds * 100; i++) {
		if (engine_counter(name) == value)
			return true;
		usleep(10000);
	}
	return false;
}

struct speckv_engine_info engine_attach(int control)
{
	struct speckv_engine_info info = { .flags = SPECKV_ENGINE_ATTACH };

	EXPECT_EQ(ioctl(control, SPECKV_IOC_ENGINE, &info), 0);
	EXPECT_EQ(info.state, SPECKV_ENGINE_LIVE);
	return info;
}

struct speckv_engine_info engine_info(int control)
{
	struct speckv_engine_info info = { 0 };

	EXPECT_EQ(ioctl(control, SPECKV_IOC_ENGINE, &info), 0);
	return info;
}

int command(int control, struct speckv_cmd *cmd)
{
	return ioctl(control, SPECKV_IOC_COMMAND, cmd);
}

struct speckv_cmd copy_of(struct speckv_alloc from, struct speckv_alloc to, uint32_t bytes)
{
	struct speckv_cmd cmd = {
		.opcode = SPECKV_CMD_COPY,
		.source = from.handle,
		.target = to.handle,
		.bytes = bytes,
		.timeout_ms = 60000,
	};

	return cmd;
}

void fill(uint8_t *at, uint32_t bytes, uint32_t seed)
{
	for (uint32_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
}

int engine_unbind(void)
{
	return write_file(DRIVER "unbind", engine_address());
}

int engine_bind(void)
{
	return write_file(DRIVER "bind", engine_address());
}

/* One line, answered by one. */
void engine_fault(const char *line)
{
	struct termios raw;
	char answer[256];
	size_t length = 0;
	int fd = open(CONTROL, O_RDWR | O_NOCTTY | O_CLOEXEC);

	EXPECT(fd >= 0);
	EXPECT_EQ(tcgetattr(fd, &raw), 0);
	cfmakeraw(&raw);
	EXPECT_EQ(tcsetattr(fd, TCSANOW, &raw), 0);
	EXPECT_EQ(write(fd, line, strlen(line)), strlen(line));
	EXPECT_EQ(write(fd, "\n", 1), 1);
	do {
		EXPECT(length < sizeof(answer));
		EXPECT_EQ(read(fd, answer + length, 1), 1);
	} while (answer[length++] != '\n');
	close(fd);
	EXPECT_EQ(strncmp(answer, "ok", 2), 0);
}
