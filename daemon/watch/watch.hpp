// SPDX-License-Identifier: Apache-2.0
// watch.hpp - the pages that look at the daemon: /metrics for Prometheus, /healthz for a
// supervisor.
//
// Lives on the control thread. Health is "the control thread answers and every data thread is
// there": a daemon that hangs does not answer at all.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <string>

#include "status.hpp"
#include "watch/daemon_view.hpp"
#include "watch/http.hpp"

namespace speckv::watch {

class Watch {
 public:
  // view must outlive this.
  Watch(const DaemonView& view, boost::asio::io_context& context);

  // port 0 in the configuration means that nobody listens: do not call this then.
  Status start(const std::string& host, uint16_t port) { return server_.listen(host, port); }
  uint16_t port() const { return server_.port(); }

 private:
  HttpAnswer page(std::string_view path) const;

  const DaemonView& view_;
  HttpServer server_;
};

}  // namespace speckv::watch
