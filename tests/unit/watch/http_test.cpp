// SPDX-License-Identifier: Apache-2.0
// http_test.cpp - the metrics page as a scraper and as a hostile peer see it.
//
// How: the real server on a free loopback port, run by a thread, and plain sockets. A peer that
// must be cut off is seen by its end of file, not by a clock.
#include "watch/http.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "fake_view.hpp"
#include "watch/metrics.hpp"
#include "watch/watch.hpp"

namespace speckv::watch {
namespace {

// A client's socket; everything it reads until the server closes or `enough` is there.
class Peer {
 public:
  explicit Peer(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Peer() { close(fd_); }
  bool send(const std::string& text) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == ssize_t(text.size());
  }
  std::string read_until(const std::string& enough) {
    std::string text;
    char part[4096];
    while (enough.empty() || text.find(enough) == std::string::npos) {
      const ssize_t got = recv(fd_, part, sizeof part, 0);
      if (got <= 0) break;
      text.append(part, size_t(got));
    }
    return text;
  }
  std::string read_all() { return read_until(""); }

 private:
  int fd_;
};

class HttpTest : public ::testing::Test {
 protected:
  void start(HttpLimits limits) {
    const auto page = [this](std::string_view path) {
      if (path == "/metrics") return HttpAnswer{200, "text/plain", metrics_text(view_)};
      return HttpAnswer{404, "text/plain", "no\n"};
    };
    server_ = std::make_unique<HttpServer>(context_, page, limits);
    const Status status = server_->listen("127.0.0.1", 0);
    ASSERT_TRUE(status.ok()) << status.text();
    thread_ = std::thread([this] { context_.run(); });
  }
  void TearDown() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  std::string once(const std::string& request) {
    Peer peer(server_->port());
    peer.send(request);
    return peer.read_all();
  }

  FakeView view_;
  boost::asio::io_context context_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpTest, pages_and_methods) {
  start({});
  const std::string page =
      once("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(page.rfind("HTTP/1.1 200", 0), 0u) << page.substr(0, 200);
  EXPECT_NE(page.find("speckv_write_blocks_total{namespace=\"default\"} 123\n"), std::string::npos);
  const std::string head = once("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(head.rfind("HTTP/1.1 200", 0), 0u);
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n") << "a HEAD has no body";
  EXPECT_EQ(once("GET / HTTP/1.0\r\n\r\n").rfind("HTTP/1.0 404", 0), 0u);
  EXPECT_EQ(once("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                .rfind("HTTP/1.1 405", 0),
            0u);
  EXPECT_EQ(once("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n").rfind("HTTP/1.1 405", 0), 0u);
}

TEST_F(HttpTest, slow_peers_do_not_keep_a_scraper_out) {
  start({.connections_max = 16, .idle_s = 3600, .first_request_s = 3600});
  std::vector<std::unique_ptr<Peer>> slow;
  for (int i = 0; i < 24; i++) {
    slow.push_back(std::make_unique<Peer>(server_->port()));
    slow.back()->send("GET /met");
  }
  for (int i = 0; i < 20; i++)
    EXPECT_EQ(once("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                  .rfind("HTTP/1.1 404", 0),
              0u)
        << i;
  EXPECT_EQ(slow.front()->read_all(), "") << "the first of them was closed";
}

TEST_F(HttpTest, one_connection_can_ask_again) {
  start({});
  Peer peer(server_->port());
  for (int i = 0; i < 3; i++) {
    peer.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_NE(peer.read_until("\r\n\r\nno\n").find("404"), std::string::npos) << i;
  }
}

TEST_F(HttpTest, nonsense_is_told_so_and_cut_off) {
  start({});
  EXPECT_EQ(once("\x16\x03\x01 this is TLS\r\n\r\n").rfind("HTTP/1.1 400", 0), 0u);
  EXPECT_EQ(
      once("GET /metrics HTTP/1.1\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n").find("200 OK"),
      std::string::npos);
  EXPECT_EQ(once("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .rfind("HTTP/1.1 404", 0),
            0u)
      << "and others are served as before";
}

TEST_F(HttpTest, a_peer_that_says_nothing_is_dropped) {
  start({16, 8 << 10, 1});
  Peer silent(server_->port());
  Peer slow(server_->port());
  slow.send("GET /metr");
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_EQ(slow.read_all(), "");
}

TEST_F(HttpTest, connections_are_bounded) {
  start({2, 8 << 10, 60, 60});
  auto first = std::make_unique<Peer>(server_->port());
  first->send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  first->read_until("no\n");
  Peer second(server_->port());
  second.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  second.read_until("no\n");
  Peer third(server_->port());
  third.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(third.read_until("no\n").find("404"), std::string::npos);
  EXPECT_EQ(first->read_all(), "") << "the one that was silent longest made room";
  second.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(second.read_until("no\n").find("404"), std::string::npos);
}

TEST_F(HttpTest, a_taken_port_is_an_error_with_a_way_out) {
  start({});
  HttpServer other(context_, [](std::string_view) { return HttpAnswer{}; });
  const Status status = other.listen("127.0.0.1", server_->port());
  EXPECT_EQ(status.error(), EADDRINUSE);
  EXPECT_NE(status.text().find("[daemon] metrics"), std::string::npos) << status.text();
  EXPECT_EQ(other.listen("localhost", 0).error(), EINVAL) << "names would need a resolver";
}

TEST(Watch, health_needs_every_data_thread) {
  FakeView view;
  boost::asio::io_context context;
  Watch watch(view, context);
  ASSERT_TRUE(watch.start("127.0.0.1", 0).ok());
  std::thread thread([&] { context.run(); });
  const auto health = [&] {
    Peer peer(watch.port());
    peer.send("GET /healthz HTTP/1.0\r\n\r\n");
    return peer.read_all().substr(9, 3);
  };
  EXPECT_EQ(health(), "200");
  const auto change = [&](const std::function<void()>& what) {
    std::promise<void> changed;  // the view belongs to the thread that serves
    boost::asio::post(context, [&] {
      what();
      changed.set_value();
    });
    changed.get_future().wait();
  };
  change([&] { view.thread_facts[0].stalled_ms = watch::stalled_after_ms; });
  EXPECT_EQ(health(), "503") << "it is there, and does not turn";
  change([&] { view.thread_facts[0].stalled_ms = 50; });
  EXPECT_EQ(health(), "200");
  change([&] { view.thread_facts.clear(); });
  EXPECT_EQ(health(), "503");
  context.stop();
  thread.join();
}

// Prometheus' rules for the text: each sample after its HELP and TYPE, no name twice in parts,
// labels escaped.
TEST(Metrics, text_is_well_formed) {
  FakeView view;
  const std::string text = metrics_text(view);
  EXPECT_NE(text.find("medium=\"shm \\\"quoted\\\\\\n\""), std::string::npos)
      << text.substr(0, 300);
  std::istringstream lines(text);
  std::string line, current;
  std::set<std::string> seen;
  std::map<std::string, std::string> types;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string first, what, name, type;
    words >> first;
    if (first == "#") {
      words >> what >> name;
      if (what == "HELP") {
        EXPECT_TRUE(seen.insert(name).second) << name << " is described twice";
        current = name;
      } else {
        words >> type;
        types[name] = type;
        EXPECT_EQ(name, current);
      }
      continue;
    }
    EXPECT_EQ(line.substr(0, line.find_first_of("{ ")), current) << line;
    EXPECT_NE(types[current], "") << line;
    EXPECT_EQ(types[current] == "counter",
              current.size() > 6 && current.substr(current.size() - 6) == "_total")
        << line;
    size_t used = 0;
    EXPECT_NO_THROW(std::stod(line.substr(line.rfind(' ') + 1), &used)) << line;
  }
  EXPECT_GT(seen.size(), 30u);
  std::ifstream page(SPECKV_DOCS "/metrics.md");
  const std::string documented((std::istreambuf_iterator<char>(page)), {});
  for (const std::string& name : seen)
    EXPECT_NE(documented.find("| `" + name + "` | " + types[name] + " |"), std::string::npos)
        << name;
  EXPECT_NE(text.find("speckv_pool_waste_ratio{namespace=\"default\"} 0.0125\n"),
            std::string::npos);
  EXPECT_NE(text.find("speckv_pool_free_bytes{namespace=\"default\"} 6291456\n"),
            std::string::npos);
  EXPECT_NE(text.find("speckv_uptime_seconds 1.5\n"), std::string::npos);
}

}  // namespace
}  // namespace speckv::watch
