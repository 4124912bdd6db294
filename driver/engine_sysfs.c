// SPDX-License-Identifier: GPL-2.0
/*
 * engine_sysfs.c - what one sees of an engine in its PCI device's folder. Each attribute has its
 * entry in Documentation/ABI/testing/sysfs-driver-speckv. Called by the driver core.
 */
#include <linux/sysfs.h>

#include "engine.h"

static const char *const state_names[] = {
	[SPECKV_ENGINE_NEW] = "new",
	[SPECKV_ENGINE_LIVE] = "live",
	[SPECKV_ENGINE_RESETTING] = "resetting",
	[SPECKV_ENGINE_DEAD] = "dead",
};

static struct speckv_engine *engine_of(struct device *dev)
{
	return pci_get_drvdata(to_pci_dev(dev));
}

static ssize_t engine_number_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return sysfs_emit(buffer, "%d\n", engine_of(dev)->number);
}
static DEVICE_ATTR_RO(engine_number);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buffer)
{
	return sysfs_emit(buffer, "%s\n", state_names[READ_ONCE(engine_of(dev)->state)]);
}
static DEVICE_ATTR_RO(state);

/* One number, read under the lock. */
/* clang-format off */
#define ENGINE_NUMBER(name, value)						\
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, \
				   char *buffer)				\
	{									\
		struct speckv_engine *engine = engine_of(dev);			\
		u64 number;							\
										\
		spin_lock(&engine->lock);					\
		number = value;							\
		spin_unlock(&engine->lock);					\
		return sysfs_emit(buffer, "%llu\n", number);			\
	}									\
	static DEVICE_ATTR_RO(name)
/* clang-format on */

static u64 interrupts_of(const struct speckv_engine *engine)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < SPECKV_QUEUES; i++)
		sum += engine->queues[i].interrupts;
	return sum;
}

static u64 lends_of(const struct speckv_engine *engine, bool only_busy)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < SPECKV_LENDS; i++) {
		const struct speckv_lend *lend = &engine->lends[i];

		sum += lend->state > SPECKV_LEND_RINGS && (!only_busy || lend->busy);
	}
	return sum;
}

ENGINE_NUMBER(commands, engine->counters.commands);
ENGINE_NUMBER(command_errors, engine->counters.errors);
ENGINE_NUMBER(refused, engine->counters.refused);
ENGINE_NUMBER(timeouts, engine->counters.timeouts);
ENGINE_NUMBER(missed_interrupts, engine->counters.missed);
ENGINE_NUMBER(lies, engine->counters.lies);
ENGINE_NUMBER(resets, engine->counters.resets);
ENGINE_NUMBER(flushed_bytes, atomic64_read(&engine->counters.flushed));
ENGINE_NUMBER(interrupts, interrupts_of(engine));
ENGINE_NUMBER(in_flight, engine->in_flight);
ENGINE_NUMBER(lends, lends_of(engine, false));
ENGINE_NUMBER(lends_busy, lends_of(engine, true));

/* clang-format off */
static struct attribute *speckv_engine_attrs[] = {
	&dev_attr_engine_number.attr,
	&dev_attr_state.attr,
	&dev_attr_commands.attr,
	&dev_attr_command_errors.attr,
	&dev_attr_refused.attr,
	&dev_attr_timeouts.attr,
	&dev_attr_missed_interrupts.attr,
	&dev_attr_lies.attr,
	&dev_attr_resets.attr,
	&dev_attr_flushed_bytes.attr,
	&dev_attr_interrupts.attr,
	&dev_attr_in_flight.attr,
	&dev_attr_lends.attr,
	&dev_attr_lends_busy.attr,
	NULL,
};

/* clang-format on */

/* "speckv": names of ours do not meet the PCI core's. */
static const struct attribute_group speckv_engine_group = {
	.name = "speckv",
	.attrs = speckv_engine_attrs,
};

const struct attribute_group *speckv_engine_groups[] = {
	&speckv_engine_group,
	NULL,
};
