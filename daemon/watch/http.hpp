// SPDX-License-Identifier: Apache-2.0
// http.hpp - a small HTTP/1.1 server for pages that look at the daemon: GET and HEAD, nothing that
// changes anything.
//
// What it is: one acceptor on the control thread's io_context; a page is a function from a path to
// a text. Connections,
//   header bytes and every wait are bounded; when all connections_max places are taken, the one
//   that has been silent longest goes.
// Threading: control thread only.
// Never: reads files, parses queries, serves stored KV. Listens where it is told; the default is
// loopback.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "status.hpp"

namespace speckv::watch {

struct HttpLimits {
  uint32_t connections_max = 16;  // [daemon] metrics_connections_max
  uint32_t header_bytes_max = 8 << 10;
  uint32_t idle_s = 10;          // for a request to arrive, and for an answer to be taken
  uint32_t first_request_s = 2;  // a scraper speaks at once
};

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  // path: the target without its query. Called for GET and HEAD alike.
  using Handler = std::function<HttpAnswer(std::string_view path)>;

  HttpServer(boost::asio::io_context& context, Handler handler, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // host: an address, not a name. port 0: any free one, see port().
  Status listen(const std::string& host, uint16_t port);
  uint16_t port() const;
  void stop();
  uint32_t connections() const;

  struct Shared;  // what connections need after the server is gone

 private:
  void accept();

  std::shared_ptr<Shared> shared_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_;
};

}  // namespace speckv::watch
