// SPDX-License-Identifier: Apache-2.0
// views.hpp - checks the caller's scatter lists and batches before anything is read or written
// through them.
//
// Pure functions; any thread.
#pragma once

#include <cerrno>
#include <cstring>

#include "src/session.hpp"

namespace speckv::lib {

// Returns: 0, -ENODATA, -E2BIG or -EINVAL.
inline int check_batch(const void* items, unsigned count) {
  if (count == 0) return -ENODATA;
  if (count > SPECKV_BATCH_MAX) return -E2BIG;
  return items ? 0 : -EINVAL;
}

// Whether a struct that begins with its size can be read as we know it: what a caller's later
// header has beyond must not be wanted.
template <typename Struct>
bool grown_struct_fits(const Struct& given) {
  if (given.size < sizeof given || given.size > args_bytes_max) return false;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&given);
  for (uint32_t i = sizeof given; i < given.size; i++)
    if (bytes[i]) return false;
  return true;
}

// Returns: result, after a call that fails as a whole has told each of its ops so. A batch whose
// count is no batch's is not touched.
template <typename Operation>
int told(int result, Operation* ops, unsigned count) {
  if (result >= 0 || !ops || count > SPECKV_BATCH_MAX) return result;
  for (unsigned i = 0; i < count; i++) ops[i].ret_result = result;
  return result;
}
// The same of hits: none.
inline int told(int result, uint8_t* ret_hits, unsigned count) {
  if (result < 0 && ret_hits && count <= SPECKV_BATCH_MAX) std::memset(ret_hits, 0, count);
  return result;
}

// odd_bits: those that a multiple of the value's size does not have.
inline bool stride_possible(int64_t stride, uint32_t extent, int64_t odd_bits) {
  if (stride & odd_bits) return false;
  return extent <= 1 || (stride != 0 && stride < stride_bytes_max && stride > -stride_bytes_max);
}

// Whether a buf that passed the check of its layers has the side bytes, which are its last then.
inline bool has_side(const LayoutInfo& info, const speckv_buf& buf) {
  return buf.layer_first + buf.layer_count > info.layout.layers;
}
inline bool is_whole(const LayoutInfo& info, const speckv_buf& buf) {
  return buf.layer_first == 0 && buf.layer_count == shm::buf_layers(info.layout);
}
// base, and as token_stride the number of bytes.
inline bool is_side_view(const speckv_layout& layout, const speckv_view& view) {
  return view.base && view.token_stride == int64_t(layout.side_bytes);
}

// Returns: 0, -ERANGE (layers) or -EINVAL (strides, pointers).
inline int check_buf(const LayoutInfo& info, const speckv_buf& buf) {
  const speckv_layout& layout = info.layout;
  const uint32_t layers = shm::buf_layers(layout);
  if (buf.layer_count == 0 || buf.layer_first >= layers ||
      buf.layer_count > layers - buf.layer_first)
    return -ERANGE;
  if (!buf.views) return -EINVAL;
  const bool side = has_side(info, buf);
  if (side && !is_side_view(layout, buf.views[2 * (buf.layer_count - 1)])) return -EINVAL;
  const int64_t odd_bits = int64_t(shm::value_bytes(layout)) - 1;  // 1 or 2 bytes
  for (uint32_t i = 0; i < 2 * (buf.layer_count - side); i++) {
    const speckv_view& view = buf.views[i];
    if (!view.base || (int64_t(reinterpret_cast<uintptr_t>(view.base)) & odd_bits)) return -EINVAL;
    if (!stride_possible(view.token_stride, layout.block_tokens, odd_bits) ||
        !stride_possible(view.head_stride, layout.kv_heads, odd_bits) ||
        !stride_possible(view.channel_stride, layout.head_dim, odd_bits))
      return -EINVAL;
  }
  return 0;
}

// The layout that a caller's number means, or nullptr.
inline const LayoutInfo* find_layout(const Session& session, uint32_t layout) {
  return layout < session.layouts_count.load(std::memory_order_acquire) ? &session.layouts[layout]
                                                                        : nullptr;
}

}  // namespace speckv::lib
