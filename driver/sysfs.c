// SPDX-License-Identifier: GPL-2.0
/*
 * sysfs.c - /sys/class/speckv/speckvN/. Each attribute has its entry in
 * Documentation/ABI/testing/sysfs-class-speckv. Called by the driver core; takes region->lock.
 */
#include <linux/sysfs.h>

#include "speckv.h"

static u64 granules_in(struct speckv_region *region, enum speckv_granule_state state)
{
	return region->space.counts[state];
}

static u64 count_dirty(struct speckv_region *region)
{
	return granules_in(region, SPECKV_GRANULE_DIRTY) +
	       granules_in(region, SPECKV_GRANULE_CLEANING) - region->space.pinned;
}

static ssize_t show_granules(struct device *dev, char *buffer,
			     u64 (*count)(struct speckv_region *region))
{
	struct speckv_region *region = to_speckv_region(dev);
	u64 granules;

	mutex_lock(&region->lock);
	granules = count(region);
	mutex_unlock(&region->lock);
	return sysfs_emit(buffer, "%llu\n", granules << SPECKV_GRANULE_SHIFT);
}

static u64 count_all(struct speckv_region *region)
{
	return region->space.granules;
}

static u64 count_free(struct speckv_region *region)
{
	return granules_in(region, SPECKV_GRANULE_FREE);
}

static u64 count_used(struct speckv_region *region)
{
	return granules_in(region, SPECKV_GRANULE_USED);
}

static u64 count_quarantined(struct speckv_region *region)
{
	return region->space.pinned;
}

static u64 count_poisoned(struct speckv_region *region)
{
	return region->space.poisoned;
}

static u64 count_longest(struct speckv_region *region)
{
	return speckv_space_longest(&region->space);
}

static ssize_t size_bytes_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return show_granules(dev, buffer, count_all);
}
static DEVICE_ATTR_RO(size_bytes);

static ssize_t free_bytes_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return show_granules(dev, buffer, count_free);
}
static DEVICE_ATTR_RO(free_bytes);

static ssize_t used_bytes_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return show_granules(dev, buffer, count_used);
}
static DEVICE_ATTR_RO(used_bytes);

static ssize_t dirty_bytes_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return show_granules(dev, buffer, count_dirty);
}
static DEVICE_ATTR_RO(dirty_bytes);

static ssize_t quarantined_bytes_show(struct device *dev, struct device_attribute *attr,
				      char *buffer)
{
	return show_granules(dev, buffer, count_quarantined);
}
static DEVICE_ATTR_RO(quarantined_bytes);

static ssize_t poisoned_bytes_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return show_granules(dev, buffer, count_poisoned);
}
static DEVICE_ATTR_RO(poisoned_bytes);

static ssize_t longest_bytes_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return show_granules(dev, buffer, count_longest);
}
static DEVICE_ATTR_RO(longest_bytes);

static u32 pinned_granules(const struct speckv_region *region, const struct speckv_extent *extent)
{
	u32 i, pinned = 0;

	for (i = 0; i < extent->count; i++)
		pinned += region->space.table[extent->first + i].pinned &&
			  region->extent_of[extent->first + i] == extent;
	return pinned;
}

/* As many as have room: one line each, of who is charged. */
static ssize_t pinned_by_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	struct speckv_region *region = to_speckv_region(dev);
	struct speckv_extent *extent;
	int length = 0;

	mutex_lock(&region->lock);
	list_for_each_entry(extent, &region->retired, in_retired) {
		u64 bytes = (u64)pinned_granules(region, extent) << SPECKV_GRANULE_SHIFT;

		if (!bytes || length > PAGE_SIZE - 128)
			continue;
		length += sysfs_emit_at(buffer, length, "uid=%u pid=%d bytes=%llu offset=%llu\n",
					from_kuid_munged(&init_user_ns, extent->charge->uid),
					extent->charge->pid, bytes,
					(u64)extent->first << SPECKV_GRANULE_SHIFT);
	}
	mutex_unlock(&region->lock);
	return length;
}
static DEVICE_ATTR_ADMIN_RO(pinned_by);

static ssize_t dax_device_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return sysfs_emit(buffer, "%s\n", to_speckv_region(dev)->dax_name);
}
static DEVICE_ATTR_RO(dax_device);

static ssize_t numa_node_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return sysfs_emit(buffer, "%d\n", to_speckv_region(dev)->numa_node);
}
static DEVICE_ATTR_RO(numa_node);

static ssize_t abi_version_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return sysfs_emit(buffer, "%u\n", SPECKV_ABI_VERSION);
}
static DEVICE_ATTR_RO(abi_version);

static ssize_t file_limit_bytes_show(struct device *dev, struct device_attribute *attr,
				     char *buffer)
{
	return sysfs_emit(buffer, "%llu\n", READ_ONCE(to_speckv_region(dev)->file_limit_bytes));
}

static ssize_t file_limit_bytes_store(struct device *dev, struct device_attribute *attr,
				      const char *buffer, size_t count)
{
	struct speckv_region *region = to_speckv_region(dev);
	u64 limit;
	int rc = kstrtou64(buffer, 0, &limit);

	if (rc)
		return rc;
	if (limit > region->bytes || limit % SPECKV_GRANULE_BYTES)
		return -EINVAL;
	mutex_lock(&region->lock);
	region->file_limit_bytes = limit;
	mutex_unlock(&region->lock);
	return count;
}
static DEVICE_ATTR_RW(file_limit_bytes);

static ssize_t file_exports_max_show(struct device *dev, struct device_attribute *attr,
				     char *buffer)
{
	return sysfs_emit(buffer, "%u\n", READ_ONCE(to_speckv_region(dev)->file_exports_max));
}

static ssize_t file_exports_max_store(struct device *dev, struct device_attribute *attr,
				      const char *buffer, size_t count)
{
	struct speckv_region *region = to_speckv_region(dev);
	u32 exports_max;
	int rc = kstrtou32(buffer, 0, &exports_max);

	if (rc)
		return rc;
	mutex_lock(&region->lock);
	region->file_exports_max = exports_max;
	mutex_unlock(&region->lock);
	return count;
}
static DEVICE_ATTR_RW(file_exports_max);

/* clang-format off */
static struct attribute *speckv_attrs[] = {
	&dev_attr_size_bytes.attr,
	&dev_attr_free_bytes.attr,
	&dev_attr_used_bytes.attr,
	&dev_attr_dirty_bytes.attr,
	&dev_attr_quarantined_bytes.attr,
	&dev_attr_poisoned_bytes.attr,
	&dev_attr_longest_bytes.attr,
	&dev_attr_pinned_by.attr,
	&dev_attr_dax_device.attr,
	&dev_attr_numa_node.attr,
	&dev_attr_abi_version.attr,
	&dev_attr_file_limit_bytes.attr,
	&dev_attr_file_exports_max.attr,
	NULL,
};

/* clang-format on */

static const struct attribute_group speckv_group = {
	.attrs = speckv_attrs,
};

const struct attribute_group *speckv_groups[] = {
	&speckv_group,
	NULL,
};
