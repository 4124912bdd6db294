// SPDX-License-Identifier: Apache-2.0
// spill_rig.cpp - see spill_rig.hpp.
#include "spill_rig.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "live.hpp"
#include "loop/clock.hpp"
#include "pool/index_writer.hpp"
#include "process.hpp"

namespace speckv::bench {
namespace {

constexpr uint64_t block_bytes = 1 << 20;
constexpr uint32_t buckets = 4096;

}  // namespace

std::optional<FioResult> run_fio(const std::string& path, const std::string& how, uint64_t offset,
                                 uint64_t bytes, uint32_t seconds, std::string* ret_why) {
  const std::string fio = find_program("fio");
  *ret_why = "fio is not installed (tools/deps/bench.txt)";
  if (fio.empty()) return {};
  const std::string command =
      fio + " --name=x --filename=" + path + " --ioengine=io_uring --direct=1 --time_based " + how +
      " --offset=" + std::to_string(offset) + " --size=" + std::to_string(bytes) +
      " --runtime=" + std::to_string(seconds) + " --output-format=json 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return {};
  std::string text;
  char some[4096];
  for (size_t n; (n = fread(some, 1, sizeof some, pipe)) > 0;) text.append(some, n);
  const int status = pclose(pipe);
  const auto begin = text.find('{');
  const auto json =
      nlohmann::json::parse(begin == std::string::npos ? "" : text.substr(begin), nullptr, false);
  *ret_why = "fio failed: " + command;
  if (status != 0 || !json.is_object()) return {};
  ret_why->clear();
  const bool writes = how.find("write") != std::string::npos;
  const auto& part = json["jobs"][0][writes ? "write" : "read"];
  const auto& percentiles = part["clat_ns"]["percentile"];
  return FioResult{part["bw_bytes"].get<double>(), percentiles["50.000000"].get<double>() * 1e-9,
                   percentiles["99.000000"].get<double>() * 1e-9};
}

SpillRig::SpillRig(const std::string& path, uint64_t pool_bytes, uint64_t spill_bytes,
                   uint32_t entries_max, uint64_t buffer_bytes)
    : path_(path),
      spill_bytes_(spill_bytes),
      buffer_bytes_(buffer_bytes),
      entries_max_(entries_max),
      pool_(pool_bytes + shm::unit_bytes),
      block_(block_bytes),
      index_(shm::index_file_bytes(1, buckets)),
      engine_(make_cpu_engine()) {
  std::memset(pool_.at(0), 0, pool_.bytes());
  fill_kv(block_.at(0), block_bytes, 64, 7);
}

SpillRig::~SpillRig() {
  for (int i = 0; shard_ && !shard_->spill_quiet() && i < 10'000; i++) turn(1'000'000);
}

speckv::Key SpillRig::key_of(uint64_t number) {
  speckv::Key key;
  for (uint64_t i = 0; i < 4; i++) key.word[i] = mix64(number * 4 + i + 1);
  return key;
}

std::string SpillRig::start() {
  auto file = SpillFile::open({path_, "bench", spill_bytes_, 1});
  if (!file.ok()) return file.status().text();
  file_ = std::move(file.value());
  Status ring = ring_.open();
  if (ring.ok()) ring = ring_.attach();
  if (!ring.ok()) return ring.text();
  auto layout = layouts_.add(layout_of(block_bytes, SPECKV_PRESET_EXACT), SPECKV_PRESET_EXACT, "b");
  if (!layout.ok()) return layout.status().text();
  layout_ = layout.value();
  IndexWriter::format(index_.data(), 1, buckets, 1);
  ShardOptions options;
  options.pool = pool_.at(0);
  options.index = index_.data();
  options.first_unit = 1;
  options.units = pool_.bytes() / shm::unit_bytes - 1;
  options.blocks_max = uint32_t(options.units * 8);
  options.engine = engine_.get();
  const SpillPart& part = file_->parts()[0];
  SpillOptions spill;
  spill.fd = file_->fd();
  spill.base = part.base;
  spill.units = part.units;
  spill.store_id = part.store_id;
  spill.entries_max = entries_max_;
  spill.buffer_bytes = buffer_bytes_;
  spill.scan = part.existed;
  options.spill = spill;
  shard_ = std::make_unique<Shard>(options);
  shard_->attach(ring_);
  return "";
}

void SpillRig::put(uint64_t number) {
  shm::Submission submission{};
  submission.key = key_of(number);
  submission.position = SPECKV_POSITION_UNKNOWN;
  bool existed = false;
  if (shard_->put(submission, *layout_, layout_->widths->current(), {block_.at(0), block_bytes},
                  monotonic_ns(), &existed) != 0)
    std::fprintf(stderr, "bench: a put failed\n");
}

int SpillRig::demote(uint64_t number) { return shard_->demote(key_of(number), *layout_); }

Fetch SpillRig::fetch(uint64_t number) {
  return shard_->fetch(key_of(number), *layout_, 0, UINT64_MAX, monotonic_ns()).outcome;
}

uint32_t SpillRig::work() {
  const uint64_t now_ns = monotonic_ns();
  done_.clear();
  ring_.reap(&done_);
  for (Operation* operation : done_) shard_->spill_completed(operation, now_ns);
  shard_->spill_turn(now_ns);
  fetched_.clear();
  shard_->take_fetched(&fetched_);
  uint32_t ready = 0;
  for (const FetchEnd& end : fetched_) ready += end.outcome == Fetch::ready;
  return ready;
}

}  // namespace speckv::bench
