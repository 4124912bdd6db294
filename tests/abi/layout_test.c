/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout_test.c - proves that the structs of the C ABI keep their sizes and offsets, in C11 and
 * in C++20.
 *
 * How: each number below was written down when the struct was first released; a struct that grows
 * gets new lines, and lines that exist never change (that would be a new SPECKV_VERSION_MAJOR).
 * layout_cxx_test.cpp compiles this same file as C++.
 */
#include <stddef.h>
#include <stdio.h>

#include "speckv/layout.h"
#include "speckv/speckv.h"

static int checked, wrong;

static void pin(const char* what, size_t is, size_t was) {
  checked++;
  if (is == was) return;
  wrong++;
  printf("%s is %zu, was released as %zu\n", what, is, was);
}

#define SIZE(type, was) pin("sizeof(struct " #type ")", sizeof(struct type), was)
#define AT(type, field, was) pin("offset of " #type "." #field, offsetof(struct type, field), was)
#define VALUE(name, was) pin(#name, (size_t)(name), was)

static void pin_layout(void) {
  SIZE(speckv_layout, 1168);
  AT(speckv_layout, size, 0);
  AT(speckv_layout, dtype, 4);
  AT(speckv_layout, layers, 8);
  AT(speckv_layout, kv_heads, 12);
  AT(speckv_layout, head_dim, 16);
  AT(speckv_layout, block_tokens, 20);
  AT(speckv_layout, page_tokens, 24);
  AT(speckv_layout, rank, 28);
  AT(speckv_layout, world, 32);
  AT(speckv_layout, rope, 36);
  AT(speckv_layout, rope_dims, 40);
  AT(speckv_layout, preset, 44);
  AT(speckv_layout, weights_digest, 48);
  AT(speckv_layout, variant_digest, 80);
  AT(speckv_layout, rope_theta, 112);
  AT(speckv_layout, first_layer, 1136);
  AT(speckv_layout, reserved, 1144);
}

static void pin_session(void) {
  SIZE(speckv_open_args, 72);
  AT(speckv_open_args, size, 0);
  AT(speckv_open_args, flags, 4);
  AT(speckv_open_args, socket_path, 8);
  AT(speckv_open_args, namespace_name, 16);
  AT(speckv_open_args, arena_bytes, 24);
  AT(speckv_open_args, timeout_ms, 32);
  AT(speckv_open_args, daemon_uid, 36);
  AT(speckv_open_args, reserved, 40);
  SIZE(speckv_change, 40);
  AT(speckv_change, id, 0);
  AT(speckv_change, kind, 32);
  AT(speckv_change, reserved, 36);
  SIZE(speckv_cursor, 536);
  AT(speckv_cursor, size, 0);
  AT(speckv_cursor, reserved_word, 4);
  AT(speckv_cursor, epoch, 8);
  AT(speckv_cursor, lost, 16);
  AT(speckv_cursor, next, 24);
  SIZE(speckv_completion, 16);
  AT(speckv_completion, user_data, 0);
  AT(speckv_completion, result, 8);
  AT(speckv_completion, flags, 12);
  SIZE(speckv_stats, 104);
  AT(speckv_stats, size, 0);
  AT(speckv_stats, connected, 4);
  AT(speckv_stats, hits, 8);
  AT(speckv_stats, misses, 16);
  AT(speckv_stats, bytes_read, 24);
  AT(speckv_stats, retries, 32);
  AT(speckv_stats, stale, 40);
  AT(speckv_stats, corrupt, 48);
  AT(speckv_stats, foreign, 56);
  AT(speckv_stats, puts, 64);
  AT(speckv_stats, put_bytes, 72);
  AT(speckv_stats, reconnects, 80);
  AT(speckv_stats, pool_bytes, 88);
  AT(speckv_stats, pool_page_bytes, 96);
}

static void pin_blocks(void) {
  SIZE(speckv_view, 32);
  AT(speckv_view, base, 0);
  AT(speckv_view, token_stride, 8);
  AT(speckv_view, head_stride, 16);
  AT(speckv_view, channel_stride, 24);
  SIZE(speckv_buf, 16);
  AT(speckv_buf, layer_first, 0);
  AT(speckv_buf, layer_count, 4);
  AT(speckv_buf, views, 8);
  SIZE(speckv_meta, 40);
  AT(speckv_meta, parent, 0);
  AT(speckv_meta, position, 32);
  AT(speckv_meta, kind, 36); /* released as reserved, and 0 */
  SIZE(speckv_get_op, 56);
  AT(speckv_get_op, key, 0);
  AT(speckv_get_op, buf, 32);
  AT(speckv_get_op, ret_result, 48);
  AT(speckv_get_op, flags, 52);
  SIZE(speckv_put_op, 104);
  AT(speckv_put_op, key, 0);
  AT(speckv_put_op, buf, 32);
  AT(speckv_put_op, meta, 48);
  AT(speckv_put_op, user_data, 88);
  AT(speckv_put_op, ret_result, 96);
  AT(speckv_put_op, flags, 100);
}

/* Since 1.1. */
static void pin_ahead(void) {
  SIZE(speckv_prefetch_args, 64);
  AT(speckv_prefetch_args, size, 0);
  AT(speckv_prefetch_args, tier, 4);
  AT(speckv_prefetch_args, deadline_ns, 8);
  AT(speckv_prefetch_args, budget_bytes, 16);
  AT(speckv_prefetch_args, user_data, 24);
  AT(speckv_prefetch_args, reserved, 32);
  SIZE(speckv_outcome, 8);
  AT(speckv_outcome, outcome, 0);
  AT(speckv_outcome, error, 4);
  SIZE(speckv_hint, 48);
  AT(speckv_hint, size, 0);
  AT(speckv_hint, kind, 4);
  AT(speckv_hint, returns_ns, 8);
  AT(speckv_hint, reserved, 16);
  VALUE(SPECKV_TIER_POOL, 0);
  VALUE(SPECKV_OUTCOME_ASKED, 0);
  VALUE(SPECKV_OUTCOME_ON_ITS_WAY, 1);
  VALUE(SPECKV_OUTCOME_READY, 2);
  VALUE(SPECKV_OUTCOME_CLIPPED, 3);
  VALUE(SPECKV_OUTCOME_REJECTED, 4);
  VALUE(SPECKV_OUTCOME_MISSING, 5);
  VALUE(SPECKV_KIND_UNKNOWN, 0);
  VALUE(SPECKV_KIND_SYSTEM, 1);
  VALUE(SPECKV_KIND_TOOL, 2);
  VALUE(SPECKV_KIND_CONVERSATION, 3);
  VALUE(SPECKV_KIND_SCRATCH, 4);
}

static void pin_values(void) {
  VALUE(SPECKV_KEY_BYTES, 32);
  VALUE(SPECKV_DIGEST_BYTES, 32);
  VALUE(SPECKV_LAYERS_MAX, 256);
  VALUE(SPECKV_BATCH_MAX, 65536);
  VALUE(SPECKV_POSITION_UNKNOWN, 0xffffffffu);
  VALUE(SPECKV_COMPLETION_EXISTED, 1);
  VALUE(SPECKV_GET_STREAM, 1);
  VALUE(SPECKV_DTYPE_F16, 1);
  VALUE(SPECKV_DTYPE_BF16, 2);
  VALUE(SPECKV_DTYPE_F8, 3);
  VALUE(SPECKV_ROPE_NONE, 0);
  VALUE(SPECKV_ROPE_INTERLEAVED, 1);
  VALUE(SPECKV_ROPE_HALF, 2);
  VALUE(SPECKV_PRESET_DAEMON, 0);
  VALUE(SPECKV_PRESET_EXACT, 1);
  VALUE(SPECKV_PRESET_Q8, 2);
  VALUE(SPECKV_PRESET_NEAR_LOSSLESS, 3);
  VALUE(SPECKV_PRESET_BALANCED, 4);
  VALUE(SPECKV_PRESET_COMPACT, 5);
  VALUE(SPECKV_PRESET_TIGHT, 6);
  VALUE(SPECKV_PRESET_LOSSLESS, 7);
}

int main(void) {
  pin_layout();
  pin_session();
  pin_blocks();
  pin_ahead();
  pin_values();
  printf("%d sizes, offsets and values checked, %d differ\n", checked, wrong);
  return wrong != 0;
}
