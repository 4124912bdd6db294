// SPDX-License-Identifier: Apache-2.0
// watch.hpp - the pages that look at the daemon: /metrics for Prometheus, /healthz for a
// supervisor.
//
// Lives on the control thread. Health is "the control thread answers and every data thread turns"
// (health.hpp): a daemon whose control thread hangs does not answer at all.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <string>

#include "status.hpp"
#include "watch/daemon_view.hpp"
#include "watch/health.hpp"
#include "watch/http.hpp"

namespace speckv::watch {

class Watch {
 public:
  // view must outlive this.
  Watch(const DaemonView& view, boost::asio::io_context& context,
        uint64_t after_ms = stalled_after_ms, HttpLimits limits = {});

  // port 0 in the configuration means that nobody listens: do not call this then.
  Status start(const std::string& host, uint16_t port) { return server_.listen(host, port); }
  uint16_t port() const { return server_.port(); }
  uint32_t connections() const { return server_.connections(); }

 private:
  HttpAnswer page(std::string_view path) const;

  const DaemonView& view_;
  const uint64_t after_ms_;  // a data thread that has not turned for so long is stuck
  HttpServer server_;
};

}  // namespace speckv::watch
