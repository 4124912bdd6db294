// SPDX-License-Identifier: Apache-2.0
// watch.cpp - see watch.hpp.
#include "watch/watch.hpp"

#include "watch/metrics.hpp"

namespace speckv::watch {

Watch::Watch(const DaemonView& view, boost::asio::io_context& context)
    : view_(view), server_(context, [this](std::string_view path) { return page(path); }) {}

HttpAnswer Watch::page(std::string_view path) const {
  if (path == "/metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(view_)};
  if (path == "/healthz") {
    const DaemonFacts facts = view_.daemon();
    if (view_.threads().size() == facts.shards) return {200, "text/plain; charset=utf-8", "ok\n"};
    return {503, "text/plain; charset=utf-8", "not all data threads run\n"};
  }
  if (path == "/") return {200, "text/plain; charset=utf-8", "speckvd: /metrics /healthz\n"};
  return {404, "text/plain; charset=utf-8", "no such page; there are /metrics and /healthz\n"};
}

}  // namespace speckv::watch
