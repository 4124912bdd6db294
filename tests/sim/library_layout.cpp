// SPDX-License-Identifier: Apache-2.0
// library_layout.cpp - the library's own layout.cpp, with a door to what it works out of a layout.
#include "library_layout.hpp"

#include "src/layout.cpp"

namespace speckv::sim {

void fill_layout(const speckv_layout& layout, lib::LayoutInfo* ret_info) {
  lib::fill_info(layout, ret_info);
  ret_info->widths[0] = {shm::layout_fingerprint(layout), nullptr};
  ret_info->widths_count.store(1);
}

}  // namespace speckv::sim
