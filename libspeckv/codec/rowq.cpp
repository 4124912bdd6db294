// SPDX-License-Identifier: Apache-2.0
// rowq.cpp - rowq of one page, for now by the golden model; its vector form follows.
#include "codec/rowq.hpp"
#include "codec/golden.hpp"
namespace speckv::codec {
bool rowq_encode(int bits, const PageShape& shape, const ConstView& in, std::byte* out, ptrdiff_t) {
  return golden::rowq_encode(bits, shape, in, out) == Refusal::none;
}
void rowq_decode(int bits, const PageShape& shape, const std::byte* in, const View& out, bool) {
  golden::rowq_decode(bits, shape, in, out);
}
}  // namespace speckv::codec
