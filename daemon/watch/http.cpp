// SPDX-License-Identifier: Apache-2.0
// http.cpp - see http.hpp.
#include "watch/http.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <optional>

namespace speckv::watch {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

namespace {
class HttpConnection;
}

struct HttpServer::Shared {
  Handler handler;
  HttpLimits limits;
  std::list<HttpConnection*> connections;  // who has waited longest, or taken an answer, first
};

namespace {

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<HttpServer::Shared> server, tcp::socket socket)
      : server_(std::move(server)),
        stream_(std::move(socket)),
        buffer_(server_->limits.header_bytes_max) {
    place_ = server_->connections.insert(server_->connections.end(), this);
  }
  ~HttpConnection() { server_->connections.erase(place_); }

  void read() {
    parser_.emplace();
    parser_->header_limit(server_->limits.header_bytes_max);
    stream_.expires_after(
        std::chrono::seconds(again_ ? server_->limits.idle_s : server_->limits.first_request_s));
    again_ = true;
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, size_t) { self->on_read(error); });
  }

  void close() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.close();
  }

 private:
  void on_read(beast::error_code error) {
    auto& all = server_->connections;
    all.splice(all.end(), all, place_);
    if (!error) return answer();
    // A peer that went away or was too slow gets nothing more; one that talks nonsense is told so.
    if (error.category() != http::make_error_code(http::error::bad_method).category() ||
        error == http::error::end_of_stream || error == http::error::partial_message)
      return close();
    send({400, "text/plain; charset=utf-8",
          "not a request for this server: " + error.message() + "\n"},
         11, false, false);
  }

  void answer() {
    const auto& request = parser_->get();
    const bool head = request.method() == http::verb::head;
    const bool body =
        parser_->chunked() || parser_->content_length().value_or(0) > 0;  // never read
    if (!head && request.method() != http::verb::get)
      return send({405, "text/plain; charset=utf-8", "only GET and HEAD\n"}, request.version(),
                  false, false);
    std::string_view path(request.target().data(), request.target().size());
    path = path.substr(0, path.find('?'));
    send(server_->handler(path), request.version(), request.keep_alive() && !body, head);
  }

  void send(HttpAnswer answer, unsigned version, bool keep_alive, bool head) {
    response_ = {};
    response_.version(version);
    response_.result(answer.status);
    response_.set(http::field::content_type, answer.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (answer.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(keep_alive);
    response_.content_length(answer.body.size());
    if (!head) response_.body() = std::move(answer.body);
    stream_.expires_after(std::chrono::seconds(server_->limits.idle_s));
    auto done = [self = shared_from_this(), keep_alive](beast::error_code error, size_t) {
      if (error || !keep_alive) return self->close();
      self->read();
    };
    if (!head) return http::async_write(stream_, response_, std::move(done));
    serializer_.emplace(response_);
    http::async_write_header(stream_, *serializer_, std::move(done));
  }

  std::shared_ptr<HttpServer::Shared> server_;
  std::list<HttpConnection*>::iterator place_;
  bool again_ = false;  // its first request has come
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

}  // namespace

HttpServer::HttpServer(asio::io_context& context, Handler handler, HttpLimits limits)
    : shared_(std::make_shared<Shared>(Shared{std::move(handler), limits, {}})),
      acceptor_(context),
      retry_(context) {}

HttpServer::~HttpServer() { stop(); }

Status HttpServer::listen(const std::string& host, uint16_t port) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error)
    return {EINVAL,
            "[daemon] metrics: \"" + host + "\" is no address: expected one like 127.0.0.1 or ::1"};
  const tcp::endpoint endpoint(address, port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(int(shared_->limits.connections_max), error);
  if (error) {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    return {error.value(), "listening on " + host + ":" + std::to_string(port) + ": " +
                               error.message() +
                               "; another address in [daemon] metrics, or \"\" for none"};
  }
  accept();
  return {};
}

uint16_t HttpServer::port() const {
  boost::system::error_code error;
  const auto endpoint = acceptor_.local_endpoint(error);
  return error ? 0 : endpoint.port();
}

uint32_t HttpServer::connections() const { return uint32_t(shared_->connections.size()); }

void HttpServer::stop() {
  boost::system::error_code ignored;
  retry_.cancel(ignored);
  acceptor_.close(ignored);
}

void HttpServer::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted)
      return;     // stopped, perhaps destroyed: touch nothing
    if (error) {  // out of descriptors, most likely
      retry_.expires_after(std::chrono::milliseconds(100));
      retry_.async_wait([this](boost::system::error_code stopped) {
        if (!stopped) accept();
      });
      return;
    }
    // Past the limit the one that has been silent longest goes: slow peers do not keep a scraper
    // out. It ends when its aborted read does; until then it has no descriptor any more.
    auto& all = shared_->connections;
    const auto next = std::make_shared<HttpConnection>(shared_, std::move(socket));
    if (all.size() > shared_->limits.connections_max) all.front()->close();
    next->read();
    accept();
  });
}

}  // namespace speckv::watch
