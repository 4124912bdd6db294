// SPDX-License-Identifier: Apache-2.0
// page.cpp - speckv_alloc, _page_views, _append, _seal, _release: KV that grows where the daemon
// will read it.
//
// A call that fails leaves the page as it was, and the caller's: it seals again or releases. Memory
// of a page whose daemon is gone stays writable until then, and its seal says -ECONNRESET.
#include <cerrno>

#include "src/block.hpp"
#include "src/connect.hpp"
#include "src/views.hpp"

namespace speckv::lib {
namespace {

OpenBlock* find_page(const Call& call) {
  return block_at(call.session(), call.block(), call.block_generation(), BlockKind::page);
}

speckv_view view_at(std::byte* base, const speckv_layout& layout) {
  const auto value_bytes = int64_t(speckv::shm::value_bytes(layout));
  const int64_t token_stride = layout.head_dim * value_bytes;
  return {base, token_stride, layout.block_tokens * token_stride, value_bytes};
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_alloc(speckv_session* handle, uint32_t layout,
                            struct speckv_page** ret_page) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  if (!ret_page) return -EINVAL;
  maintain(session);
  Locked rings(session.rings);
  uint32_t index = 0;
  const int result = block_begin(session, layout, *info, BlockKind::page, &index);
  if (result != 0) return result;
  *ret_page = page_handle(call.slot(), index, session.blocks[index].generation);
  return 0;
}

extern "C" int speckv_page_views(struct speckv_page* page, speckv_view* ret_views, uint32_t views) {
  Call call(page);
  if (call.result() != 0) return call.result();
  if (!ret_views) return -EINVAL;
  Locked rings(call.session().rings);
  const OpenBlock* block = find_page(call);
  if (!block) return -EBADF;
  const LayoutInfo& info = *block->info;
  const uint32_t planes = 2 * info.layout.layers;
  if (views != 2 * speckv::shm::buf_layers(info.layout)) return -ERANGE;
  std::byte* base = block_base(*block);
  for (uint32_t i = 0; i < planes; i++)
    ret_views[i] = view_at(base + i * info.half_bytes, info.layout);
  if (views > planes) {
    ret_views[planes] = {base + planes * info.half_bytes, int64_t(info.layout.side_bytes), 0, 1};
    ret_views[planes + 1] = {};
  }
  return 0;
}

extern "C" int speckv_append(struct speckv_page* page, uint32_t tokens) {
  Call call(page);
  if (call.result() != 0) return call.result();
  Locked rings(call.session().rings);
  OpenBlock* block = find_page(call);
  if (!block) return -EBADF;
  if (tokens > block->info->layout.block_tokens - block->tokens) return -ERANGE;
  block->tokens += tokens;
  return int(block->tokens);
}

extern "C" int speckv_seal(struct speckv_page* page, const uint8_t key[SPECKV_KEY_BYTES],
                           const speckv_meta* meta, uint64_t user_data) {
  Call call(page);
  if (call.result() != 0) return call.result();
  Meta checked;
  if (!key || set_meta(meta, &checked) != 0) return -EINVAL;
  Session& session = call.session();
  maintain(session);
  const Pin connection(session);
  uint32_t shard = 0;
  {
    Locked rings(session.rings);
    OpenBlock* block = find_page(call);
    if (!block) return -EBADF;
    if (block_lost(session, *block)) return -ECONNRESET;
    if (block->tokens != block->info->layout.block_tokens) return -ENODATA;
    block->key = speckv::Key::from(key);
    block->meta = checked;
    const int result = block_submit(session, call.block(), user_data, &shard);
    if (result != 0) return result;
  }
  ring_doorbell(*connection, shard);
  return 0;
}

extern "C" int speckv_release(struct speckv_page* page) {
  Call call(page);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  Locked rings(session.rings);
  if (!find_page(call)) return -EBADF;
  block_end(session, call.block(), false);
  return 0;
}
