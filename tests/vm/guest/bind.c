// SPDX-License-Identifier: Apache-2.0
/* bind.c - binds and unbinds dax0.0, and plugs the card back in when a test pulled it. */
#include <glob.h>

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

/*
 * Takes the card away as its PCI slot would, but without the slot's five seconds; returns when
 * every driver has let go of it.
 */
int card_remove(void)
{
	char path[512], memdev[256];
	ssize_t length = readlink("/sys/bus/cxl/devices/mem0", memdev, sizeof(memdev) - 1);

	if (length < 0)
		return -errno;
	memdev[length] = 0;
	*strrchr(memdev, '/') = 0; /* .../0000:0d:00.0/mem0 */
	snprintf(path, sizeof(path), "/sys/bus/cxl/devices/%s/remove", memdev);
	return write_file(path, "1");
}

/* The card is back, and nothing is left of the region that it carried. */
int card_rescan(void)
{
	glob_t regions;
	int rc = write_file("/sys/bus/pci/rescan", "1");

	if (rc || !wait_for_path("/sys/bus/cxl/devices/mem0", true, SECONDS))
		return rc ? rc : -ETIMEDOUT;
	if (glob("/sys/bus/cxl/devices/region[0-9]*", 0, NULL, &regions))
		return 0;
	for (size_t i = 0; i < regions.gl_pathc && !rc; i++)
		rc = write_file("/sys/bus/cxl/devices/decoder0.0/delete_region",
				strrchr(regions.gl_pathv[i], '/') + 1);
	globfree(&regions);
	return rc;
}
