// SPDX-License-Identifier: Apache-2.0
// watch.cpp - see watch.hpp.
#include "watch/watch.hpp"

#include "watch/metrics.hpp"

namespace speckv::watch {

Watch::Watch(const DaemonView& view, boost::asio::io_context& context, uint64_t after_ms,
             HttpLimits limits)
    : view_(view),
      after_ms_(after_ms),
      server_(
          context, [this](std::string_view path) { return page(path); }, limits) {}

HttpAnswer Watch::page(std::string_view path) const {
  if (path == "/metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(view_)};
  if (path == "/healthz") {
    const std::string wrong = ailment(view_, after_ms_);
    if (wrong.empty()) return {200, "text/plain; charset=utf-8", "ok\n"};
    return {503, "text/plain; charset=utf-8", wrong + "\n"};
  }
  if (path == "/") return {200, "text/plain; charset=utf-8", "speckvd: /metrics /healthz\n"};
  return {404, "text/plain; charset=utf-8", "no such page; there are /metrics and /healthz\n"};
}

}  // namespace speckv::watch
