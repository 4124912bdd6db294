// SPDX-License-Identifier: Apache-2.0
// library_layout.hpp - a layout as a session of the library keeps it, with equal widths alone.
#pragma once

#include "src/session.hpp"

namespace speckv::sim {

void fill_layout(const speckv_layout& layout, lib::LayoutInfo* ret_info);

}  // namespace speckv::sim
