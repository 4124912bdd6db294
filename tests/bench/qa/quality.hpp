// SPDX-License-Identifier: Apache-2.0
// quality.hpp - what a preset costs in quality: teacher-forced KL divergence and same top-1 against
// `exact`.
//
// How: a document's blocks are put once and computed by the engine once. Then, window by window of
// one block, the engine gets all blocks before the window back from the store and computes the
// window's own tokens. Every earlier token's KV went through the preset; both distributions saw the
// same text. Standard errors are over windows, since positions of one window are not independent.
// Who calls it: main.cpp, after the timed turns.
#pragma once

#include <cstdint>
#include <vector>

#include "engine.hpp"
#include "store.hpp"
#include "workload.hpp"

namespace speckv::qa {

struct Quality {
  double kld_mean = 0, kld_se = 0;    // nats
  double top1_same = 0, top1_se = 0;  // 0..1
  uint32_t positions = 0;
};

// Returns: one Quality a store, against reference, which holds the same blocks under preset exact.
std::vector<Quality> measure_quality(const Workload& load, Context& context, Store& reference,
                                     const std::vector<Store*>& stores);

}  // namespace speckv::qa
