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
 * Entries in page tables are of 2 MiB throughout, memory and zeros alike.
 *
 * Conventions: every reserved or output field must be 0 on entry, every unknown flag is refused:
 * both with EINVAL. Pointers travel as __aligned_u64. A handle that this file does not hold is
 * ENOENT, whether somebody else holds it or nobody. After the region went away every call is
 * ENODEV. An output field is written only when the call returns 0. A call on an export that waits
 * for the region may be interrupted by a signal before it did anything (it is then begun again, or
 * EINTR); one on a control file only by a deadly one.
 */
#ifndef _UAPI_LINUX_SPECKV_H
#define _UAPI_LINUX_SPECKV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "speckv_cmd.h"

/* Counts up when the meaning of an existing call changes; additions are features. */
#define SPECKV_ABI_VERSION 3

/* Extents are made of this many bytes, at offsets that are multiples of it. */
#define SPECKV_GRANULE_BYTES (1ULL << 21)

/* Handles in one EXPORT, and entries in one LIST or POISON call. */
#define SPECKV_CALL_MAX 4096U

/* Longest time that ALLOC may be told to wait. */
#define SPECKV_TIMEOUT_MS_MAX 60000U

/*
 * SPECKV_FEATURE_ZERO_FALLBACK: a read-only export reads zeros where it holds nothing (see
 * above). Always set so far; a reader that relies on it should look.
 */
#define SPECKV_FEATURE_ZERO_FALLBACK (1ULL << 0)

/*
 * SPECKV_FEATURE_PINNABLE: mappings may be pinned for long (io_uring fixed buffers, RDMA
 * memory regions). A pinned extent that is freed stays in quarantine until the pin is gone.
 */
#define SPECKV_FEATURE_PINNABLE (1ULL << 1)

/* SPECKV_FEATURE_ENGINE: SPECKV_IOC_ENGINE and SPECKV_IOC_COMMAND are there, if no engine is. */
#define SPECKV_FEATURE_ENGINE (1ULL << 2)

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
	__aligned_u64 device_bytes;
	__aligned_u64 granule_bytes;
	__aligned_u64 features;
	__aligned_u64 limit_bytes;
	__u32 role;
	__s32 numa_node;
	__aligned_u64 reserved[4];
};

/*
 * SPECKV_ALLOC_AT: the extent is to lie at @offset, and nowhere else. Extents that lie beside each
 * other are one range in every mapping, so a pool can be made of what is there around a granule
 * that somebody keeps pinned.
 */
#define SPECKV_ALLOC_AT (1U << 0)

/**
 * struct speckv_alloc - argument of SPECKV_IOC_ALLOC
 * @bytes: in; a multiple of SPECKV_GRANULE_BYTES, not 0
 * @cookie: in; any value; SPECKV_IOC_LIST gives it back
 * @flags: in; SPECKV_ALLOC_AT or 0
 * @timeout_ms: in; how long to wait while granules that would do are still being zeroed, at
 *	most SPECKV_TIMEOUT_MS_MAX; 0: do not wait
 * @handle: out; names the extent in calls on this file; never 0
 * @offset: out; where it lies in the region, and so in every mapping. With SPECKV_ALLOC_AT in; a
 *	multiple of SPECKV_GRANULE_BYTES
 * @reserved: must be 0
 *
 * The extent is contiguous and reads as zeros; it is the first free run that is long enough.
 * EAGAIN: nothing free now, but granules are being zeroed; ENOSPC: no such run, or with AT not all
 * of it free, and no granule is coming; EDQUOT: over the limits of this file. The
 * limits are looked at before anything is taken.
 */
struct speckv_alloc {
	__aligned_u64 bytes;
	__aligned_u64 cookie;
	__u32 flags;
	__u32 timeout_ms;
	__aligned_u64 handle;
	__aligned_u64 offset;
	__aligned_u64 reserved[2];
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
	__aligned_u64 handle;
	__u32 flags;
	__u32 pad;
	__aligned_u64 reserved[2];
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
 * @count: in; 0..SPECKV_CALL_MAX; 0 only with NEW
 * @pad: must be 0
 * @reserved: must be 0
 *
 * All or nothing.
 */
struct speckv_export {
	__u32 flags;
	__s32 fd;
	__aligned_u64 handles;
	__u32 count;
	__u32 pad;
	__aligned_u64 reserved[2];
};

/**
 * struct speckv_stat - answer of SPECKV_IOC_STAT
 * @flags: in; must be 0
 * @fd: in; -1: this file; else, from a control file, an export that it made
 * @held_bytes: extents that the file holds
 * @pinned_bytes: granules in quarantine that are charged to it. An export: of the extents that it
 *	was the last to give up, or that it alone had when they were freed. A control file: of its
 *	own extents that no export, or more than one, had
 * @extents: number of extents held
 * @exports: open exports made by this control file
 * @faults_huge: faults answered with the region's memory, of 2 MiB each
 * @faults_zero: faults answered with zeros, of 2 MiB each
 * @free_bytes: of the region: zeroed and ready; this and all below are 0 for an export
 * @used_bytes: of the region: in extents
 * @dirty_bytes: of the region: freed, not yet zeroed
 * @quarantined_bytes: of the region: freed, and still pinned by somebody
 * @poisoned_bytes: of the region: out of use for ever
 * @longest_bytes: of the region: the longest extent that ALLOC could give now
 * @pinner_bytes: of the region: most that is in quarantine for the sake of one file, closed or not
 * @pinner_pid: who opened or mapped that file; 0 if nothing is in quarantine
 * @pinner_uid: likewise
 * @reserved: must be 0
 *
 * An export learns nothing about others from it.
 */
struct speckv_stat {
	__u32 flags;
	__s32 fd;
	__aligned_u64 held_bytes;
	__aligned_u64 pinned_bytes;
	__aligned_u64 extents;
	__aligned_u64 exports;
	__aligned_u64 faults_huge;
	__aligned_u64 faults_zero;
	__aligned_u64 free_bytes;
	__aligned_u64 used_bytes;
	__aligned_u64 dirty_bytes;
	__aligned_u64 quarantined_bytes;
	__aligned_u64 poisoned_bytes;
	__aligned_u64 longest_bytes;
	__aligned_u64 pinner_bytes;
	__u32 pinner_pid;
	__u32 pinner_uid;
	__aligned_u64 reserved[2];
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
	__aligned_u64 handle;
	__aligned_u64 offset;
	__aligned_u64 bytes;
	__aligned_u64 cookie;
	__aligned_u64 poisoned_bytes;
};

/**
 * struct speckv_list - argument of SPECKV_IOC_LIST
 * @flags: in; must be 0
 * @count: in: room in @entries, 1..SPECKV_CALL_MAX; out: entries written, 0 at the end
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
	__aligned_u64 start_offset;
	__aligned_u64 entries;
	__aligned_u64 reserved[2];
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
 * @count: LIST: room in @entries, 1..SPECKV_CALL_MAX, and how many were written; MARK: 0
 * @offset: see the flags; on entry to LIST any value
 * @bytes: MARK: length, not 0; LIST: must be 0
 * @entries: LIST: pointer to @count __u64; MARK: must be 0
 * @reserved: must be 0
 */
struct speckv_poison {
	__u32 flags;
	__u32 count;
	__aligned_u64 offset;
	__aligned_u64 bytes;
	__aligned_u64 entries;
	__aligned_u64 reserved[2];
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
#define SPECKV_IOC_ENGINE _IOWR(SPECKV_IOC_MAGIC, 0x07, struct speckv_engine_info)
#define SPECKV_IOC_COMMAND _IOWR(SPECKV_IOC_MAGIC, 0x08, struct speckv_cmd)

#endif /* _UAPI_LINUX_SPECKV_H */
