// SPDX-License-Identifier: Apache-2.0
// Proves that the same region serves without our driver: by stock device_dax (medium devdax), and
// as system RAM of a node of its own (medium shm bound to it). e2e's run.sh puts it into each mode.
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "guest.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1u << 20;

DaemonOptions one_space() {
  DaemonOptions options;
  options.pool_bytes = "64MiB";
  options.data_threads = 1;
  options.session_lines = "arena_bytes = \"2MiB\"";
  return options;
}

int put_real(const std::string& path) {
  RealClient client(path, "default");
  return client.put_all(real_blocks) == int(real_blocks) ? 0 : 1;
}
int get_real(const std::string& path) {
  RealClient client(path, "default");
  int wrong = 0;
  return client.get_all(real_blocks, &wrong) == int(real_blocks) && !wrong ? 0 : 1;
}

TEST(Devdax, PutGetAndRestartOnARealDevice) {
  DaemonOptions options = one_space();
  options.medium = "devdax";
  options.pool_lines = "path = \"/dev/dax0.0\"";
  options.uid = uid_speckv;
  options.namespace_lines = "uids = [" + std::to_string(uid_one) + "]";
  options.daemon_lines = "socket_mode = \"0666\"";
  ASSERT_EQ(chown("/dev/dax0.0", uid_speckv, uid_speckv), 0);
  DaemonProcess daemon(options);
  ASSERT_TRUE(daemon.start()) << daemon.log();
  const std::string path = daemon.socket_path();
  EXPECT_EQ(run_as(uid_one, [&] { return put_real(path); }), 0) << daemon.log();
  EXPECT_EQ(run_as(uid_one, [&] { return get_real(path); }), 0) << daemon.log();
  for (int restart = 0; restart < 2; restart++) {
    restart ? daemon.kill() : daemon.stop();
    ASSERT_TRUE(daemon.start()) << daemon.log();
    EXPECT_EQ(run_as(uid_one, [&] { return get_real(path); }), 0) << daemon.log();
  }
  std::string restored = std::to_string(real_blocks);  // + warns with GCC 12, falsely
  restored += " blocks restored";
  EXPECT_NE(daemon.log().find(restored), std::string::npos) << daemon.log();
}

// Pages of one file of the pool in the daemon's map, by node, as /proc/PID/numa_maps tells.
// Returns: pages that are elsewhere than on `node`, -1 when it says nothing of the file.
long pages_elsewhere(pid_t pid, const std::string& file, int node) {
  std::istringstream maps(read_file("/proc/" + std::to_string(pid) + "/numa_maps"));
  std::string line;
  long here = 0, elsewhere = 0;
  while (std::getline(maps, line)) {
    if (line.find(file) == std::string::npos) continue;
    std::istringstream words(line);
    std::string word;
    while (words >> word) {
      int of = -1;
      long pages = 0;
      if (std::sscanf(word.c_str(), "N%d=%ld", &of, &pages) != 2) continue;
      (of == node ? here : elsewhere) += pages;
    }
  }
  return here + elsewhere > 0 ? elsewhere : -1;
}

int cxl_node() {  // the one that has no CPU
  for (int node = 0; node < 8; node++) {
    const std::string folder = "/sys/devices/system/node/node" + std::to_string(node);
    const std::string cpus = read_file(folder + "/cpulist");
    if (access(folder.c_str(), F_OK) == 0 && cpus == "\n") return node;
  }
  return -1;
}

TEST(Numa, ShmLiesOnTheNodeOfTheCard) {
  const int node = cxl_node();
  ASSERT_GE(node, 1) << "the region is no node of its own";
  DaemonOptions options = one_space();
  options.pool_lines = "numa_node = " + std::to_string(node);
  DaemonProcess daemon(options);
  ASSERT_TRUE(daemon.start()) << daemon.log();
  EXPECT_EQ(put_real(daemon.socket_path()), 0);
  EXPECT_EQ(get_real(daemon.socket_path()), 0);
  EXPECT_EQ(pages_elsewhere(daemon.pid(), "default.pool", node), 0);
  EXPECT_EQ(pages_elsewhere(daemon.pid(), "default.index", node), 0);
  // The control: a daemon that is not told a node does not have its pool there.
  DaemonProcess near(one_space());
  ASSERT_TRUE(near.start()) << near.log();
  EXPECT_GE(pages_elsewhere(near.pid(), "default.pool", node), long(64 * mib / 4096));
}

TEST(Numa, ANodeWithoutTheMemoryIsRefused) {
  DaemonOptions options = one_space();
  options.pool_lines = "numa_node = " + std::to_string(cxl_node());
  options.pool_bytes = "2GiB";
  DaemonProcess large(options);
  EXPECT_FALSE(large.start());
  EXPECT_NE(large.log().find("of memory available on NUMA node"), std::string::npos) << large.log();
  options.pool_lines = "numa_node = 7";
  options.pool_bytes = "64MiB";
  DaemonProcess absent(options);
  EXPECT_FALSE(absent.start());
  EXPECT_NE(absent.log().find("no such node with memory"), std::string::npos) << absent.log();
}

}  // namespace
}  // namespace speckv::test
