// SPDX-License-Identifier: Apache-2.0
// cores.cpp - see cores.hpp.
#include "loop/cores.hpp"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "pool/cgroups.hpp"

namespace speckv {

namespace {

// Of a group: cores that its quota pays for, in hundredths; 0: it has none.
uint64_t quota_percent(const pool::CgroupFolder& folder) {
  uint64_t quota_us = 0, period_us = 0;
  if (folder.second) {
    std::ifstream file(folder.path + "/cpu.max");
    if (!(file >> quota_us >> period_us)) return 0;  // "max" is no number
  } else {
    std::ifstream quota(folder.path + "/cpu.cfs_quota_us");
    std::ifstream period(folder.path + "/cpu.cfs_period_us");
    int64_t signed_us = 0;  // -1: none
    if (!(quota >> signed_us) || signed_us <= 0 || !(period >> period_us)) return 0;
    quota_us = uint64_t(signed_us);
  }
  return period_us ? std::max<uint64_t>(quota_us * 100 / period_us, 1) : 0;
}

// The engine has its processors first, and workers that have nothing to do sleep; a few are enough:
// limits::encode_threads_chosen_max says why. One is no faster than its data thread alone: each
// gets two, or none does.
uint32_t choose(uint32_t data_threads, uint32_t cores) {
  constexpr uint32_t of_the_engine = 1;  // that puts, at least
  constexpr uint32_t of_a_data_thread = 2;
  const uint32_t taken = data_threads + of_the_engine;
  const uint32_t spare = cores > taken ? cores - taken : 0;
  const uint32_t wanted =
      std::max(std::min(cores / limits::cores_per_encode_thread, limits::encode_threads_chosen_max),
               of_a_data_thread * data_threads);
  return wanted <= spare ? wanted : 0;
}

std::string number(uint32_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

uint32_t usable_cores(const std::string& root) {
  cpu_set_t set;
  uint64_t cores = sched_getaffinity(0, sizeof set, &set) == 0
                       ? uint64_t(CPU_COUNT(&set))
                       : std::thread::hardware_concurrency();  // more processors than a set holds
  for (const pool::CgroupFolder& folder : pool::cgroup_folders(root, "cpu"))
    if (const uint64_t percent = quota_percent(folder)) cores = std::min(cores, percent / 100);
  return uint32_t(std::max<uint64_t>(cores, 1));
}

EncodeThreads encode_threads(const config::DaemonConfig& config, uint32_t cores) {
  EncodeThreads ret;
  const bool chosen = !config.encode_threads;
  ret.count = chosen ? choose(config.data_threads, cores) : *config.encode_threads;
  ret.text = std::to_string(ret.count) + (chosen ? " (chosen by cores)" : "") +
             (ret.count ? " beside " : ": encoded on the data threads themselves, ") +
             number(config.data_threads, "data thread") + ", " + number(cores, "core") +
             " for this process";
  if (chosen || ret.count == 0) return ret;
  const std::string key = "[daemon] encode_threads = " + std::to_string(ret.count);
  if (ret.count + config.data_threads > cores)
    ret.warning = key + " and data_threads = " + std::to_string(config.data_threads) +
                  " are more than the " + number(cores, "core") +
                  " that this process may use: they take turns, and the engine with them; lower "
                  "encode_threads, or leave it out and it is chosen";
  else if (ret.count < config.data_threads)
    ret.warning = key + " is less than data_threads = " + std::to_string(config.data_threads) +
                  ": the data threads that get none encode themselves; raise it";
  return ret;
}

}  // namespace speckv
