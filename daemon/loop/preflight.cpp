// SPDX-License-Identifier: Apache-2.0
// preflight.cpp - see preflight.hpp.
#include "loop/preflight.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "loop/control_door.hpp"
#include "pool/mapped_region.hpp"
#include "pool/namespace.hpp"

namespace speckv {

namespace {

// Log, epoll, timers, mailboxes, metrics, reserve: what there is in a daemon without sessions.
constexpr uint64_t fds_of_daemon = 64;
constexpr uint64_t fds_of_space = 9;   // pool, index, near: file and its clients', and a copy
constexpr uint64_t fds_of_thread = 4;  // ring, mailbox

bool in_memory(const config::Config& config) {
  return config.pool.medium.kind == "shm" || config.pool.medium.kind == "memfd";
}

// Whether an earlier daemon's pool of this size lies in the mount.
bool pool_is_there(const config::Config& config, const config::NamespaceConfig& space) {
  if (config.pool.medium.kind != "shm") return false;
  const std::string folder = config.pool.medium.path.empty() ? config.daemon.runtime_dir + "/pool"
                                                             : config.pool.medium.path;
  struct stat info {};
  return stat((folder + "/" + pool_name(space.name)).c_str(), &info) == 0 &&
         uint64_t(info.st_size) == space.bytes && uint64_t(info.st_blocks) * 512 >= space.bytes;
}

}  // namespace

uint64_t memory_bytes_now(const config::Config& config) {
  uint64_t bytes = 0;
  for (const config::NamespaceConfig& space : config.namespaces) {
    if (in_memory(config) && !pool_is_there(config, space)) bytes += space.bytes;
    bytes += config::index_bytes_max(space);
    if (config.pool.medium.numa_node < 0) bytes += space.near_bytes;  // else on a node of its own
  }
  return bytes;
}

Status check_machine(const config::Config& config) {
  const MediumOptions& medium = config.pool.medium;
  Status status = pool::check_numa_node(medium.numa_node);
  if (status.ok()) status = pool::check_numa_node(medium.near_numa_node, "near_numa_node");
  if (!status.ok()) return status;
  if (!config.daemon.tables.empty()) {
    DIR* folder = opendir(config.daemon.tables.c_str());
    if (!folder)
      return Status::from_errno("[daemon] tables = \"" + config.daemon.tables +
                                "\": expected a folder of *.chan files");
    closedir(folder);
  }
  status = Door::check(config.daemon.socket);
  if (status.error() == EADDRINUSE) return {};  // a daemon runs: what it has comes back first
  if (!status.ok()) return status;
  status = pool::check_memory(memory_bytes_now(config), medium.numa_node);
  if (!status.ok()) return {status.error(), "pools and indexes: " + status.text()};
  return {};
}

uint64_t fds_wanted(const config::Config& config) {
  const uint64_t threads = config.daemon.data_threads;
  return config.session.fds_max + config.session.connections_max +
         config.daemon.metrics_connections_max + config.namespaces.size() * fds_of_space +
         threads * fds_of_thread + fds_of_daemon;
}

uint64_t fd_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? uint64_t(limit.rlim_cur) : 0;
}

uint64_t open_fds() {
  DIR* folder = opendir("/proc/self/fd");
  if (!folder) return 0;
  uint64_t count = 0;
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count - 1;  // without the folder's own
}

void raise_fd_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string fds_missing(const config::Config& config) {
  const uint64_t wanted = fds_wanted(config), limit = fd_limit();
  if (limit == 0 || wanted <= limit) return "";
  return "[session] sessions_max = " + std::to_string(config.session.sessions_max) + " takes " +
         std::to_string(wanted) + " descriptors and this process may open " +
         std::to_string(limit) + ": raise LimitNOFILE, or lower sessions_max";
}

}  // namespace speckv
