// SPDX-License-Identifier: Apache-2.0
// siege_crowd.cpp - who takes all that there is: a tenant that puts blocks of 32 MiB, one that asks
// for sessions, arenas, layouts and holds until each is refused, a crowd at the doors; and the
// newcomer who must be let in meanwhile.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>

#include "client.hpp"
#include "raw_client.hpp"
#include "siege.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1 << 20;

// Of 32 MiB a block, as the engine holds it and, `exact`, as it is stored.
speckv_layout giant_layout() {
  speckv_layout layout = small_layout(16);
  layout.kv_heads = 8;
  layout.head_dim = 128;
  layout.block_tokens = 512;
  layout.page_tokens = 32;
  return layout;
}

int dial_http(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

bool scrape(uint16_t port) {
  const int fd = dial_http(port);
  if (fd < 0) return false;
  const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
  bool good = send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == ssize_t(sizeof request - 1);
  pollfd answer{fd, POLLIN, 0};
  char begin[16];
  good = good && poll(&answer, 1, 20'000) == 1 &&
         recv(fd, begin, sizeof begin, 0) == sizeof begin &&
         std::memcmp(begin, "HTTP/1.1 200 OK", 15) == 0;
  close(fd);
  return good;
}

// Everything that one tenant may have at once, and more.
void hoard_once(const std::string& socket_path, Tally& tally, std::mt19937_64& random) {
  std::vector<std::unique_ptr<Client>> held;
  const uint64_t arena = tally.hoards % 2 ? 64 * mib : 64 << 10;  // arenas give out, or sessions
  int refused = 0;
  while (!refused && !tally.stop) {
    held.push_back(std::make_unique<Client>(socket_path, hostile_space, arena));
    refused = held.back()->opened();
    tally.attacks++;
  }
  if (refused == 0) return;
  held.pop_back();
  speckv_layout layout = small_layout(2);
  uint32_t number = 0;
  int full = 0;
  for (const auto& client : held)
    for (int i = 0; i < 64 && full == 0 && !tally.stop; i++) {
      const uint64_t name = random();
      std::memcpy(layout.weights_digest, &name, sizeof name);
      full = speckv_layout_register(client->get(), &layout, &number);
      if (full == -EMFILE) full = 0;
      tally.attacks++;
    }
  if (held.empty()) return;
  Client& holder = *held[0];
  Kv kv(layout, Arrangement::token_major);
  std::vector<uint64_t> numbers;
  for (uint64_t i = 0; i < 8; i++)
    if (holder.put(0, i, kv) == 0) numbers.push_back(i);
  const auto keys = keys_of(0, 8);
  for (int i = 0, result = 0; i < 200 && result >= 0 && !tally.stop; i++) {
    uint8_t hits[8];
    uint64_t hold = 0;
    result = speckv_hold(holder.get(), 0, as_keys(keys), 8, 60 * second_ns, second_ns, hits, &hold);
    tally.attacks++;
  }
}

}  // namespace

void flood(const std::string& socket_path, Tally& tally) {
  Client client(socket_path, hostile_space, 64 * mib);
  const speckv_layout layout = giant_layout();
  uint32_t number = 0;
  if (client.opened() != 0 || speckv_layout_register(client.get(), &layout, &number) != 0) return;
  std::vector<std::byte> plane(speckv_block_bytes(&layout) / layout.layers / 2, std::byte{0x3c});
  const int64_t row = layout.head_dim * 2;
  const std::vector<speckv_view> views(2 * layout.layers,
                                       {plane.data(), layout.kv_heads * row, row, 2});
  for (uint64_t block = uint64_t(getpid()) << 32; !tally.stop; block++) {
    speckv_put_op op{};
    std::memcpy(op.key, key_of(block).bytes, sizeof op.key);
    op.buf = {0, layout.layers, views.data()};
    op.meta.position = SPECKV_POSITION_UNKNOWN;
    if (speckv_put(client.get(), number, &op, 1) == 1 && op.ret_result == 0) tally.attacks++;
    else usleep(1000);
    speckv_completion done[16];
    speckv_wait(client.get(), second_ns);
    speckv_reap(client.get(), done, 16);
  }
}

void hoard(const std::string& socket_path, Tally& tally, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (; !tally.stop; tally.hoards++) hoard_once(socket_path, tally, random);
}

void crowd(const std::string& socket_path, uint16_t metrics_port, Tally& tally) {
  std::vector<int> slow;
  while (!tally.stop) {
    std::vector<RawClient> strangers(20);
    for (RawClient& each : strangers) {  // a line of the log each, if it were let
      each.open(socket_path, hostile_space, 64 << 10);
      tally.attacks++;
    }
    while (slow.size() < 40) slow.push_back(dial_http(metrics_port));
    for (int& fd : slow) {  // a byte now, a byte then
      if (send(fd, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) continue;
      if (fd >= 0) close(fd);
      fd = dial_http(metrics_port);
      tally.attacks++;
    }
    usleep(10'000);
  }
  for (const int fd : slow)
    if (fd >= 0) close(fd);
}

void loiter(const std::string& socket_path, Tally& tally) {
  while (!tally.stop) {
    std::vector<int> idle;
    for (int i = 0; i < 100; i++) idle.push_back(dial(socket_path));
    tally.attacks += idle.size();
    usleep(50'000);
    for (const int fd : idle)
      if (fd >= 0) close(fd);
  }
}

void be_newcomer(const std::string& socket_path, uint16_t metrics_port, Tally& tally) {
  while (!tally.stop) {
    const Client client(socket_path, victim_space, 1 * mib);
    (client.opened() == 0 ? tally.let_in : tally.kept_out)++;
    if (client.opened() != 0) tally.kept_out_by = client.opened();
    (scrape(metrics_port) ? tally.scrapes : tally.failed_scrapes)++;
    usleep(20'000);
  }
}

}  // namespace speckv::test
