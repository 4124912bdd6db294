// SPDX-License-Identifier: Apache-2.0
#include "codec/raw.hpp"

#include "codec/strided.hpp"

namespace speckv::codec {

void raw_encode(const PageShape& shape, const ConstView& in, std::byte* out) {
  gather(shape, in, 0, shape.values(), out);
}

void raw_decode(const PageShape& shape, const std::byte* in, const View& out) {
  scatter(shape, in, 0, shape.values(), out);
}

}  // namespace speckv::codec
