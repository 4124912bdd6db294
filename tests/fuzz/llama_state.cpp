// SPDX-License-Identifier: Apache-2.0
// Fuzzes the llama.cpp adapter's parser: no bytes may crash it, and what it accepts must be
// readable at every view and be exactly what lay_out_state() would have written around the same K
// and V.
#include "llama/state.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using namespace speckv::llama;

namespace {

// Touches the first and last value of a view's whole range; AddressSanitizer judges.
unsigned touch(const speckv_view& view, const StateMap& map) {
  const StateShape& shape = map.shape();
  const auto* first = static_cast<const unsigned char*>(view.base);
  const auto* last = first + int64_t(map.tokens() - 1) * view.token_stride +
                     int64_t(shape.kv_heads - 1) * view.head_stride +
                     int64_t(shape.head_dim - 1) * view.channel_stride;
  return first[0] + last[1];
}

// Laying out the same shape must give the same places and, after K and V are copied over, a blob
// that parses alike.
void round_trip(const StateMap& map, std::vector<std::byte>& blob) {
  std::vector<std::byte> again(state_bytes(map.shape(), map.tokens()));
  StateMap laid;
  std::string why;
  if (again.size() != blob.size()) std::abort();
  if (!lay_out_state(map.shape(), map.first_position(), map.tokens(), again, &laid, &why)) {
    std::abort();
  }
  StateMap parsed;
  if (!parse_state(again, map.shape().kv_heads, &parsed, &why)) std::abort();
  if (!(parsed.shape() == map.shape()) || parsed.tokens() != map.tokens()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const uint32_t kv_heads = data[0];
  std::vector<std::byte> blob(size - 1);
  if (size > 1) std::memcpy(blob.data(), data + 1, size - 1);
  StateMap map;
  std::string why;
  uint32_t tokens = 0;
  (void)speckv::llama::state_tokens(blob, &tokens, &why);
  if (!speckv::llama::sort_state(blob, kv_heads, &map, &why)) {
    if (why.empty()) std::abort();
    return 0;
  }
  if (map.tokens() == 0) return 0;
  unsigned sum = 0;
  for (uint32_t layer = 0; layer < map.shape().layers; ++layer) {
    sum += touch(map.k(layer, 0), map) + touch(map.v(layer, 0), map);
  }
  round_trip(map, blob);
  return sum == 0xffffffff;
}
