// SPDX-License-Identifier: Apache-2.0
// trace_choice.hpp - the trace that the suites evict and size run on: TRACE= of either format, else
// our own generator's.
#pragma once

#include <string>

#include "bench.hpp"
#include "trace.hpp"

namespace speckv::bench {

// rows: those that are skipped, or said to be on a synthetic trace. Returns: false when the file
// cannot be used; the report says why.
bool find_trace(Report& report, const std::string& rows, Trace* ret_trace);

}  // namespace speckv::bench
