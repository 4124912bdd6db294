// SPDX-License-Identifier: Apache-2.0
// metric_table.hpp - what a line of a table of metrics is. Included by the tables alone.
#pragma once

#include "watch/daemon_view.hpp"

namespace speckv::watch {

template <typename Facts>
struct Metric {
  const char* name;
  const char* type;
  const char* help;
  double (*value)(const Facts&);
};

}  // namespace speckv::watch
