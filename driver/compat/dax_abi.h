/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dax_abi.h - the kernel's private DAX bus structures, as far as speckv touches them.
 *
 * The kernel has no public header for them, so this is a statement about kernels that somebody
 * looked at, guarded three times: check-dax-abi compares it with the BTF of the kernel that the
 * module is built for and refuses to build, the asserts below pin our own copy, and dax.c refuses
 * to bind unless what it reads through it makes sense. Only dax.c includes it.
 *
 *	kernel		struct dev_dax
 *	6.12 .. 6.x	region, dax_dev, align, target_node, ...
 *	7.2 ..		region, dax_dev, cached_size, align, ...
 *
 * To teach it a kernel: run check-dax-abi --print KERNEL, compare, extend the range, run the VM
 * suite.
 */
#ifndef SPECKV_DAX_ABI_H
#define SPECKV_DAX_ABI_H

#include <linux/device.h>
#include <linux/idr.h>
#include <linux/range.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#error "speckv needs Linux 6.12 or later: earlier kernels make no DAX device of a CXL region"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#error "speckv: the DAX layout of this kernel is not known; see compat/dax_abi.h"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(7, 4, 0)
#error "speckv: the DAX layout of this kernel is not known yet; see compat/dax_abi.h"
#endif

#define SPECKV_DAX_HAS_CACHED_SIZE (LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0))

struct dax_device;
struct dax_region;
struct dax_mapping;

struct dev_dax_range {
	unsigned long pgoff;
	struct range range;
	struct dax_mapping *mapping;
};

struct dev_dax {
	struct dax_region *region;
	struct dax_device *dax_dev;
#if SPECKV_DAX_HAS_CACHED_SIZE
	u64 cached_size;
#endif
	unsigned int align;
	int target_node;
	bool dyn_id;
	int id;
	struct ida ida;
	struct device dev;
	struct dev_pagemap *pgmap;
	bool memmap_on_memory;
	int nr_range;
	struct dev_dax_range *ranges;
};

/* Neither KMEM, DEVICE nor FSDEV: matches nothing by itself, so that only `new_id` binds. */
#define SPECKV_DAXDRV_TYPE 0x53

struct dax_device_driver {
	struct device_driver drv;
	struct list_head ids;
	unsigned int type;
	int (*probe)(struct dev_dax *dev);
	void (*remove)(struct dev_dax *dev);
};

static_assert(offsetof(struct dev_dax, dax_dev) == 8);
static_assert(offsetof(struct dev_dax, align) == (SPECKV_DAX_HAS_CACHED_SIZE ? 24 : 16));
static_assert(offsetof(struct dev_dax, ida) == (SPECKV_DAX_HAS_CACHED_SIZE ? 40 : 32));
/* An ida has a spinlock, which lockdep makes larger. */
static_assert(offsetof(struct dev_dax, dev) == offsetof(struct dev_dax, ida) + sizeof(struct ida));
static_assert(offsetof(struct dev_dax, ranges) == offsetof(struct dev_dax, nr_range) + 4);
static_assert(sizeof(struct dev_dax_range) == 32);
static_assert(offsetof(struct dax_device_driver, ids) == sizeof(struct device_driver));

int __dax_driver_register(struct dax_device_driver *driver, struct module *module,
			  const char *module_name);
void dax_driver_unregister(struct dax_device_driver *driver);
void kill_dev_dax(struct dev_dax *dev_dax);
void run_dax(struct dax_device *dax_dev);
bool static_dev_dax(struct dev_dax *dev_dax);
struct inode *dax_inode(struct dax_device *dax_dev);

#endif /* SPECKV_DAX_ABI_H */
