// SPDX-License-Identifier: Apache-2.0
// targets.hpp - runs a test body once for every vector target that was built and that this CPU can
// run.
#pragma once

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <string>

namespace speckv::codec::testing {

template <typename Body>
void for_each_target(Body body) {
#ifdef HWY_COMPILE_ONLY_STATIC
  body(std::string(hwy::TargetName(HWY_STATIC_TARGET)));
#else
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(std::string(hwy::TargetName(target)));
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
#endif
}

// How many targets that is.
inline size_t targets_count() {
#ifdef HWY_COMPILE_ONLY_STATIC
  return 1;
#else
  return hwy::SupportedAndGeneratedTargets().size();
#endif
}

}  // namespace speckv::codec::testing
