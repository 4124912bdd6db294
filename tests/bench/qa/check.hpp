// SPDX-License-Identifier: Apache-2.0
// check.hpp - are answers right? What a store brings back is compared with the engine's own
// restored state.
//
// Never with a cold run: computing other parts of a prompt in other batches rounds differently,
// with or without a store. So the reference restores llama.cpp's own saved state, cut at the same
// token, and computes the same rest. A control restores zeroed pages and must answer differently,
// or the check itself proves nothing. Who calls it: main.cpp, before anything is timed.
#pragma once

#include <string>
#include <vector>

#include "engine.hpp"
#include "store.hpp"
#include "workload.hpp"

namespace speckv::qa {

struct CheckResult {
  uint32_t sequences = 0;      // histories that were restored
  uint32_t bytes_equal = 0;    // ... whose K and V came back byte for byte
  uint32_t answers_equal = 0;  // ... whose answer was the engine's own
  uint32_t control_differs = 0;
  bool passed() const {
    return sequences > 0 && bytes_equal == sequences && answers_equal == sequences &&
           control_differs == sequences;
  }
  std::string sentence() const;
};

// Adds the result of `exact_store` on the first documents to *result. The store's preset must be
// exact.
void check_answers(const Workload& load, Context& context, const llama::StateShape& shape,
                   Store& exact_store, CheckResult* result);

}  // namespace speckv::qa
