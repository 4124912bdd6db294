/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.h - ask ahead for blocks that lie below the pool, wait for them, keep them, say what they
 * are.
 *
 * The part of speckv.h that is since 1.1; its conventions hold here, and it includes this file.
 */
#ifndef SPECKV_AHEAD_H
#define SPECKV_AHEAD_H

#include "speckv/speckv.h"

#ifdef __cplusplus
#ifdef __GNUC__ /* a function is named like its struct */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
extern "C" {
#endif

/* ---- asking ahead: blocks that lie below the pool ---------------------------------------------
 */

enum speckv_tier {
	SPECKV_TIER_POOL = 0, /* where speckv_get() reads */
	SPECKV_TIER_BELOW = 1 /* the file or device below it: speckv_load() reads what lies there */
};

/*
 * Says where blocks are, and fetches none: ret_tiers[i] is enum speckv_tier, or -ENOENT: no tier
 * has it; -EIO: a tier has it and cannot be read now; -ETIMEDOUT, -ENOTCONN: the pool has it not,
 * and the daemon did not say more in timeout_ns. Asks the daemon about what is not in the pool, and
 * nobody where there is no tier below. Returns how many leading keys are in some tier.
 */
int speckv_locate(struct speckv_session *session, uint32_t layout,
                  const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t timeout_ns,
                  int32_t *ret_tiers);

/*
 * Says that these keys will be read soon: those that can be read are treated as just used, others
 * are fetched from a tier below, as far as the namespace may. Returns how many were passed on.
 */
int speckv_prefetch(struct speckv_session *session, uint32_t layout,
                    const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count);

struct speckv_prefetch_args {
	uint32_t size;
	uint32_t tier;         /* where to: SPECKV_TIER_POOL */
	uint64_t deadline_ns;  /* later it is of no use; or SPECKV_NO_DEADLINE */
	uint64_t budget_bytes; /* stored bytes that may be read from below; or SPECKV_NO_BUDGET */
	uint64_t user_data;    /* of its completion */
	uint64_t reserved[4];
};

enum speckv_outcome_kind {
	SPECKV_OUTCOME_ASKED = 0,      /* the daemon has not looked yet */
	SPECKV_OUTCOME_ON_ITS_WAY = 1, /* it is being fetched */
	SPECKV_OUTCOME_READY = 2,      /* it can be read, until it is evicted */
	SPECKV_OUTCOME_CLIPPED = 3,    /* -ENOSPC: the budget is used up, or the pool has no room */
	SPECKV_OUTCOME_REJECTED = 4,   /* the error says why */
	SPECKV_OUTCOME_MISSING = 5     /* -ENOENT: no tier has it */
};

struct speckv_outcome {
	uint32_t outcome; /* enum speckv_outcome_kind */
	int32_t error;    /* -errno of a key that is clipped, rejected or missing, else 0 */
};

/*
 * The same with a deadline, a budget and an end: never waits. args may be NULL: no deadline, no
 * budget but the namespace's. Keys are fetched in their order, so the leading ones come first. One
 * completion follows when no key is asked or on its way any more: 0, or -ECANCELED after
 * speckv_prefetch_end(). Returns how many keys were asked for or are there already. -EINVAL: a
 * budget of 0; -ERANGE: one larger than the pool; -ETIMEDOUT: a deadline that has passed;
 * -EOPNOTSUPP: no such tier; -EAGAIN: the session has 256 prefetches.
 */
int speckv_prefetch_begin(struct speckv_session *session, uint32_t layout,
                          const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                          const struct speckv_prefetch_args *args, uint64_t *ret_prefetch);

/*
 * Fetches the outcomes of the first `count` keys as they are now, without waiting. Returns how many
 * leading ones of them are ready. -EBADF: no such prefetch; -ERANGE: it has fewer keys.
 */
int speckv_prefetch_outcomes(struct speckv_session *session, uint64_t prefetch,
                             struct speckv_outcome *ret_outcomes, unsigned count);

/*
 * Ends a prefetch, which each needs: what waits still is cancelled. What is being read already
 * comes into the pool all the same.
 */
int speckv_prefetch_end(struct speckv_session *session, uint64_t prefetch);

/*
 * speckv_get() that may wait: blocks that lie below the pool are fetched and read as they come, at
 * the latest until deadline_ns; what is nowhere is a miss at once, and with a deadline that has
 * passed so is everything that cannot be read now. Returns the length of the leading run that was
 * read: a part of them is a normal answer. Ops have their own ret_result as in speckv_get(), or
 * -ETIMEDOUT: on its way still; -EDQUOT, -ENOSPC: not fetched. What lies behind the first that is
 * not read may have been read or not.
 */
int speckv_load(struct speckv_session *session, uint32_t layout, struct speckv_get_op *ops,
                unsigned count, uint64_t deadline_ns);

/*
 * Keeps blocks in the pool for ttl_ns: for longer than a hold, and by bytes, of which a namespace
 * has so many (retained_bytes_max). Asks the daemon and waits at most timeout_ns. ret_results[i] is
 * 0 or why the key is not retained: -ENOENT, -EDQUOT. Ends by speckv_retain_end(), after ttl_ns, or
 * with the session. Returns how many leading keys are retained, or a negative errno if none is;
 * ret_retain is set when at least one is.
 */
int speckv_retain(struct speckv_session *session, uint32_t layout,
                  const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t ttl_ns,
                  uint64_t timeout_ns, int32_t *ret_results, uint64_t *ret_retain);
int speckv_retain_end(struct speckv_session *session, uint64_t retain);

/*
 * Says that these blocks are not needed in the pool for now. One that stands in the tier below
 * already leaves the pool at once; another one is written there now, and leaves when it is asked
 * again or its room is wanted. One completion a key, user_data as given: 0, -ENOENT, -EBUSY (held
 * or retained), -EIO (it cannot be written below now, or is too large for that), -EOPNOTSUPP (there
 * is no tier below). Returns how many were submitted.
 */
int speckv_demote(struct speckv_session *session, uint32_t layout,
                  const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t user_data);

struct speckv_hint {
	uint32_t size;
	uint32_t kind;       /* enum speckv_kind; unknown: as it was */
	uint64_t returns_ns; /* moment at which their session will speak again; 0: unknown */
	uint64_t reserved[4];
};

/* Tells the daemon what is known of blocks. Returns how many were passed on. */
int speckv_hint(struct speckv_session *session, uint32_t layout,
                const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count,
                const struct speckv_hint *hint);

#ifdef __cplusplus
}
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
#endif
#endif
