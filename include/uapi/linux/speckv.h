/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * speckv.h - what user space may ask of /dev/speckvN, a CXL memory region shared out in extents.
 *
 * A region is cut into granules of 2 MiB. An extent is a run of granules that the kernel zeroed
 * and gave to one open of /dev/speckvN (a "control file"; the daemon's). An export is a file
 * that the control file makes for somebody else: it can be mapped, and shows only the extents
 * that were put into it. Both are mapped with the region's own offsets: one mmap() of
 * [0, device_bytes) is enough for ever, and extents appear in it and go without a call of the
 * one who maps.
 *
 * What a mapping answers where its file holds no extent, where the extent was freed, dropped or
 * is poisoned, and after the region went away: a read-only export reads zeros (so a reader that
 * verifies what it reads misses, and lives); every other mapping gets SIGBUS.
 *
 * An extent lives as long as a file that holds it is open somewhere: in a process, in a message
 * on its way, under a mapping. FREE takes it from all of them at once.
 *
 * Conventions: every reserved or output field must be 0 on entry, every unknown flag is refused:
 * both with EINVAL. Pointers travel as __u64. A handle that this file does not hold is ENOENT,
 * whether somebody else holds it or nobody. After the region went away every call is ENODEV. An
 * output field is written only when the call returns 0.
 */
#ifndef _UAPI_LINUX_SPECKV_H
#define _UAPI_LINUX_SPECKV_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Counts up when the meaning of an existing call changes; additions are features. */
#define SPECKV_ABI_VERSION 1

/* Extents are made of this many bytes, at offsets that are multiples of it. */
#define SPECKV_GRANULE_BYTES (1ULL << 21)

/* Handles in one EXPORT, and entries in one LIST or POISON call. */
#define SPECKV_BATCH_MAX 4096U

/* Longest time that ALLOC may be told to wait. */
#define SPECKV_TIMEOUT_MS_MAX 60000U

/*
 * SPECKV_FEATURE_ZERO_FALLBACK: a read-only export reads zeros where it holds nothing (see
 * above). Always set in version 1; a reader that relies on it should look.
 */
#define SPECKV_FEATURE_ZERO_FALLBACK (1ULL << 0)

/*
 * SPECKV_FEATURE_PINNABLE: mappings may be pinned for long (io_uring fixed buffers, RDMA
 * memory regions). A pinned extent that is freed stays in quarantine until the pin is gone.
 */
#define SPECKV_FEATURE_PINNABLE (1ULL << 1)

/* struct speckv_info.role */
enum speckv_role {
	SPECKV_ROLE_CONTROL = 1,      /* an open of /dev/speckvN */
	SPECKV_ROLE_EXPORT_READ = 2,  /* made by EXPORT */
	SPECKV_ROLE_EXPORT_WRITE = 3, /* made by EXPORT with SPECKV_EXPORT_WRITE */
};

/**
 * struct speckv_info - answer of SPECKV_IOC_INFO
 * @flags: in; must be 0
 * @abi_version: SPECKV_ABI_VERSION of the driver
 * @device_bytes: bytes of the region, hence of a mapping that shows all of it
 * @granule_bytes: SPECKV_GRANULE_BYTES
 * @features: SPECKV_FEATURE_*
 * @limit_bytes: most that this control file may hold, quarantine included; 0 for an export
 * @role: enum speckv_role of this file
 * @numa_node: node nearest to the region, -1 if unknown
 * @reserved: must be 0
 */
struct speckv_info {
	__u32 flags;
	__u32 abi_version;
	__u64 device_bytes;
	__u64 granule_bytes;
	__u64 features;
	__u64 limit_bytes;
	__u32 role;
	__s32 numa_node;
	__u64 reserved[4];
};

/**
 * struct speckv_alloc - argument of SPECKV_IOC_ALLOC
 * @bytes: in; a multiple of SPECKV_GRANULE_BYTES, not 0
 * @cookie: in; any value; SPECKV_IOC_LIST gives it back
 * @flags: in; must be 0
 * @timeout_ms: in; how long to wait while granules that would do are still being zeroed, at
 *	most SPECKV_TIMEOUT_MS_MAX; 0: do not wait
 * @handle: out; names the extent in calls on this file; never 0
 * @offset: out; where it lies in the region, and so in every mapping
 * @reserved: must be 0
 *
 * The extent is contiguous and reads as zeros. EAGAIN: nothing free now, but granules are being
 * zeroed; ENOSPC: no such run, and none is coming; EDQUOT: over the limits of this file. The
 * limits are looked at before anything is taken.
 */
struct speckv_alloc {
	__u64 bytes;
	__u64 cookie;
	__u32 flags;
	__u32 timeout_ms;
	__u64 handle;
	__u64 offset;
	__u64 reserved[2];
};

/**
 * struct speckv_free - argument of SPECKV_IOC_FREE
 * @handle: in; the extent
 * @flags: in; must be 0
 * @pad: must be 0
 * @reserved: must be 0
 *
 * When the call returns no mapping of any process shows the extent. Its granules are zeroed,
 * and handed out again once nobody has them pinned.
 */
struct speckv_free {
	__u64 handle;
	__u32 flags;
	__u32 pad;
	__u64 reserved[2];
};

/*
 * SPECKV_EXPORT_NEW: make a new export that holds the extents named, which may be none. @fd must
 * be -1 on entry; on return it is the new descriptor, close-on-exec, to be passed on by
 * SCM_RIGHTS.
 */
#define SPECKV_EXPORT_NEW (1U << 0)

/*
 * SPECKV_EXPORT_ADD: put more extents into the export @fd, which this control file must have
 * made (else EBADF). An extent that is there already: EEXIST, and nothing is changed.
 */
#define SPECKV_EXPORT_ADD (1U << 1)

/*
 * SPECKV_EXPORT_DROP: take extents out of the export @fd and out of every mapping of it, while
 * other exports keep them. ENOENT if the export lacks one, and nothing is changed.
 */
#define SPECKV_EXPORT_DROP (1U << 2)

/*
 * SPECKV_EXPORT_WRITE: only with NEW; the export may be mapped for writing. For memory that one
 * client fills by itself. Without it no descriptor, mapping or pin can write through the export.
 */
#define SPECKV_EXPORT_WRITE (1U << 3)

/**
 * struct speckv_export - argument of SPECKV_IOC_EXPORT
 * @flags: in; exactly one of NEW, ADD, DROP; WRITE only with NEW
 * @fd: in and out; see the flags
 * @handles: in; pointer to @count __u64 handles of this control file, no two alike (EINVAL)
 * @count: in; 0..SPECKV_BATCH_MAX; 0 only with NEW
 * @pad: must be 0
 * @reserved: must be 0
 *
 * All or nothing.
 */
struct speckv_export {
	__u32 flags;
	__s32 fd;
	__u64 handles;
	__u32 count;
	__u32 pad;
	__u64 reserved[2];
};

/**
 * struct speckv_stat - answer of SPECKV_IOC_STAT
 * @flags: in; must be 0
 * @fd: in; -1: this file; else, from a control file, an export that it made
 * @held_bytes: extents that the file holds
 * @pinned_bytes: granules in quarantine that are charged to it: those that it alone had
 *	exported when they were freed, or, for a control file, those whose holder is not known
 * @extents: number of extents held
 * @exports: open exports made by this control file
 * @faults_huge: 2 MiB faults answered through the file
 * @faults_small: 4 KiB faults answered with the region's memory
 * @faults_zero: 4 KiB faults answered with zeros
 * @free_bytes: of the region: zeroed and ready; this and all below are 0 for an export
 * @used_bytes: of the region: in extents
 * @dirty_bytes: of the region: freed, not yet zeroed
 * @quarantined_bytes: of the region: freed, and still pinned by somebody
 * @poisoned_bytes: of the region: out of use for ever
 * @reserved: must be 0
 *
 * An export learns nothing about others from it.
 */
struct speckv_stat {
	__u32 flags;
	__s32 fd;
	__u64 held_bytes;
	__u64 pinned_bytes;
	__u64 extents;
	__u64 exports;
	__u64 faults_huge;
	__u64 faults_small;
	__u64 faults_zero;
	__u64 free_bytes;
	__u64 used_bytes;
	__u64 dirty_bytes;
	__u64 quarantined_bytes;
	__u64 poisoned_bytes;
	__u64 reserved[4];
};

/**
 * struct speckv_extent_entry - one extent in SPECKV_IOC_LIST
 * @handle: as ALLOC gave it
 * @offset: in the region
 * @bytes: its length
 * @cookie: as given to ALLOC
 * @poisoned_bytes: how much of it is poisoned
 */
struct speckv_extent_entry {
	__u64 handle;
	__u64 offset;
	__u64 bytes;
	__u64 cookie;
	__u64 poisoned_bytes;
};

/**
 * struct speckv_list - argument of SPECKV_IOC_LIST
 * @flags: in; must be 0
 * @count: in: room in @entries, 1..SPECKV_BATCH_MAX; out: entries written, 0 at the end
 * @start_offset: in: list extents from this offset on; out: where to go on
 * @entries: in; pointer to @count struct speckv_extent_entry
 * @reserved: must be 0
 *
 * The extents of this control file in order of their offsets: what a daemon needs to find its
 * pool again after a restart in which the descriptor was kept.
 */
struct speckv_list {
	__u32 flags;
	__u32 count;
	__u64 start_offset;
	__u64 entries;
	__u64 reserved[2];
};

/*
 * SPECKV_POISON_LIST: write the offsets of poisoned granules of the region, from @offset on, to
 * @entries; @count becomes how many, @offset where to go on.
 */
#define SPECKV_POISON_LIST (1U << 0)

/*
 * SPECKV_POISON_MARK: treat the granules of [@offset, @offset + @bytes) as poisoned from now on,
 * as if the memory had reported it; for errors that only the device's own poison list or event
 * log tells. @bytes need not be aligned. There is no way back but taking the driver out.
 */
#define SPECKV_POISON_MARK (1U << 1)

/**
 * struct speckv_poison - argument of SPECKV_IOC_POISON
 * @flags: in; exactly one of LIST, MARK
 * @count: LIST: room in @entries, 1..SPECKV_BATCH_MAX, and how many were written; MARK: 0
 * @offset: see the flags; on entry to LIST any value
 * @bytes: MARK: length, not 0; LIST: must be 0
 * @entries: LIST: pointer to @count __u64; MARK: must be 0
 * @reserved: must be 0
 */
struct speckv_poison {
	__u32 flags;
	__u32 count;
	__u64 offset;
	__u64 bytes;
	__u64 entries;
	__u64 reserved[2];
};

#define SPECKV_IOC_MAGIC 0xEB

/*
 * INFO and STAT work on every file. The others are for control files opened for reading and
 * writing: EACCES on an export, EBADF on a control file that was opened otherwise.
 */
#define SPECKV_IOC_INFO _IOWR(SPECKV_IOC_MAGIC, 0x00, struct speckv_info)
#define SPECKV_IOC_ALLOC _IOWR(SPECKV_IOC_MAGIC, 0x01, struct speckv_alloc)
#define SPECKV_IOC_FREE _IOW(SPECKV_IOC_MAGIC, 0x02, struct speckv_free)
#define SPECKV_IOC_EXPORT _IOWR(SPECKV_IOC_MAGIC, 0x03, struct speckv_export)
#define SPECKV_IOC_STAT _IOWR(SPECKV_IOC_MAGIC, 0x04, struct speckv_stat)
#define SPECKV_IOC_LIST _IOWR(SPECKV_IOC_MAGIC, 0x05, struct speckv_list)
#define SPECKV_IOC_POISON _IOWR(SPECKV_IOC_MAGIC, 0x06, struct speckv_poison)

#endif /* _UAPI_LINUX_SPECKV_H */
