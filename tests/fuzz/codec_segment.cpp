// SPDX-License-Identifier: Apache-2.0
// fuzz codec_segment: any layout and any stored bytes. Decoding stays inside its buffers, and a
// segment that encodes decodes under the same checksum.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "codec/segment.hpp"

using namespace speckv::codec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = data[0] % 5;
  layout.layers = 1;
  layout.kv_heads = data[1] % 5;
  layout.head_dim = data[2] % 2 == 0 ? data[2] : data[2] / 16 * 16;
  layout.page_tokens = data[3] % 4 == 0 ? data[3] : 16u << data[3] % 3;
  layout.block_tokens = layout.page_tokens * (data[4] % 4);
  Preset preset;
  if (!preset_for(layout, data[5] % 8, &preset)) return 0;
  const bool first = data[6] % 2 != 0, transposed = data[6] % 4 >= 2;
  const size_t bytes = segment_bytes(layout, preset, first);
  if (bytes == 0) std::abort();  // preset_for() names codecs that take the pages

  const ptrdiff_t value = layout.dtype == SPECKV_DTYPE_F8 ? 1 : 2, d = layout.head_dim,
                  t = layout.block_tokens;
  const size_t plane_bytes = size_t(value * d * t) * layout.kv_heads;
  const ptrdiff_t token = transposed ? value : value * d, channel = transposed ? value * t : value;
  std::vector<std::byte> stored(bytes), k(plane_bytes), v(plane_bytes);
  for (size_t i = 0; i < bytes; ++i) stored[i] = std::byte(data[i % size]);
  for (size_t i = 0; i < plane_bytes; ++i) k[i] = v[i] = std::byte(data[(i + 7) % size]);
  uint64_t checksum = 0;
  const SegmentView in{{k.data(), token, value * d * t, channel},
                       {v.data(), token, value * d * t, channel}};
  const bool encoded =
      encode_segment(layout, preset, 0, first, in, stored, &checksum) == Refusal::none;
  const SegmentOut out{{k.data(), token, value * d * t, channel},
                       {v.data(), token, value * d * t, channel}};
  const uint64_t seen = decode_segment(layout, preset, 0, first, stored, out, data[7] % 2 != 0);
  if (encoded && seen != checksum) std::abort();
  return 0;
}
