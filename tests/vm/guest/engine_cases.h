/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_cases.h - a file of segments, made on the host by ../engine/cases.cpp and asked of an
 * engine in a guest.
 *
 * One record after the other: struct engine_case, then its bytes in the order of its lengths.
 */
#ifndef VM_GUEST_ENGINE_CASES_H
#define VM_GUEST_ENGINE_CASES_H

#include "uapi/linux/speckv.h"

struct engine_case {
	char name[64];
	struct speckv_cmd cmd; /* ENCODE; handles and offsets are the guest's */
	__u64 checksum;
	__u32 raw_bytes;
	__u32 stored_bytes; /* what ENCODE makes of the raw ones */
	__u32 back_bytes;   /* what DECODE makes of the stored ones */
	__u32 turns_bytes;  /* to be loaded first, if not 0 */
	__u32 widths_bytes;
	__u32 pad;
};

#endif /* VM_GUEST_ENGINE_CASES_H */
