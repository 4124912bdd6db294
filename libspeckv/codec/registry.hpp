// SPDX-License-Identifier: Apache-2.0
// registry.hpp - the one table of codecs. A new codec is its own files and one line in codec.cpp.
//
// Called by codec.cpp and segment.cpp only; everybody else goes through codec.hpp.
#pragma once

#include "codec/codec.hpp"

namespace speckv::codec {

// What the caller knows beyond one page. `next_page`: the distance in bytes from this page's values
// to those encoded next, for prefetching; 0: not known. `stream`: non-temporal stores where the
// output allows them.
struct EncodeHints {
  ptrdiff_t next_page = 0;
};
struct DecodeHints {
  bool stream = false;
};

struct CodecEntry {
  CodecId id;
  std::string_view name;
  size_t (*bytes)(CodecId id, const PageShape& shape);
  Refusal (*encode)(CodecId id, const PageShape& shape, const ConstView& in, std::byte* out,
                    const ChanTable* table, const EncodeHints& hints);
  void (*decode)(CodecId id, const PageShape& shape, const std::byte* in, const View& out,
                 const ChanTable* table, const DecodeHints& hints);
  // encode() may be given values that change while it runs: it then makes some page of values that
  // were there. True where nothing that is read twice decides an index, a length or a branch.
  bool takes_changing;
  // decode() takes longer than its input does on its way from memory.
  bool slow;
};

// Returns: nullptr when this build has no such codec.
const CodecEntry* find_codec(CodecId id);

}  // namespace speckv::codec
