/* SPDX-License-Identifier: Apache-2.0 */
/*
 * old_client.c - a program that was built when the library was 1.0: it knows no header of today,
 * only the structs and calls below as they were released. old_client_test runs it against the
 * library of today and a daemon.
 *
 * How: each struct that the library writes lies before a fence, which must stand afterwards, and
 * operations and completions lie in arrays, whose strides are 1.0's. Nothing below ever changes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 32, LAYERS = 4, HEADS = 2, HEAD_DIM = 64, TOKENS = 32, BLOCKS = 8 };

struct open_args {
  uint32_t size, flags;
  const char *socket_path, *namespace_name;
  uint64_t arena_bytes;
  uint32_t timeout_ms;
  int32_t daemon_uid;
  uint64_t reserved[4];
};
struct layout {
  uint32_t size, dtype, layers, kv_heads, head_dim, block_tokens, page_tokens, rank, world, rope;
  uint32_t rope_dims, preset;
  uint8_t weights_digest[32], variant_digest[32];
  float rope_theta[256];
  uint32_t first_layer, reserved_word;
  uint64_t reserved[3];
};
struct completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
};
struct view {
  void* base;
  int64_t token_stride, head_stride, channel_stride;
};
struct buf {
  uint32_t layer_first, layer_count;
  const struct view* views;
};
struct meta {
  uint8_t parent[KEY];
  uint32_t position, reserved;
};
struct get_op {
  uint8_t key[KEY];
  struct buf buf;
  int32_t ret_result;
  uint32_t flags;
};
struct put_op {
  uint8_t key[KEY];
  struct buf buf;
  struct meta meta;
  uint64_t user_data;
  int32_t ret_result;
  uint32_t flags;
};
struct change {
  uint8_t id[KEY];
  uint32_t kind, reserved;
};
struct cursor {
  uint32_t size, reserved_word;
  uint64_t epoch, lost, next[64];
};
struct stats {
  uint32_t size, connected;
  uint64_t hits, misses, bytes_read, retries, stale, corrupt, foreign, puts, put_bytes, reconnects;
  uint64_t pool_bytes, pool_page_bytes;
};

struct session;
int speckv_open(const struct open_args* args, struct session** ret_session);
void speckv_close(struct session* session);
int speckv_layout_register(struct session* session, const struct layout* layout, uint32_t* ret);
int speckv_key_chain(const uint8_t* parent, const void* salt, size_t salt_bytes,
                     const int32_t* tokens, size_t count, uint8_t ret_key[KEY]);
int speckv_put(struct session* session, uint32_t layout, struct put_op* ops, unsigned count);
int speckv_get(struct session* session, uint32_t layout, struct get_op* ops, unsigned count);
int speckv_exists(struct session* session, uint32_t layout, const uint8_t (*keys)[KEY],
                  unsigned count, uint8_t* ret_hits);
int speckv_hold(struct session* session, uint32_t layout, const uint8_t (*keys)[KEY],
                unsigned count, uint64_t ttl_ns, uint64_t timeout_ns, uint8_t* ret_hits,
                uint64_t* ret_hold);
int speckv_unhold(struct session* session, uint64_t hold);
int speckv_prefetch(struct session* session, uint32_t layout, const uint8_t (*keys)[KEY],
                    unsigned count);
int speckv_remove(struct session* session, uint32_t layout, const uint8_t (*keys)[KEY],
                  unsigned count, uint64_t user_data);
int speckv_reap(struct session* session, struct completion* ret_completions, unsigned max);
int speckv_wait(struct session* session, uint64_t timeout_ns);
int speckv_changes(struct session* session, struct cursor* cursor, struct change* ret,
                   unsigned max);
int speckv_stats(struct session* session, struct stats* ret_stats);
const char* speckv_version(void);

/* What the library writes, and a fence behind each. */
#define FENCE 0xf1f1f1f1f1f1f1f1ull
static struct {
  struct completion completions[BLOCKS];
  uint64_t fence0[16];
  struct stats stats;
  uint64_t fence1[16];
  struct cursor cursor;
  uint64_t fence2[16];
  struct change changes[BLOCKS];
  uint64_t fence3[16];
  struct put_op puts[BLOCKS];
  uint64_t fence4[16];
  struct get_op gets[BLOCKS + 1];
  uint64_t fence5[16];
} it;

static uint16_t written[BLOCKS][2 * LAYERS][TOKENS][HEADS][HEAD_DIM];
static uint16_t loaded[BLOCKS + 1][2 * LAYERS][TOKENS][HEADS][HEAD_DIM];
static struct view put_views[BLOCKS][2 * LAYERS], get_views[BLOCKS + 1][2 * LAYERS];
static uint8_t keys[BLOCKS + 1][KEY];
static int checks;

static void want(const char* what, long long is, long long wanted) {
  checks++;
  if (is == wanted) return;
  printf("%s is %lld, was %lld in 1.0\n", what, is, wanted);
  exit(1);
}

static void check_fences(const char* after) {
  const uint64_t* fences[] = {it.fence0, it.fence1, it.fence2, it.fence3, it.fence4, it.fence5};
  for (size_t i = 0; i < 6; i++)
    for (size_t j = 0; j < 16; j++) want(after, fences[i][j] == FENCE, 1);
}

static struct buf buf_of(uint16_t block[2 * LAYERS][TOKENS][HEADS][HEAD_DIM], struct view* views) {
  const struct buf buf = {0, LAYERS, views};
  for (int i = 0; i < 2 * LAYERS; i++) {
    views[i].base = block[i];
    views[i].token_stride = sizeof(block[0][0]);
    views[i].head_stride = sizeof(block[0][0][0]);
    views[i].channel_stride = sizeof(uint16_t);
  }
  return buf;
}

/* Waits for `count` completions whose user data are first, first + 1 ... of step `step`. */
static void reap_all(struct session* session, int count, uint64_t first, uint64_t step) {
  uint64_t sum = 0, sum_wanted = 0;
  for (int have = 0; have < count;) {
    const int n = speckv_reap(session, it.completions, BLOCKS);
    want("speckv_reap", n >= 0, 1);
    for (int i = 0; i < n; i++) {
      want("a completion's result", it.completions[i].result, 0);
      want("a completion's flags", it.completions[i].flags, 0);
      sum += it.completions[i].user_data;
    }
    have += n;
    if (have < count) want("speckv_wait", speckv_wait(session, 20000000000ull), 0);
  }
  for (int i = 0; i < count; i++) sum_wanted += first + step * (uint64_t)i;
  want("the user data of all completions, added up", (long long)sum, (long long)sum_wanted);
}

static uint32_t begin(struct session** ret_session) {
  struct open_args args = {.size = sizeof(args), .daemon_uid = -1};
  struct layout layout = {.size = sizeof(layout), .dtype = 1, .layers = LAYERS};
  uint32_t number = 0;
  layout.kv_heads = HEADS;
  layout.head_dim = HEAD_DIM;
  layout.block_tokens = layout.page_tokens = TOKENS;
  layout.world = 1;
  layout.preset = 1; /* exact */
  want("speckv_open", speckv_open(&args, ret_session), 0);
  want("speckv_layout_register", speckv_layout_register(*ret_session, &layout, &number), 0);
  it.cursor.size = sizeof(it.cursor);
  want("speckv_changes", speckv_changes(*ret_session, &it.cursor, it.changes, BLOCKS), -75);
  return number;
}

static void put_all(struct session* session, uint32_t layout) {
  for (int i = 0; i < BLOCKS; i++) {
    const struct put_op op = {.buf = buf_of(written[i], put_views[i]),
                              .user_data = 100 + (uint64_t)i};
    it.puts[i] = op;
    memcpy(it.puts[i].key, keys[i], KEY);
    if (i > 0) memcpy(it.puts[i].meta.parent, keys[i - 1], KEY);
    it.puts[i].meta.position = (uint32_t)(i * TOKENS);
  }
  want("speckv_put", speckv_put(session, layout, it.puts, BLOCKS), BLOCKS);
  for (int i = 0; i < BLOCKS; i++) want("a put's result", it.puts[i].ret_result, 0);
  reap_all(session, BLOCKS, 100, 1);
}

static void get_all(struct session* session, uint32_t layout) {
  for (int i = 0; i <= BLOCKS; i++) {
    const struct get_op op = {.buf = buf_of(loaded[i], get_views[i]), .ret_result = 1};
    it.gets[i] = op;
    memcpy(it.gets[i].key, keys[i], KEY);
  }
  want("speckv_get", speckv_get(session, layout, it.gets, BLOCKS + 1), BLOCKS);
  for (int i = 0; i < BLOCKS; i++) want("a get's result", it.gets[i].ret_result, 0);
  want("a miss's result", it.gets[BLOCKS].ret_result, -2);
  want("what was read", memcmp(written, loaded, sizeof(written)), 0);
}

static void ask_all(struct session* session, uint32_t layout) {
  uint8_t hits[BLOCKS + 1];
  uint64_t hold = 0;
  want("speckv_exists", speckv_exists(session, layout, keys, BLOCKS + 1, hits), BLOCKS);
  want("speckv_hold", speckv_hold(session, layout, keys, 2, 1000000000, 20000000000, hits, &hold),
       2);
  want("speckv_unhold", speckv_unhold(session, hold), 0);
  want("speckv_prefetch", speckv_prefetch(session, layout, keys, BLOCKS), BLOCKS);
  want("speckv_changes", speckv_changes(session, &it.cursor, it.changes, BLOCKS), BLOCKS);
  for (int i = 0; i < BLOCKS; i++) want("a change's kind", it.changes[i].kind, 1);
  it.stats.size = sizeof(it.stats);
  want("speckv_stats", speckv_stats(session, &it.stats), 0);
  want("stats.size", it.stats.size, sizeof(it.stats));
  want("stats.connected", it.stats.connected, 1);
  want("stats.hits", (long long)it.stats.hits, BLOCKS);
  want("stats.misses", (long long)it.stats.misses, 1);
  want("stats.puts", (long long)it.stats.puts, BLOCKS);
  want("stats.pool_page_bytes", it.stats.pool_page_bytes >= 4096, 1);
}

int main(void) {
  struct session* session = NULL;
  int32_t tokens[TOKENS] = {7};
  uint64_t* words = (uint64_t*)&it;
  for (size_t i = 0; i < sizeof(it) / sizeof(*words); i++) words[i] = FENCE;
  memset(&it.cursor, 0, sizeof(it.cursor));
  for (size_t i = 0; i < sizeof(written) / 2; i++)
    ((uint16_t*)written)[i] = (uint16_t)(i * 2654435761u >> 7 & 0x3bff); /* finite halves */
  for (int i = 0; i <= BLOCKS; i++)
    want("speckv_key_chain",
         speckv_key_chain(i ? keys[i - 1] : NULL, NULL, 0, tokens, TOKENS, keys[i]), 0);

  const uint32_t layout = begin(&session);
  put_all(session, layout);
  check_fences("the fence behind a struct after put");
  get_all(session, layout);
  check_fences("the fence behind a struct after get");
  ask_all(session, layout);
  check_fences("the fence behind a struct after exists, hold, changes and stats");
  want("speckv_remove", speckv_remove(session, layout, keys, 3, 9), 3);
  reap_all(session, 3, 9, 0);
  want("speckv_get after remove", speckv_get(session, layout, it.gets, BLOCKS), BLOCKS - 3);
  check_fences("the fence behind a struct after remove");
  printf("%d checks; built as 1.0, run with %s\n", checks, speckv_version());
  speckv_close(session);
  return 0;
}
