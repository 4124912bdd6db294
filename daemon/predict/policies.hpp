// SPDX-License-Identifier: Apache-2.0
// policies.hpp - the makers that registry.cpp knows; private to this folder.
#pragma once

#include <memory>

#include "predict/policy.hpp"

namespace speckv::predict {

std::unique_ptr<EvictionPolicy> make_continuation(uint32_t capacity, uint32_t ghosts_min);
std::unique_ptr<EvictionPolicy> make_lru(uint32_t capacity, uint32_t ghosts_min);
std::unique_ptr<EvictionPolicy> make_s3fifo(uint32_t capacity, uint32_t ghosts_min);

}  // namespace speckv::predict
