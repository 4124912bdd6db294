// SPDX-License-Identifier: Apache-2.0
// suite_spill.cpp - rows spill/*: the tier below the pool beside fio on the same file.
//
// spill/write: blocks of 1 MiB are demoted as fast as they can be, by the code of a data thread
// with its own io_uring; against fio writing operations of the same size at the same depth,
// O_DIRECT, the other half of the same file. fio has memory as it comes, in pages of 4 KiB; a
// store's buffers are on huge ones, of which more controllers take 1 MiB in one piece. Turns are
// interleaved, wall time. spill/promote: one block is asked for by speckv_load() of a client of a
// real daemon, and read; p50 beside fio's of one operation of the same size. spill/restart: a file
// of 10^6 blocks (tables written by this bench; sparse, so the images are *emulated* and never
// read); spill/first-hit: one real block of it. spill/stuck-*: a disk that takes operations and
// answers none (FUSE).
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

void write_rows(Report& report) {
  if (!report.wants("spill/write")) return;
  report.progress("spill: writes beside fio");
  const uint64_t spill_bytes = 1024 * mib, pool_bytes = 640 * mib, blocks = 512;
  const DiskDir folder;
  const std::string path = folder.path() + "/spill";
  std::string why = prepare(path, 2 * spill_bytes);
  SpillRig rig(path, pool_bytes, spill_bytes, 16384, 64 * mib);
  if (why.empty()) why = rig.start();
  if (!why.empty()) return report.skip("spill/write", why);
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
  row.setting =
      "blocks of 1MiB, 1MiB x " + std::to_string(write_depth) +
      (rig.file().direct() ? ", O_DIRECT" : ", no O_DIRECT here") +
      "; fio, its memory in pages of 4 KiB: " + std::to_string(median(theirs) / 1e9).substr(0, 4) +
      " GB/s";
  report.add(row);
}

int load_one(Live& live, uint32_t number, const speckv_layout& layout, uint64_t block,
             std::byte* to, uint64_t deadline_ns) {
  std::vector<speckv_view> views;
  set_views(layout, to, &views);
  speckv_get_op op{};
  const Key key = key_of(block);
  std::memcpy(op.key, key.data(), key.size());
  op.buf = {0, layout.layers, views.data()};
  const int loaded = speckv_load(live.session(), number, &op, 1, deadline_ns);
  return loaded == 1 ? 0 : loaded < 0 ? loaded : op.ret_result;
}

// Blocks that are demoted until they are in the file alone.
bool put_below(Live& live, uint32_t number, uint64_t blocks) {
  for (int tries = 0; tries < 200; tries++) {
    uint64_t there = 0, submitted = 0;
    for (uint64_t i = 0; i < blocks; i++) {
      const Key key = key_of(i);
      uint8_t hit = 0;
      const auto keys = reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(key.data());
      speckv_exists(live.session(), number, keys, 1, &hit);
      there += hit;
      if (hit && speckv_demote(live.session(), number, keys, 1, 0) == 1) submitted++;
      if (submitted == 64) live.drain(&submitted);
    }
    live.drain(&submitted);
    if (there == 0) return true;
    usleep(20'000);
  }
  return false;
}

void promote_row(Report& report) {
  if (!report.wants("spill/promote")) return;
  report.progress("spill: blocks that come up, beside fio");
  const DiskDir folder;
  LiveOptions options;
  options.pool_bytes = 256 * mib;
  options.spill_path = folder.path() + "/spill";
  options.spill_bytes = 2048 * mib;
  std::string why = prepare(options.spill_path, 2 * options.spill_bytes);
  Live live;
  if (why.empty()) why = live.start(report.options(), options);
  if (!why.empty()) return report.skip("spill/promote", why);
  const speckv_layout layout = layout_of(block_bytes, SPECKV_PRESET_EXACT);
  const uint32_t number = live.add(layout);
  const Buffer block(block_bytes), to(block_bytes);
  fill_kv(block.at(0), block_bytes, 64, 7);
  const uint64_t blocks = 128;
  const uint32_t rounds = report.options().quick ? 2 : 5;
  std::vector<double> ours, ratios, all;
  double fio_p50_s = 0;
  for (uint32_t round = 0; round < rounds; round++) {
    if (round == 0)
      why = live.put(number, layout, 0, blocks, [&](uint64_t) { return block.at(0); });
    if (!why.empty() || !put_below(live, number, blocks))
      return report.skip("spill/promote", "blocks do not go below: " + why);
    const auto fio = run_fio(options.spill_path, "--rw=randread --bs=1M --iodepth=1",
                             options.spill_bytes, options.spill_bytes, 2, &why);
    if (!fio) return report.skip("spill/promote", why);
    ours.clear();
    for (uint64_t i = 0; i < blocks; i++) {
      const double start_s = now_s();
      const int result = load_one(live, number, layout, (i * 37) % blocks, to.at(0),
                                  uint64_t((start_s + 10) * 1e9));
      ours.push_back(now_s() - start_s);
      if (result != 0) return report.skip("spill/promote", "a load gave " + std::to_string(result));
    }
    fio_p50_s = fio->p50_s;
    all.push_back(median(ours));
    ratios.push_back(median(ours) / fio->p50_s);
  }
  Row row = row_of("spill/promote", median(all) * 1e6, "us", "fio", median(ratios), "<= 1.3",
                   rounds * blocks);
  row.setting =
      "p50 of speckv_load() of one block of 1MiB, read into the caller's buffer; fio: one "
      "operation at a time, p50 " +
      std::to_string(fio_p50_s * 1e6).substr(0, 5) + " us";
  report.add(row);
}

// ---- a start with a million blocks -------------------------------------------------------------

// Tables of parcels as a daemon leaves them; where images were, nothing is. Returns: blocks.
uint64_t write_tables(const SpillFile& file, const std::string& path, uint64_t blocks_wanted) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const SpillPart& part = file.parts()[0];
  constexpr uint32_t units = 4, pages = spill::pages_max;
  constexpr uint32_t blocks = pages * spill::entries_per_page;
  const uint32_t image64 =
      uint32_t(units * spill::unit_bytes - pages * spill::page_bytes) / blocks / spill::align_bytes;
  uint64_t number = 0;
  std::vector<spill::Page> table(pages);
  for (uint64_t unit = 0; number < blocks_wanted; unit += units) {
    std::memset(static_cast<void*>(table.data()), 0, pages * sizeof(spill::Page));
    for (uint32_t i = 0; i < blocks; i++, number++) {
      spill::TableEntry& row =
          table[i / spill::entries_per_page].entries[i % spill::entries_per_page];
      row.key = SpillRig::key_of(number);
      row.content = number + 1;
      row.at64 = pages * spill::page_bytes / spill::align_bytes + i * image64;
      row.bytes64 = image64;
    }
    for (uint32_t page = 0; page < pages; page++) {
      spill::PageHead& head = table[page].head;
      head.magic = spill::page_magic;
      head.store_id = part.store_id;
      head.sequence = unit / units + 1;
      head.units = units;
      head.page = uint16_t(page);
      head.pages = pages;
      head.entries = spill::entries_per_page;
      head.bytes64 = units * spill::unit_bytes / spill::align_bytes;
      head.check = spill::page_check(table[page]);
    }
    const uint64_t at = part.base + (1 + unit) * spill::unit_bytes;
    if (pwrite(fd, table.data(), pages * sizeof(spill::Page), off_t(at)) < 0) number = UINT64_MAX;
  }
  close(fd);
  return number;
}

void restart_rows(Report& report) {
  if (!report.wants("spill/restart")) return;
  report.progress("spill: a start with a million blocks");
  const DiskDir folder;
  const std::string path = folder.path() + "/sparse";
  const uint64_t wanted = 1'000'000, spill_bytes = 8192 * mib, pool_bytes = 64 * mib;
  {  // a real block of it
    SpillRig rig(path, pool_bytes, spill_bytes, 1'100'000, 64 * mib);
    const std::string why = rig.start();
    if (!why.empty()) return report.skip("spill/restart", why);
    if (write_tables(rig.file(), path, wanted) == UINT64_MAX)
      return report.skip("spill/restart", "no room for tables");
  }
  const uint32_t rounds = report.options().quick ? 3 : 7;
  std::vector<double> scan_s, made_s, longest_s, cpu_s;
  uint64_t found = 0;
  for (uint32_t round = 0; round < rounds; round++) {
    SpillRig rig(path, pool_bytes, spill_bytes, 1'100'000, 64 * mib);
    const double begin_s = now_s();
    const std::string why = rig.start();
    if (!why.empty()) return report.skip("spill/restart", why);
    const double start_s = now_s();
    double longest = 0;
    while (rig.scanning()) {
      rig.wait(10'000'000);
      const double turn_s = now_s();
      rig.work();
      longest = std::max(longest, now_s() - turn_s);
    }
    scan_s.push_back(now_s() - start_s);
    made_s.push_back(start_s - begin_s);
    longest_s.push_back(longest);
    found = rig.counters().found;
  }
  char setting[160];
  std::snprintf(
      setting, sizeof setting,
      "%llu blocks, tables alone (images *emulated*: sparse); file and map made in %.0f ms, "
      "longest turn %.2f ms",
      (unsigned long long)found, median(made_s) * 1e3, median(longest_s) * 1e3);
  Row row = row_of("spill/restart", double(found) / median(scan_s) / 1e6, "M/s", "", {},
                   "value >= 5", rounds);
  row.setting = setting;
  report.add(row);
  row = row_of("spill/restart-all-known", (median(made_s) + median(scan_s)) * 1e3, "ms", "", {},
               "value <= 200", rounds);
  row.setting = "from the open of the file until the last block is known: no first hit comes later";
  report.add(row);
}

// ---- a disk that stands still ------------------------------------------------------------------

void stuck_rows(Report& report) {
  if (!report.wants("spill/stuck")) return;
  report.progress("spill: a disk that stands still");
  const DiskDir folder;
  const std::string mount_at = folder.path() + "/slow";
  mkdir(mount_at.c_str(), 0700);
  test::SlowDisk disk(mount_at, folder.path() + "/backing", 512 * mib);
  if (!disk.mounted()) return report.skip("spill/stuck-*", "no FUSE mount here: it needs root");
  LiveOptions options;
  options.pool_bytes = 64 * mib;
  options.spill_path = disk.path();
  options.spill_bytes = 512 * mib;
  Live live;
  std::string why = live.start(report.options(), options);
  if (!why.empty()) return report.skip("spill/stuck-*", why);
  const speckv_layout layout = layout_of(block_bytes, SPECKV_PRESET_EXACT);
  const uint32_t number = live.add(layout);
  const Buffer block(block_bytes), to(block_bytes);
  fill_kv(block.at(0), block_bytes, 64, 7);
  why = live.put(number, layout, 0, 32, [&](uint64_t) { return block.at(0); });
  if (!why.empty() || !put_below(live, number, 32))
    return report.skip("spill/stuck-*", "blocks do not go below: " + why);
  disk.stand_still();
  std::vector<double> late_s, miss_s;
  std::vector<speckv_view> views;
  set_views(layout, to.at(0), &views);
  for (uint64_t i = 0; i < 32; i++) {
    const double start_s = now_s();
    const uint64_t deadline_ns = uint64_t((start_s + 0.02) * 1e9);
    load_one(live, number, layout, i, to.at(0), deadline_ns);
    late_s.push_back(now_s() - double(deadline_ns) * 1e-9);
    speckv_get_op op{};
    const Key key = key_of(i);
    std::memcpy(op.key, key.data(), key.size());
    op.buf = {0, layout.layers, views.data()};
    const double get_s = now_s();
    speckv_get(live.session(), number, &op, 1);
    miss_s.push_back(now_s() - get_s);
  }
  disk.go_on();
  Row row = row_of("spill/stuck-miss", median(miss_s) * 1e6, "us", "", {}, "value <= 1000", 32);
  row.setting = "speckv_get() of a block that lies below, p50, while the disk answers nothing";
  report.add(row);
  row = row_of("spill/stuck-load", median(late_s) * 1e6, "us", "", {}, "value <= 1000", 32);
  row.setting = "speckv_load() with a deadline 20 ms ahead: how long after it, p50";
  report.add(row);
}

}  // namespace

void suite_spill(Report& report) {
  write_rows(report);
  promote_row(report);
  restart_rows(report);
  stuck_rows(report);
}

}  // namespace speckv::bench
