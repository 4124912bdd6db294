// SPDX-License-Identifier: Apache-2.0
// metrics.hpp - DaemonView as Prometheus text (exposition format 0.0.4).
//
// Names: speckv_<station or thing>_<what>[_total]; bytes and seconds are base units.
// docs/metrics.md lists them.
#pragma once

#include <string>

#include "watch/daemon_view.hpp"

namespace speckv::watch {

std::string metrics_text(const DaemonView& view);

}  // namespace speckv::watch
