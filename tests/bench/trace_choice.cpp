// SPDX-License-Identifier: Apache-2.0
// trace_choice.cpp - see trace_choice.hpp.
#include "trace_choice.hpp"

#include "sessions.hpp"

namespace speckv::bench {

bool find_trace(Report& report, const std::string& rows, Trace* ret_trace) {
  if (report.options().trace.empty()) {
    *ret_trace = synthetic_trace({});
    report.skip(rows + " on a real trace",
                "TRACE= names none; these rows are on " + ret_trace->name + ", our own generator");
    return true;
  }
  std::string error;
  if (holds_sessions(report.options().trace)) {
    SessionTrace sessions;
    if (!load_sessions(report.options().trace, {}, &sessions, &error)) {
      report.skip(rows, error);
      return false;
    }
    *ret_trace = sessions.flat();
    return true;
  }
  if (load_trace(report.options().trace, ret_trace, &error)) return true;
  report.skip(rows, error);
  return false;
}

}  // namespace speckv::bench
