/* SPDX-License-Identifier: GPL-2.0 */
/*
 * speckv.h - the driver's objects, their locking, and what its files offer each other.
 *
 * Objects. A region (struct speckv_region) is one DAX device that is bound, or was while somebody
 * still has a file of it open. A file (struct speckv_file) is an open of /dev/speckvN ("control")
 * or an export that a control file made. An extent is a run of granules. A hold says that a file
 * holds an extent; an extent without a hold is retired: its granules wait to be zeroed. An account
 * outlives its file, so that pinned memory stays charged to somebody with a name: the export that
 * held the extent last, or its owner.
 *
 * Locking, outermost first:
 *
 *	mmap_lock		the core's; held when a fault or mmap comes in
 *	speckv_region.lock	mutex: everything below that is not said to be otherwise. Never
 *				held over a copy from or to user space (that takes mmap_lock), nor
 *				over a walk of other processes' mappings: how many there are is up
 *				to them.
 *	speckv_region.map_lock	rwlock: a fault holds it shared from the look at file->holds,
 *				poison and `dead` until its entry is in the page table. Nobody
 *				sleeps under it, so no process can keep it: not one that waits for
 *				memory, nor one that the scheduler has stopped.
 *	i_mmap_rwsem, ptl	the core's, inside unmap_mapping_range()
 *
 * To take something away: change holds, poison or `dead` under lock; speckv_region_settle(), an
 * empty turn of map_lock for writing, after which every fault that saw the old state has its
 * entry in the page table and every later one sees the new; let go of lock; and
 * speckv_region_unmap(), which so finds all there is. Only then may memory go to the cleaner
 * (struct speckv_leaving). A fault takes map_lock without lock; nobody takes lock under map_lock.
 *
 * Nothing in a fault allocates: all our entries are of 2 MiB, memory and zeros alike, and those
 * need no page table below the one that the core made before it asked us.
 *
 * Removal: speckv_region_kill() sets `dead`, after which no file reaches the memory again; the
 * region's struct lives until the last file is closed, and so does its device number: an inode
 * that knows the number still leads to the old region as long as that is open somewhere.
 */
#ifndef SPECKV_DRIVER_H
#define SPECKV_DRIVER_H

#include <linux/cdev.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <uapi/linux/speckv.h>

#include "space.h"

#define SPECKV_GRANULE_SHIFT 21
#define SPECKV_GRANULE_PAGES (SPECKV_GRANULE_BYTES >> PAGE_SHIFT)
#define SPECKV_RANGES_MAX 64 /* pieces of one DAX device; CXL makes one */
#define SPECKV_MINORS 256
#define SPECKV_EXPORTS_MAX 4096 /* default of file_exports_max */

static_assert(PMD_SHIFT == SPECKV_GRANULE_SHIFT, "a granule must be what one PMD maps");

/**
 * struct speckv_account - what is charged to the opener of a file; outlives the file
 * @ref: files and extents that point here
 * @pid: of the opener, or for an export of the last one who mapped it
 * @uid: likewise
 * @comm: likewise
 * @held_bytes: extents allocated through the file and not yet retired
 * @pinned_bytes: retired granules that are still pinned
 * @limit_bytes: most that both may come to (control files)
 * @exports: exports made that are still open (control files)
 */
struct speckv_account {
	struct kref ref;
	pid_t pid;
	kuid_t uid;
	char comm[TASK_COMM_LEN];
	u64 held_bytes;
	u64 pinned_bytes;
	u64 limit_bytes;
	u32 exports;
};

/**
 * struct speckv_extent - a run of granules that somebody holds, or that is being cleaned
 * @handle: its name; the low half is @first, the high half a generation
 * @cookie: the owner's, from ALLOC
 * @first: first granule
 * @count: granules
 * @left: granules not yet clean again (after retiring), and @lent
 * @retired: nobody holds it any more
 * @owner: account of the control file that allocated it
 * @lent: windows of it that an engine may still reach (engine.h)
 * @charge: account that pins are charged to once it is retired
 * @holds: struct speckv_hold.in_extent
 * @in_retired: entry in speckv_region.retired
 */
struct speckv_extent {
	u64 handle;
	u64 cookie;
	u32 first;
	u32 count;
	u32 left;
	u32 lent;
	bool retired;
	struct speckv_account *owner;
	struct speckv_account *charge;
	struct list_head holds;
	struct list_head in_retired;
};

/**
 * struct speckv_leaving - granules that a file lost under the lock, and that mappings still show
 * @first: first granule
 * @count: granules; 0: none
 * @last: the extent, if nobody holds it any more: it is then the caller's to retire, after the
 *	granules have left the mappings
 */
struct speckv_leaving {
	u32 first;
	u32 count;
	struct speckv_extent *last;
};

/**
 * struct speckv_hold - one file holds one extent
 * @extent: which
 * @file: who
 * @in_extent: entry in speckv_extent.holds
 */
struct speckv_hold {
	struct speckv_extent *extent;
	struct speckv_file *file;
	struct list_head in_extent;
};

/**
 * struct speckv_file - private_data of every file of ours
 * @region: a reference
 * @role: enum speckv_role; fixed before anybody else sees the file
 * @holds: struct speckv_hold by granule
 * @extents: number of holds
 * @held_bytes: bytes of the extents held
 * @account: a reference
 * @maker: export: account of the control file that made it (a reference); else NULL
 * @engine: that runs its commands (a reference), or NULL; written under region->lock
 * @in_region: entry in speckv_region.files
 * @faults_huge: see struct speckv_stat
 * @faults_zero: likewise
 */
struct speckv_file {
	struct speckv_region *region;
	enum speckv_role role;
	struct xarray holds;
	u64 extents;
	u64 held_bytes;
	struct speckv_account *account;
	struct speckv_account *maker;
	struct speckv_engine __rcu *engine;
	struct list_head in_region;
	atomic64_t faults_huge;
	atomic64_t faults_zero;
};

/**
 * struct speckv_region - one DAX device
 * @dev: class device; its release frees this
 * @cdev: /dev/speckvN
 * @id: N; ours until removal
 * @minor: of the device number; ours until the last file is closed
 * @is_shown: class device and node are there
 * @lock: see above
 * @map_lock: see above
 * @dead: no access to the memory any more; written under @lock
 * @dax_name: of the DAX device, for people
 * @inode: of the DAX device (a reference); all our mappings are in its address space
 * @saved_aops: what inode->i_mapping->a_ops was
 * @pgmap: page map of the memory
 * @nr_range: pieces
 * @ranges: physical pieces, in the order of region offsets
 * @bytes: length
 * @numa_node: nearest node
 * @space: granule states
 * @extent_of: extent of each granule that is USED, or retired and not yet clean
 * @generation: of the next handle
 * @files: struct speckv_file.in_region
 * @extents: not retired
 * @lent: sum of speckv_extent.lent
 * @retired: struct speckv_extent.in_retired
 * @cleaner: zeroes what is dirty
 * @clean_wait: ALLOC waits here
 * @clean_seq: counts up with each granule that became free
 * @clean_delay: until the next look at what is pinned
 * @file_limit_bytes: limit that a new control file gets
 * @file_exports_max: open exports per control file
 * @debug: debugfs folder
 */
struct speckv_region {
	struct device dev;
	struct cdev cdev;
	int id;
	int minor;
	bool is_shown;
	struct mutex lock; /* see "Locking" above */
	rwlock_t map_lock;
	bool dead;
	char dax_name[32];
	struct inode *inode;
	const struct address_space_operations *saved_aops;
	struct dev_pagemap *pgmap;
	int nr_range;
	struct range ranges[SPECKV_RANGES_MAX];
	u64 bytes;
	int numa_node;
	struct speckv_space space;
	struct speckv_extent **extent_of;
	u32 generation;
	struct list_head files;
	u64 extents;
	u32 lent;
	struct list_head retired;
	struct delayed_work cleaner;
	wait_queue_head_t clean_wait;
	u32 clean_seq;
	unsigned long clean_delay;
	u64 file_limit_bytes;
	u32 file_exports_max;
	struct dentry *debug;
};

static inline struct speckv_region *to_speckv_region(struct device *dev)
{
	return container_of(dev, struct speckv_region, dev);
}

/* main.c: the class, device numbers */
extern struct class speckv_class;
extern struct dentry *speckv_debug_root;
extern struct workqueue_struct *speckv_workqueue;
extern struct page *speckv_zeros; /* 2 MiB that read-only exports see where they hold nothing */
extern struct ida speckv_ids;
extern struct ida speckv_minors;
int speckv_number_get(struct ida *ida);
dev_t speckv_devt(int minor);

/* dax.c: binding and removal */
int speckv_dax_register(void);
void speckv_dax_unregister(void);

/* region.c: one region's life */
struct speckv_region *speckv_region_create(const char *dax_name, struct inode *inode, int numa_node,
					   const struct range *ranges, int nr_range);
int speckv_region_start(struct speckv_region *region);
void speckv_region_kill(struct speckv_region *region);
unsigned long speckv_granule_pfn(const struct speckv_region *region, u32 granule);
bool speckv_granule_is_pinned(const struct speckv_region *region, u32 granule);
void speckv_region_settle(struct speckv_region *region);
void speckv_region_unmap(struct speckv_region *region, u32 first, u32 count);

/* poison.c */
int speckv_region_poison(struct speckv_region *region, u32 first, u32 count);
bool speckv_pfn_was_poisoned(unsigned long pfn);
void speckv_poisoned_pfns_forget(void);

/* extent.c: extents and holds; all but the cleaner with region->lock held */
struct speckv_account *speckv_account_create(void);
void speckv_account_put(struct speckv_account *account);
int speckv_extent_alloc(struct speckv_file *file, const u32 *at, u32 count, u64 cookie,
			u64 *ret_handle, u32 *ret_first);
struct speckv_extent *speckv_extent_find(struct speckv_file *file, u64 handle);
int speckv_extent_hold(struct speckv_file *file, struct speckv_extent *extent,
		       struct speckv_leaving *ret_zeros);
void speckv_extent_drop(struct speckv_file *file, struct speckv_extent *extent,
			struct speckv_leaving *ret);
void speckv_extent_free(struct speckv_file *file, struct speckv_extent *extent,
			struct speckv_leaving *ret);
void speckv_file_drop_all(struct speckv_file *file);
struct speckv_account *speckv_pinner(struct speckv_region *region);
bool speckv_extent_poison(struct speckv_region *region, u32 granule);
void speckv_cleaner(struct work_struct *work);
void speckv_extent_lend(struct speckv_region *region, struct speckv_extent *extent);
void speckv_extent_unlend(struct speckv_region *region, struct speckv_extent *extent);
/* ... and these without it */
bool speckv_granule_user(struct speckv_region *region, u32 granule, pid_t *ret_pid,
			 kuid_t *ret_uid);
void speckv_leave(struct speckv_region *region, struct speckv_leaving *leaving, u32 count);
void speckv_extents_forget(struct speckv_region *region);

/* file.c: open and release, exports */
extern const struct file_operations speckv_fops;
long speckv_export(struct file *filp, struct speckv_export *arg, struct file **ret_new);
struct speckv_file *speckv_export_of(struct speckv_file *control, struct file *filp);

/* mmap.c */
extern const struct address_space_operations speckv_aops;
int speckv_mmap(struct file *filp, struct vm_area_struct *vma);

/* ioctl.c */
long speckv_ioctl(struct file *filp, unsigned int command, unsigned long argument);
int speckv_may_call(struct file *filp, unsigned int command);

/* uring.c */
struct io_uring_cmd;
int speckv_uring_cmd(struct io_uring_cmd *ioucmd, unsigned int issue_flags);

/*
 * The PCI side (engine.h), as the rest of the driver sees it. speckv_lend_end(): region->lock held;
 * no command of the file gets the extent (NULL: any) from now on. speckv_lend_settle(), without
 * it: what no command is using has been taken back when this returns; speckv_engines_settle(): of
 * all files.
 */
int speckv_pci_register(void);
void speckv_pci_unregister(void);
long speckv_engine_tell(struct speckv_file *file, struct speckv_engine_info *info);
long speckv_command(struct speckv_file *file, struct speckv_cmd *cmd);
void speckv_lend_end(struct speckv_file *file, const struct speckv_extent *extent);
void speckv_lend_settle(struct speckv_file *file);
void speckv_engines_settle(void);
void speckv_engine_detach(struct speckv_file *file);

/* sysfs.c, debugfs.c */
extern const struct attribute_group *speckv_groups[];
void speckv_debugfs_add(struct speckv_region *region);

#endif /* SPECKV_DRIVER_H */
