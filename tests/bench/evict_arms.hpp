// SPDX-License-Identifier: Apache-2.0
// evict_arms.hpp - eviction policies for comparison only: they know what no daemon can.
//
// What it is: factories for TierConfig::make_pool_policy.
//   belady     evicts what is asked for last, by the times at which nothing stalls
//   tail-lru   tail-optimised LRU: of each conversation, as many of the last blocks as may be
//   missing
//              within the allowed stall go first, in LRU order; then plain LRU. It is told where
//              each conversation ends.
// Who calls it: suite_speculate.cpp, tests/unit/predict.
#pragma once

#include <memory>

#include "predict/policy.hpp"
#include "sessions.hpp"

namespace speckv::bench {

std::unique_ptr<predict::EvictionPolicy> make_belady(const SessionTrace& trace, uint32_t capacity);
// spare_blocks: what the link moves within the allowed stall.
std::unique_ptr<predict::EvictionPolicy> make_tail_lru(const SessionTrace& trace, uint32_t capacity,
                                                       uint32_t spare_blocks);

}  // namespace speckv::bench
