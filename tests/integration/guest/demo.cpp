// SPDX-License-Identifier: Apache-2.0
// demo.cpp - the story that `make demo-cxl` tells: real blocks in CXL memory, put and read by
// another user, kept over a crash of the daemon, and lost without harm when the card is pulled.
//
// A line for each step, with its figures. A step that does not hold ends the story with "FAILED"
// and exit status 1. run.sh has made the region before.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>

#include "guest.hpp"
#include "src/clock.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1u << 20;

__attribute__((format(printf, 2, 3))) void tell(const char* step, const char* format, ...) {
  std::printf("demo: %-11s ", step);
  va_list values;
  va_start(values, format);
  std::vprintf(format, values);
  va_end(values);
  std::printf("\n");
}

struct Load {
  std::atomic<uint64_t> hits, misses, wrong;
  std::atomic<bool> end;
};

int read_until_told(const std::string& path, uint64_t seed, Load* load) {
  RealClient client(path, "default");
  if (client.opened() != 0) return 1;
  for (uint64_t turn = 0; !load->end; turn++) {
    const int result = client.get(mix64(seed * 1000 + turn) % real_blocks);
    (result == 0 ? load->hits : result == -ENOENT ? load->misses : load->wrong)++;
  }
  return 0;
}

class Story {
 public:
  Story() : daemon_(with_keeper()) {}
  bool told() { return begin() && put_and_get() && stranger() && crash() && pull(); }

 private:
  static DaemonOptions with_keeper() {
    DaemonOptions options = extent_daemon("128MiB");
    options.keeper = true;
    return options;
  }
  bool failed(const char* step) {
    tell(step, "FAILED; the daemon's log:\n%s", daemon_.log().c_str());
    return false;
  }
  bool begin();
  bool put_and_get();
  bool stranger();
  bool crash();
  bool pull();

  DaemonProcess daemon_;
  const std::string& path() const { return daemon_.socket_path(); }
};

bool Story::begin() {
  if (!eventually([] { return region_bytes("free") == region_bytes("size"); }))
    return failed("region");
  tell("region", "/dev/speckv0 is %lu MiB of CXL memory (%s), all of it zeroed and free",
       (unsigned long)(region_bytes("size") / mib),
       read_file("/sys/class/speckv/speckv0/dax_device").substr(0, 6).c_str());
  if (!daemon_.start()) return failed("daemon");
  tell("daemon", "speckvd runs as uid %d, two namespaces of 128 MiB: %lu MiB of extents",
       uid_speckv, (unsigned long)(region_bytes("used") / mib));
  return true;
}

bool Story::put_and_get() {
  const int status = run_as(uid_one, [&] {
    RealClient client(path(), "default");
    uint64_t start = lib::now_ns();
    const int stored = client.put_all(real_blocks);
    const double put_ms = double(lib::now_ns() - start) / 1e6;
    tell("put", "uid %d puts %d blocks of real KV (SmolLM2-135M, %zu KiB each) in %.0f ms", uid_one,
         stored, RealBlock().bytes() >> 10, put_ms);
    int wrong = 0;
    start = lib::now_ns();
    const int hits = client.get_all(real_blocks, &wrong);
    const double get_ms = double(lib::now_ns() - start) / 1e6;
    tell("get",
         "uid %d reads them straight from the card's memory: %d of %lu hit, %d wrong, %.0f ms",
         uid_one, hits, (unsigned long)real_blocks, wrong, get_ms);
    return stored == int(real_blocks) && hits == int(real_blocks) && !wrong ? 0 : 1;
  });
  return status == 0 || failed("get");
}

bool Story::stranger() {
  const int status = run_as(uid_two, [&] {
    const int refused = RealClient(path(), "default").opened();
    RealClient client(path(), "two");
    int wrong = 0;
    const int hits = client.get_all(real_blocks, &wrong);
    tell("isolation",
         "uid %d is refused namespace `default` (%s), and in `two` %d of those blocks hit", uid_two,
         std::strerror(-refused), hits);
    return refused == -EACCES && hits == 0 && !wrong ? 0 : 1;
  });
  return status == 0 || failed("isolation");
}

bool Story::crash() {
  const pid_t victim = listener(path());
  const uint64_t start = lib::now_ns();
  if (victim <= 0 || ::kill(victim, SIGKILL) != 0) return failed("crash");
  pid_t next = -1;
  if (!eventually([&] { return (next = listener(path())) > 0 && next != victim; }))
    return failed("crash");
  tell("crash", "kill -9 of speckvd; the next one took the pool over %.1f s later",
       double(lib::now_ns() - start) / 1e9);
  const int status = run_as(uid_one, [&] {
    RealClient client(path(), "default");
    int wrong = 0;
    const int hits = client.get_all(real_blocks, &wrong);
    tell("restart", "%d of %lu blocks hit, %d wrong: extents live as long as somebody keeps them",
         hits, (unsigned long)real_blocks, wrong);
    return hits == int(real_blocks) && !wrong ? 0 : 1;
  });
  return status == 0 || failed("restart");
}

bool Story::pull() {
  auto* load = static_cast<Load*>(shared_memory(sizeof(Load)));
  std::vector<pid_t> clients;
  for (uint64_t i = 0; i < 3; i++)
    clients.push_back(spawn_as(uid_one, [&] { return read_until_told(path(), i, load); }));
  if (!eventually([&] { return load->hits > 300; })) return failed("load");
  tell("load", "3 clients read at random");
  if (!pull_card()) return failed("pull");
  eventually([&] { return status_field(path(), "lost_bytes") == 128 * mib; });
  const uint64_t hits = load->hits, misses = load->misses;
  eventually([&] { return load->misses > misses + 300; });
  const uint64_t late = load->hits - hits;
  load->end = true;
  int dead = 0;
  for (const pid_t client : clients) dead += wait_for(client) != 0;
  const bool alive = listener(path()) > 0;
  tell("pull", "the card is pulled: %lu hits before, then %lu misses; %lu wrong, %d clients dead",
       (unsigned long)load->hits, (unsigned long)load->misses, (unsigned long)load->wrong, dead);
  tell("after", "speckvd %s; %lu MiB of namespace `default` are lost, the kernel has no complaint",
       alive ? "is alive and answers" : "IS DEAD",
       (unsigned long)(status_field(path(), "lost_bytes") / mib));
  return (alive && !dead && !load->wrong && late <= clients.size() && load->misses > 300) ||
         failed("pull");
}

}  // namespace

int tell_demo() { return Story().told() ? 0 : 1; }

}  // namespace speckv::test
