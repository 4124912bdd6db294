// SPDX-License-Identifier: Apache-2.0
// registry.hpp - the one table of codecs. A new codec is its own files and one line in codec.cpp.
//
// Called by codec.cpp and segment.cpp only; everybody else goes through codec.hpp.
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec {

struct CodecEntry {
  CodecId id;
  std::string_view name;
  size_t (*bytes)(CodecId id, const PageShape& shape);
  Refusal (*encode)(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                    const ChanTable* table);
  void (*decode)(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                 const ChanTable* table, bool stream);
};

// Returns: nullptr when this build has no such codec.
const CodecEntry* find_codec(CodecId id);

}  // namespace speckv::codec
