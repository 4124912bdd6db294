// SPDX-License-Identifier: Apache-2.0
// suite_spill.cpp - rows spill/*: the tier below the pool beside fio on the same file.
//
// spill/write: blocks of 1 MiB are demoted as fast as they can be, by the code of a data thread
// with its own io_uring; against fio writing operations of the same size at the same depth,
// O_DIRECT, the other half of the same file. Turns are interleaved, wall time. spill/promote: one
// block is asked for by speckv_load() of a client of a real daemon, and read; p50 beside fio's of
// one operation of the same size. spill/restart: a file of 10^6 blocks (tables written by this
// bench; sparse, so the images are *emulated* and never read); spill/first-hit: one real block of
// it. spill/stuck-*: a disk that takes operations and answers none (FUSE).
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "integration/spill/slow_disk.hpp"
#include "live.hpp"
#include "spill_rig.hpp"

namespace speckv::bench {
namespace {

constexpr uint64_t mib = 1 << 20;
constexpr uint64_t block_bytes = mib;
constexpr uint32_t write_depth = 24;  // spill_writes_max

double now_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// On the disk that has the build, not a tmpfs.
class DiskDir {
 public:
  DiskDir() {
    char name[] = "/var/tmp/speckv-bench-XXXXXX";
    if (mkdtemp(name)) path_ = name;
  }
  ~DiskDir() {
    for (const char* file : {"/spill", "/sparse", "/backing"}) unlink((path_ + file).c_str());
    rmdir((path_ + "/slow").c_str());
    rmdir(path_.c_str());
  }
  DiskDir(const DiskDir&) = delete;
  DiskDir& operator=(const DiskDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Written once, so that neither writes to what was never allocated.
std::string prepare(const std::string& path, uint64_t bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
  if (fd < 0) return "cannot make " + path;
  const Buffer zeros(4 * mib);
  std::memset(zeros.at(0), 0, zeros.bytes());
  bool whole = true;
  for (uint64_t at = 0; at < bytes && whole; at += zeros.bytes())
    whole = pwrite(fd, zeros.at(0), zeros.bytes(), off_t(at)) == ssize_t(zeros.bytes());
  close(fd);
  return whole ? "" : "no room for " + path;
}

Row row_of(const std::string& name, double value, const char* unit, const char* against,
           std::optional<double> ratio, const char* goal, uint64_t samples) {
  Row row;
  row.name = name;
  row.value = value;
  row.unit = unit;
  row.against = against;
  row.ratio = ratio;
  row.goal = goal;
  row.samples = samples;
  return row;
}

// Bytes a second of `blocks` that are all in the pool when it begins.
double write_some(SpillRig& rig, uint64_t first, uint64_t blocks) {
  for (uint64_t i = 0; i < blocks; i++) rig.put(first + i);
  const uint64_t before = rig.counters().demoted_bytes;
  const auto written = [&] { return rig.counters().demoted_bytes.load() - before; };
  const double start_s = now_s();
  for (uint64_t i = 0; i < blocks;) {
    if (rig.demote(first + i) == 0) {
      if (++i % 4 == 0) rig.turn(0);
    } else {
      rig.turn(10'000'000);
    }
  }
  // The last parcel waits for more blocks, which do not come.
  while (written() < blocks * block_bytes * 9 / 10) rig.turn(1'000'000);
  const double rate = double(written()) / (now_s() - start_s);
  while (!rig.quiet() || written() < blocks * block_bytes) rig.turn(10'000'000);
  for (uint64_t i = 0; i < blocks; i++) rig.demote(first + i);  // it stands below: it goes
  return rate;
}

void write_and_promote(Report& report) {
  if (!report.wants("spill/write") && !report.wants("spill/promote-shard")) return;
  report.progress("spill: writes and reads beside fio");
  const uint64_t spill_bytes = 1024 * mib, pool_bytes = 640 * mib, blocks = 512;
  const DiskDir folder;
  const std::string path = folder.path() + "/spill";
  std::string why = prepare(path, 2 * spill_bytes);
  SpillRig rig(path, pool_bytes, spill_bytes, 16384, 64 * mib);
  if (why.empty()) why = rig.start();
  if (!why.empty()) return report.skip("spill/write, spill/promote-shard", why);
  const uint32_t rounds = report.options().quick ? 3 : 9;
  std::vector<double> ours, theirs, ratios;
  for (uint32_t round = 0; round < rounds; round++) {
    const auto fio = run_fio(path, "--rw=write --bs=1M --iodepth=" + std::to_string(write_depth),
                             spill_bytes, spill_bytes, 2, &why);
    if (!fio) return report.skip("spill/write", why);
    ours.push_back(write_some(rig, round * blocks, blocks));
    theirs.push_back(fio->bytes_s);
    ratios.push_back(ours.back() / theirs.back());
  }
  Row row =
      row_of("spill/write", median(ours) / 1e9, "GB/s", "fio", median(ratios), ">= 0.85", rounds);
  row.setting = "blocks of 1MiB, O_DIRECT, 1MiB x " + std::to_string(write_depth) +
                (rig.file().direct() ? "" : ", no O_DIRECT here") +
                "; fio: " + std::to_string(median(theirs) / 1e9).substr(0, 4) + " GB/s";
  report.add(row);
}

}  // namespace

void suite_spill(Report& report) { write_and_promote(report); }

}  // namespace speckv::bench
