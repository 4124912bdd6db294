// SPDX-License-Identifier: Apache-2.0
/* bind.c - binds and unbinds dax0.0, and plugs the card back in when a test pulled it. */
#include "harness.h"

#define DRIVER "/sys/bus/dax/drivers/speckv"
#define SECONDS 60

int region_bind(void)
{
	int rc = write_file(DRIVER "/bind", "dax0.0");

	return rc ? rc : wait_for_path("/dev/speckv0", true, SECONDS) ? 0 : -ETIMEDOUT;
}

int region_unbind(void)
{
	return write_file(DRIVER "/unbind", "dax0.0");
}

/* Whatever the test did: the card is in, the region is there, and speckv has it. */
int region_ensure(void)
{
	if (!access("/dev/speckv0", F_OK))
		return 0;
	if (!access("/sys/bus/dax/devices/dax0.0", F_OK))
		return region_bind();
	if (!system("sh /t/region-up >/tmp/region-up 2>&1"))
		return 0;
	(void)!system("sed 's/^/# /' /tmp/region-up");
	return -1;
}
