/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speckv.h - put KV blocks into the pool and read them back without a system call.
 *
 * Conventions, once for every function:
 *   - Returns 0 (or a count where it says so) or a negative errno. Nothing is logged, nothing
 *     aborts.
 *   - Out-parameters are named ret_... or sit in a struct's ret_ fields; they are set only on
 *     success, unless said.
 *   - Sizes are bytes, times are nanoseconds of CLOCK_MONOTONIC. A timeout_ns or ttl_ns begins with
 *     the call; a deadline_ns is a moment: 0 has passed, SPECKV_NO_DEADLINE never comes.
 *   - Every function may be called from any thread; one handle may be shared by threads.
 *   - Asynchronous calls: an operation whose result is 0 is followed by exactly one completion; a
 *     negative result by none.
 *   - After fork() the child gets -ECHILD from every call but speckv_close(); it opens its own
 *     session.
 *   - A handle that was closed gives -ESHUTDOWN.
 *   - A daemon that is gone never hurts: reads hit what is still mapped or miss, writes give
 *     -ENOTCONN, and the library connects again by itself (at most one attempt per 100 ms, made by
 *     calls that miss, write or reap).
 *
 * Structs that may grow begin with `size`: set it to sizeof(struct ...). Reserved fields must be 0.
 *
 * Errors, and what they mean everywhere:
 *   -ENOENT     a miss: no such block under this layout; the destination is undefined
 *   -EAGAIN     the session's arena or ring is full: reap, then try again
 *   -ENOSPC     the pool is full and nothing in it may be evicted
 *   -EFBIG      one block of this layout is larger than the session's arena
 *   -EMSGSIZE   one block of this layout is larger than a data thread's part of the pool
 *   -EBUSY      the block is held: it can be neither removed nor replaced until the hold ends; of
 *               speckv_open(): too many connections of this user have no session
 *   -EDQUOT     the namespace's quota is used up: of holds, of retained bytes, of keys that are
 *               being fetched at once, or of bytes that its prefetches may read in a second
 *   -EBADF      no such layout, put, page or hold in this session
 *   -ERANGE     a layer range or a length lies outside the layout
 *   -EINVAL     a stride, flag, reserved field or pointer that cannot be right
 *   -EPROTOTYPE a dtype that the layout's preset cannot store
 *   -ENODATA    a batch of no operations; a put or page that is not whole yet
 *   -E2BIG      a batch of more than SPECKV_BATCH_MAX operations
 *   -ETIMEDOUT  a deadline passed first
 *   -EOVERFLOW  changes were not read in time: see speckv_changes()
 *   -EOPNOTSUPP there is no such tier
 *   -ENOTCONN   the daemon is gone and could not be reached again yet
 *   -ECONNRESET (completions) the daemon went away before it answered: the block may or may not be
 *               stored; (open puts and pages) their daemon went away: abort or release them
 *   -EPROTO     the daemon speaks another major version
 *   -EUSERS     the namespace, or the daemon, has as many sessions as it may have
 *   -ENOBUFS    its sessions' arenas take all the memory that they may have
 *   -EXFULL     its sessions name as many layouts as they may
 *   -ENOSR      the bit widths of these layouts take all the memory that they may have
 *   -ENFILE     its sessions and layouts take all the descriptors that they may have
 *   -EMFILE     the process or the daemon has no descriptor left, the process has 64 sessions, or
 *               the session 64 layouts
 *   -ENODEV     the namespace's memory is gone: its device was removed, or is poisoned
 *   -ESTALE     the daemon changed a layout's bit widths 63 times: open a new session
 *   -EPERM      the daemon runs as a user that the caller did not expect; -EACCES: it refused this
 *               uid or namespace
 */
#ifndef SPECKV_H
#define SPECKV_H

#include <stddef.h>
#include <stdint.h>

#include "speckv/layout.h"

#ifdef __cplusplus
#ifdef __GNUC__ /* two functions are named like their structs: stat(2) does it too */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
extern "C" {
#endif

#define SPECKV_VERSION_MAJOR 1
#define SPECKV_VERSION_MINOR 1
#define SPECKV_BATCH_MAX 65536u
#define SPECKV_NO_DEADLINE UINT64_MAX
#define SPECKV_NO_BUDGET UINT64_MAX

struct speckv_session; /* one session: a connection to one namespace of one daemon */
struct speckv_put;     /* a block being written layer by layer */
struct speckv_page;    /* a block that grows in the pool's own medium */

/* ---- session -------------------------------------------------------------------------------- */

struct speckv_open_args {
	uint32_t size;
	uint32_t flags;             /* 0 */
	const char *socket_path;    /* NULL: $SPECKV_SOCKET, else /run/speckv/speckv.sock */
	const char *namespace_name; /* NULL: "default" */
	uint64_t arena_bytes;       /* staging memory wanted (0: the default); may get less */
	uint32_t timeout_ms;        /* of the handshake; 0: 2000 */
	int32_t daemon_uid;         /* the daemon's; -1: root, user `speckv` or the caller's own */
	uint64_t reserved[4];
};

/*
 * Opens a session. args may be NULL. -ENOENT: no socket there; -ECONNREFUSED: nobody listens; see
 * the list above.
 */
int speckv_open(const struct speckv_open_args *args, struct speckv_session **ret_session);

/*
 * Ends the session: gives back its arena, holds and pages. NULL is ignored. Completions not reaped
 * are lost.
 */
void speckv_close(struct speckv_session *session);

/*
 * One readable event fd for all completions of this session; poll it, do not read it: speckv_reap()
 * does.
 */
int speckv_event_fd(struct speckv_session *session);

struct speckv_completion {
	uint64_t user_data;
	int32_t result; /* 0 or -errno */
	uint32_t flags; /* SPECKV_COMPLETION_... */
};
#define SPECKV_COMPLETION_EXISTED 1u /* put: the key was there already; nothing was written */

/* Fetches up to max completions, without waiting. Returns how many. */
int speckv_reap(struct speckv_session *session, struct speckv_completion *ret_completions,
                unsigned max);

/* Sleeps until a completion can be reaped. -ETIMEDOUT; -ENOTCONN if nothing is under way. */
int speckv_wait(struct speckv_session *session, uint64_t timeout_ns);

/* ---- layouts and keys ----------------------------------------------------------------------- */

/*
 * Checks a layout by itself. On -EINVAL or -EPROTOTYPE ret_why (if not NULL) gets one sentence:
 * what and what to do. On 0 it is empty, or says that the preset does not take heads of this size
 * and which one stores them instead.
 */
int speckv_layout_check(const struct speckv_layout *layout, char *ret_why, size_t why_bytes);

/*
 * The same, and whether this session can take it: -EFBIG when one block is larger than the
 * session's arena.
 */
int speckv_layout_fits(struct speckv_session *session, const struct speckv_layout *layout,
                       char *ret_why, size_t why_bytes);

/*
 * Registers a layout with the session; handles stay valid across reconnects. -EMFILE past 64
 * layouts; -EFBIG, as speckv_layout_fits() explains it; -EMSGSIZE, -EXFULL and -ENOSR from the
 * daemon.
 */
int speckv_layout_register(struct speckv_session *session, const struct speckv_layout *layout,
                           uint32_t *ret_layout);

/*
 * Bytes of one block as the engine holds it (all layers, K and V, and side bytes). 0 if the layout
 * does not pass the check.
 */
uint64_t speckv_block_bytes(const struct speckv_layout *layout);

/* The 64-bit fingerprint that is stored with each segment. */
uint64_t speckv_layout_fingerprint(const struct speckv_layout *layout);

/*
 * Key of the block that continues `parent` (NULL: the first block of a sequence) with `count` token
 * ids: SHA-256 over a version tag, the parent key, the salt and the tokens (little-endian). The
 * salt separates users that must not see each other's reuse.
 */
int speckv_key_chain(const uint8_t *parent, const void *salt, size_t salt_bytes,
                     const int32_t *tokens, size_t count, uint8_t ret_key[SPECKV_KEY_BYTES]);

/*
 * Digest for speckv_layout.variant_digest: LoRA digest (NULL: none), engine build, and its KV
 * format, as strings.
 */
int speckv_variant_digest(const uint8_t *lora_digest, const char *engine, const char *kv_format,
                          uint8_t ret_digest[SPECKV_DIGEST_BYTES]);

/*
 * SHA-256 of one file's bytes. Reads the whole file, but for one that a digest is kept of from an
 * earlier call ($SPECKV_DIGEST_CACHE, see the manual).
 */
int speckv_file_digest(const char *path, uint8_t ret_digest[SPECKV_DIGEST_BYTES]);

/*
 * Digest of all files of a model in order, for speckv_layout.weights_digest. One path stands for
 * the whole model: the other parts of a split GGUF or of safetensors are found by their names, or
 * by model.safetensors.index.json. A model of one file has that file's speckv_file_digest().
 * -EBADMSG: the files contradict their names.
 */
int speckv_files_digest(const char *const *paths, unsigned count,
                        uint8_t ret_digest[SPECKV_DIGEST_BYTES]);

/* ---- buffers -------------------------------------------------------------------------------- */

/*
 * Where the K or the V of one layer lies in the caller's memory: value (token t, head h, channel c)
 * is at base + t*token_stride + h*head_stride + c*channel_stride. Strides are bytes, may be
 * negative, and must be multiples of the value's size.
 */
struct speckv_view {
	void *base;
	int64_t token_stride;
	int64_t head_stride;
	int64_t channel_stride;
};

/*
 * A scatter list: layers [layer_first, layer_first + layer_count), views[2*i] is K and views[2*i+1]
 * V of the i-th.
 *
 * Side bytes (layout.side_bytes) count as one layer more, number layout.layers: of its two views
 * the first has their address in base and their number in token_stride, the rest is not looked at.
 * They are one with their KV: a block of such a layout is put, and read, with all of its layers and
 * them, or not at all (-ERANGE; another number of bytes: -EINVAL). put_layers takes them like a
 * layer.
 */
struct speckv_buf {
	uint32_t layer_first;
	uint32_t layer_count;
	const struct speckv_view *views;
};

/*
 * What helps the daemon to evict and prefetch well; all 0 but position = SPECKV_POSITION_UNKNOWN is
 * always right.
 */
struct speckv_meta {
	uint8_t parent[SPECKV_KEY_BYTES]; /* key of the block before, or zeros */
	uint32_t position;                /* index of the block's first token in its sequence */
	uint32_t kind;                    /* enum speckv_kind; before 1.1 it was reserved, and 0 */
};

/* What a block holds: how likely it is, and how soon, that it is read again. */
enum speckv_kind {
	SPECKV_KIND_UNKNOWN = 0,
	SPECKV_KIND_SYSTEM = 1,       /* a system prompt or a template: shared by many sessions */
	SPECKV_KIND_TOOL = 2,         /* tool definitions, a document, what a tool gave back */
	SPECKV_KIND_CONVERSATION = 3, /* turns of one session, which may speak again */
	SPECKV_KIND_SCRATCH = 4       /* thoughts, drafts: nobody comes back for it */
};

/*
 * An array of keys as the calls below take it. Before C23 an array that is not const needs this
 * cast; C++ and C23 do without.
 */
#define SPECKV_KEYS(keys) ((const uint8_t(*)[SPECKV_KEY_BYTES])(keys))

/* ---- reading -------------------------------------------------------------------------------- */

struct speckv_get_op {
	uint8_t key[SPECKV_KEY_BYTES];
	struct speckv_buf buf;
	int32_t ret_result; /* 0, -ENOENT, -ERANGE or -EINVAL; what the call returned if it failed
	                       whole */
	uint32_t flags;     /* SPECKV_GET_... */
};
#define SPECKV_GET_STREAM 1u /* write around the caches: the destination will not be read soon */

/*
 * Reads blocks into the caller's buffers on the caller's thread. Each op has its own ret_result.
 * Never waits for the daemon. Returns the number of ops with result 0, or a negative errno if none
 * was tried; each op then says the same (but after -E2BIG, which touches none).
 */
int speckv_get(struct speckv_session *session, uint32_t layout, struct speckv_get_op *ops,
               unsigned count);

/* Sets ret_hits[i] to 1 or 0 for each key, 0 after an error. Returns how many leading keys hit. */
int speckv_exists(struct speckv_session *session, uint32_t layout,
                  const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint8_t *ret_hits);

/*
 * Keeps blocks from eviction for ttl_ns (bounded by the daemon's configuration), so that a lookup
 * now is a hit when the load comes. Asks the daemon and waits at most timeout_ns. ret_hits as in
 * speckv_exists(). A hold ends by speckv_unhold(), its TTL, or with its session; another session of
 * the same uid and namespace may take it over. Returns how many leading keys are held; ret_hold is
 * set when at least one key is.
 */
int speckv_hold(struct speckv_session *session, uint32_t layout,
                const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t ttl_ns,
                uint64_t timeout_ns, uint8_t *ret_hits, uint64_t *ret_hold);
int speckv_unhold(struct speckv_session *session, uint64_t hold);
int speckv_adopt(struct speckv_session *session, uint64_t hold, uint64_t timeout_ns);

/* ---- writing -------------------------------------------------------------------------------- */

struct speckv_put_op {
	uint8_t key[SPECKV_KEY_BYTES];
	struct speckv_buf buf; /* all layers of the layout */
	struct speckv_meta meta;
	uint64_t user_data;
	int32_t ret_result; /* 0: one completion will follow; if the call failed whole, what it
	                       returned */
	uint32_t flags;     /* 0 */
};

/*
 * Copies blocks into the session's arena and submits them; the buffers are the caller's again on
 * return. A block can be read by anyone in the namespace once its completion says 0. Returns the
 * number of ops with result 0, or a negative errno if none was tried; each op then says the same
 * (but after -E2BIG, which touches none).
 */
int speckv_put(struct speckv_session *session, uint32_t layout, struct speckv_put_op *ops,
               unsigned count);

/* The same in parts: layers in any order, each exactly once; invisible until commit completes. */
int speckv_put_begin(struct speckv_session *session, uint32_t layout,
                     const uint8_t key[SPECKV_KEY_BYTES], const struct speckv_meta *meta,
                     struct speckv_put **ret_put);
int speckv_put_layers(struct speckv_put *put, const struct speckv_buf *buf);
/* -ENODATA while layers are missing. 0 frees put; after an error it is still the caller's. */
int speckv_put_commit(struct speckv_put *put, uint64_t user_data);
int speckv_put_abort(struct speckv_put *put);

/*
 * Removes blocks. One completion per key, user_data as given: 0, -ENOENT or -EBUSY. Returns how
 * many were submitted.
 */
int speckv_remove(struct speckv_session *session, uint32_t layout,
                  const uint8_t (*keys)[SPECKV_KEY_BYTES], unsigned count, uint64_t user_data);

/* ---- pages: KV that grows in the pool's own medium ------------------------------------------ */

/*
 * Allocates room for one block in the session's arena, which lies on the pool's medium and counts
 * in the session's share of it. The caller writes there directly: per layer and K|V,
 * [head][token][channel], nothing between.
 */
int speckv_alloc(struct speckv_session *session, uint32_t layout, struct speckv_page **ret_page);

/*
 * Where to write. ret_views has 2*layers elements, 2 more with side bytes; its pointers stay valid
 * until speckv_seal() or speckv_release().
 */
int speckv_page_views(struct speckv_page *page, struct speckv_view *ret_views, uint32_t views);

/*
 * Says that `tokens` more tokens are written. -ERANGE past block_tokens. Returns how many the page
 * has now.
 */
int speckv_append(struct speckv_page *page, uint32_t tokens);

/*
 * Gives a full page its key and submits it without another copy; the page belongs to the daemon
 * from then on. -ENODATA while it is not full. After an error it is still the caller's.
 */
int speckv_seal(struct speckv_page *page, const uint8_t key[SPECKV_KEY_BYTES],
                const struct speckv_meta *meta, uint64_t user_data);

/* Gives the page back unsealed. */
int speckv_release(struct speckv_page *page);

/* ---- following what is there ---------------------------------------------------------------- */

#define SPECKV_SHARDS_MAX 64u
enum speckv_change_kind {
	SPECKV_CHANGE_STORED = 1, /* can be read; a block that was there may be told again */
	SPECKV_CHANGE_REMOVED = 2 /* evicted, removed, replaced or lost: a get misses now */
};

struct speckv_change {
	uint8_t id[SPECKV_KEY_BYTES]; /* which block: speckv_block_ids() */
	uint32_t kind;                /* enum speckv_change_kind */
	uint32_t reserved;
};

/* How far one reader is. The caller's; begin with all zero but size. */
struct speckv_cursor {
	uint32_t size;
	uint32_t reserved_word;
	uint64_t epoch;                   /* the index that `next` counts in; 0: none yet */
	uint64_t lost;                    /* changes that were gone before they were read, in all */
	uint64_t next[SPECKV_SHARDS_MAX]; /* changes read so far, a data thread each */
};

/*
 * Changes of the namespace's blocks since the cursor's, of all layouts, those of one block in
 * order. Never waits, and nobody waits for the reader: whoever comes too late finds them
 * overwritten. Returns how many; 0 also while the daemon is gone. -EOVERFLOW: the cursor is new, or
 * too late, or the daemon was started again; it stands at now, and speckv_resident() says what was
 * there before.
 */
int speckv_changes(struct speckv_session *session, struct speckv_cursor *cursor,
                   struct speckv_change *ret_changes, unsigned max);

/*
 * All blocks of the namespace that can be read now, a part with each call: *position is 0 at first
 * and moves on. max is 7 or more. Returns how many; 0 at the end. What changes meanwhile may be
 * told or not: speckv_changes() tells it afterwards. -EAGAIN: try again.
 */
int speckv_resident(struct speckv_session *session, uint64_t *position,
                    struct speckv_change *ret_changes, unsigned max);

/* The ids by which the two calls above name blocks of this layout; given ids: their keys. */
int speckv_block_ids(const struct speckv_layout *layout, const uint8_t (*keys)[SPECKV_KEY_BYTES],
                     unsigned count, uint8_t (*ret_ids)[SPECKV_KEY_BYTES]);

/* ---- introspection -------------------------------------------------------------------------- */

struct speckv_stats {
	uint32_t size;
	uint32_t connected;       /* 1 while the daemon answers */
	uint64_t hits, misses;    /* blocks */
	uint64_t bytes_read;      /* decoded into callers' buffers */
	uint64_t retries;         /* reads that met a change and looked again */
	uint64_t stale;           /* misses because the block changed during the read */
	uint64_t corrupt;         /* misses because a checksum did not match */
	uint64_t foreign;         /* misses because the key is there under another layout */
	uint64_t puts, put_bytes; /* submitted */
	uint64_t reconnects;
	uint64_t pool_bytes, pool_page_bytes; /* of this session's map */
};
int speckv_stats(struct speckv_session *session, struct speckv_stats *ret_stats);

/* The library's version and the instruction set its decoders use, e.g. "1.0 AVX2". */
const char *speckv_version(void);

#ifdef __cplusplus
}
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
#endif

#include "speckv/ahead.h"
#endif
