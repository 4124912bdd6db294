// SPDX-License-Identifier: Apache-2.0
// put_parts.cpp - speckv_put_begin, _layers, _commit, _abort: a block layer by layer, invisible
// until commit.
//
// A call that fails leaves the put as it was, and the caller's: it commits again or aborts. Two
// threads may copy different layers of one put at the same time.
#include <bit>
#include <cerrno>

#include "src/block.hpp"
#include "src/connect.hpp"
#include "src/views.hpp"
#include "src/write_block.hpp"

namespace speckv::lib {
namespace {

// Marks the layers of buf as this call's. Returns: 0, or -EINVAL when one was given before.
int claim_layers(OpenBlock& block, const speckv_buf& buf) {
  const uint32_t end = buf.layer_first + buf.layer_count;
  for (uint32_t layer = buf.layer_first; layer < end; layer++)
    if (block.layers_claimed[layer / 64] >> (layer % 64) & 1) return -EINVAL;
  for (uint32_t layer = buf.layer_first; layer < end; layer++)
    block.layers_claimed[layer / 64] |= uint64_t{1} << (layer % 64);
  block.copiers++;
  return 0;
}

int begin_copy(const Call& call, const speckv_buf& buf, OpenBlock** ret_block) {
  Session& session = call.session();
  Locked rings(session.rings);
  OpenBlock* block = block_at(session, call.block(), call.block_generation(), BlockKind::put);
  if (!block) return -EBADF;
  const int checked = check_buf(*block->info, buf);
  if (checked != 0) return checked;
  if (block_lost(session, *block)) return -ECONNRESET;
  *ret_block = block;
  return claim_layers(*block, buf);
}

void end_copy(const Call& call, const speckv_buf& buf, OpenBlock& block) {
  Locked rings(call.session().rings);
  block.copiers--;
  block.layers_left -= buf.layer_count;
  if (block.dying && block.copiers == 0) block_end(call.session(), call.block(), false);
}

}  // namespace
}  // namespace speckv::lib

using namespace speckv::lib;

extern "C" int speckv_put_begin(speckv_session* handle, uint32_t layout,
                                const uint8_t key[SPECKV_KEY_BYTES], const speckv_meta* meta,
                                struct speckv_put** ret_put) {
  Call call(handle);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  const LayoutInfo* info = find_layout(session, layout);
  if (!info) return -EBADF;
  Meta checked;
  if (!key || !ret_put || set_meta(meta, &checked) != 0) return -EINVAL;
  maintain(session);
  Locked rings(session.rings);
  uint32_t index = 0;
  const int result = block_begin(session, layout, *info, BlockKind::put, &index);
  if (result != 0) return result;
  OpenBlock& block = session.blocks[index];
  block.key = speckv::Key::from(key);
  block.meta = checked;
  *ret_put = put_handle(call.slot(), index, block.generation);
  return 0;
}

extern "C" int speckv_put_layers(struct speckv_put* put, const speckv_buf* buf) {
  Call call(put);
  if (call.result() != 0) return call.result();
  if (!buf) return -EINVAL;
  OpenBlock* block = nullptr;
  const int result = begin_copy(call, *buf, &block);
  if (result != 0) return result;
  copy_layers(block_base(*block), *block->info, *buf);  // block stays: copiers counts us
  end_copy(call, *buf, *block);
  return 0;
}

extern "C" int speckv_put_commit(struct speckv_put* put, uint64_t user_data) {
  Call call(put);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  maintain(session);
  const Pin connection(session);
  uint32_t shard = 0;
  {
    Locked rings(session.rings);
    const OpenBlock* block =
        block_at(session, call.block(), call.block_generation(), BlockKind::put);
    if (!block) return -EBADF;
    if (block_lost(session, *block)) return -ECONNRESET;
    if (block->layers_left != 0) return -ENODATA;
    const int result = block_submit(session, call.block(), user_data, &shard);
    if (result != 0) return result;
  }
  ring_doorbell(*connection, shard);
  return 0;
}

extern "C" int speckv_put_abort(struct speckv_put* put) {
  Call call(put);
  if (call.result() != 0) return call.result();
  Session& session = call.session();
  Locked rings(session.rings);
  OpenBlock* block = block_at(session, call.block(), call.block_generation(), BlockKind::put);
  if (!block) return -EBADF;
  if (block->copiers != 0) block->dying = true;
  else block_end(session, call.block(), false);
  return 0;
}
