// SPDX-License-Identifier: Apache-2.0
// allocations.hpp - how often operator new ran in this process; replaced in allocations.cpp.
#pragma once

#include <cstddef>

namespace speckv::predict {

size_t allocations();

}  // namespace speckv::predict
