// SPDX-License-Identifier: Apache-2.0
// raw.hpp - raw: the page's values in page order, token by token, unchanged; any dtype.
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec {

constexpr size_t value_bytes(uint8_t dtype) { return dtype == SPECKV_DTYPE_F8 ? 1 : 2; }

void raw_encode(const PageShape& shape, const ConstView& in, std::byte* out);
void raw_decode(const PageShape& shape, const std::byte* in, const View& out);

}  // namespace speckv::codec
