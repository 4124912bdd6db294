// SPDX-License-Identifier: Apache-2.0
// copy.hpp - the write station: the caller's strided K or V into canonical order,
// [head][token][channel] without gaps.
//
// Pure functions on memory. Whole rows move with wide copies, transposed V in 8 x 8 tiles, anything
// else value by value. stream: around the caches, for blocks that another core will read; end with
// copy_fence() before publishing.
#pragma once

#include <cstddef>

#include "src/abi.hpp"

namespace speckv::lib {

// Requires: to has heads*tokens*head_dim values; the view passed check_buf().
void copy_plane(std::byte* to, const speckv_view& from, const speckv_layout& layout, bool stream);
void copy_fence();

}  // namespace speckv::lib
