// SPDX-License-Identifier: Apache-2.0
// chanq.cpp - chanq of one page, for now by the golden model; its vector form follows.
#include "codec/chanq.hpp"
#include "codec/golden.hpp"
namespace speckv::codec {
bool chanq_encode(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                  const ChanTable& t, ptrdiff_t) {
  return golden::chanq_encode(id, shape, in, out, t) == Refusal::none;
}
void chanq_decode(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                  const ChanTable& t, bool) {
  golden::chanq_decode(id, shape, in, out, t);
}
}  // namespace speckv::codec
