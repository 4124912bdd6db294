// SPDX-License-Identifier: Apache-2.0
#include "siege.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <tuple>

namespace speckv::test {
namespace {

// A port that nobody has now.
uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0;
  close(fd);
  return bound ? ntohs(address.sin_port) : 0;
}

DaemonOptions options(uint16_t metrics_port) {
  DaemonOptions options;
  options.data_threads = 1;
  options.pool_bytes = "8MiB";
  options.daemon_lines = "socket_mode = \"0666\"\n";
  options.metrics = "127.0.0.1:" + std::to_string(metrics_port);
  // A newcomer on a loaded machine may not have its turn for seconds between connecting and hello.
  options.session_lines = "holds_max = 300\nlayouts_max = 300\nhello_ms_max = 20000\n";
  for (const auto& [name, uid, bytes] :
       {std::tuple{victim_space, victim_uid, "32MiB"}, {hostile_space, hostile_uid, "96MiB"}})
    options.more += std::string("[[namespace]]\nname = \"") + name + "\"\nbytes = \"" + bytes +
                    "\"\nindex_entries = 8192\npreset = \"exact\"\nuids = [" + std::to_string(uid) +
                    "]\n";
  return options;
}

}  // namespace

Siege::Siege() : metrics_port_(free_port()), daemon_(options(metrics_port_)) {
  // The folder is the test's own; its socket is for everybody here.
  ::chmod(daemon_.folder().c_str(), 0755);
}

uint64_t resident_bytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  uint64_t kib = 0;
  for (std::string word; file >> word;)
    if (word == "RssAnon:" && file >> kib) break;
  return kib * 1024;
}

uint64_t open_files(pid_t pid) {
  std::error_code gone;
  uint64_t count = 0;
  for ([[maybe_unused]] const auto& each :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone))
    count++;
  return count;
}

std::string names_of_files(pid_t pid) {
  std::error_code gone;
  std::string names;
  for (const auto& each :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone))
    names += each.path().filename().string() + " " +
             std::filesystem::read_symlink(each.path(), gone).string() + "\n";
  return names;
}

}  // namespace speckv::test
