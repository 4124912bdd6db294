// SPDX-License-Identifier: Apache-2.0
// pool_bench.cpp - what a put costs the shard as the pool and the number of sessions grow.
//
// How: one shard over a *simulated* pool: sparse memory of the full size, an engine that writes
// nothing, so that only headers are touched. Blocks have 32 layers, in slots of 32 KiB at 4 GiB and
// of 2 MiB beyond, so that all pools hold about as many: what differs is their size alone. Every
// put evicts: at 4 and 256 GiB since the slots are taken, at 4 TiB since the block numbers are (its
// headers alone would take 8 GiB). Rounds of all settings are interleaved, CPU time of the thread
// is taken, medians are compared; the counts beside them do not depend on the machine.
//
// Simulated: no byte of KV is encoded, copied or read here. What is measured is index, slots,
// eviction and guards.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "journey/shard.hpp"
#include "no_engine.hpp"
#include "pool/index_writer.hpp"

namespace speckv {
namespace {

constexpr uint32_t layers = 32, rounds = 9, puts_per_round = 400;
constexpr uint32_t blocks_max = 6000;
constexpr uint32_t buckets = 2048;
constexpr uint32_t sessions_of[] = {1, 64, 1024};

class Sparse {
 public:
  explicit Sparse(uint64_t bytes) : bytes_(bytes) {
    void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base_ = base == MAP_FAILED ? nullptr : static_cast<std::byte*>(base);
    if (base_) madvise(base_, bytes, MADV_NOHUGEPAGE);
  }
  ~Sparse() {
    if (base_) munmap(base_, bytes_);
  }
  Sparse(const Sparse&) = delete;
  Sparse& operator=(const Sparse&) = delete;
  std::byte* data() { return base_; }

 private:
  std::byte* base_;
  uint64_t bytes_;
};

speckv_layout shape(uint64_t gib) {
  speckv_layout desc{};
  desc.size = sizeof desc;
  desc.dtype = SPECKV_DTYPE_F16;
  desc.layers = layers;
  desc.kv_heads = gib > 4 ? 64 : 1;
  desc.head_dim = 128;
  desc.block_tokens = 64;
  desc.page_tokens = 64;
  desc.preset = SPECKV_PRESET_EXACT;
  return desc;
}

struct Row {
  std::vector<double> put_s;
  uint64_t steps = 0, guards_read = 0;
  double put_us() {
    std::sort(put_s.begin(), put_s.end());
    return put_s[put_s.size() / 2] * 1e6;
  }
};

class Pool {
 public:
  Pool(const Layout& layout, uint64_t gib, std::span<const std::byte> arena)
      : layout_(layout),
        arena_(arena),
        pool_((gib * 512 + 1) * shm::unit_bytes),
        index_(shm::index_file_bytes(1, buckets)),
        guards_(1024, std::vector<shm::GuardSlot>(shm::guard_slots)) {
    if (!pool_.data() || !index_.data()) return;
    IndexWriter::format(index_.data(), 1, buckets, 1);
    ShardOptions options;
    options.pool = pool_.data();
    options.index = index_.data();
    options.first_unit = 1;
    options.units = gib * 512;
    options.blocks_max = blocks_max;
    options.policy = "continuation";
    options.engine = &engine_;
    shard_ = std::make_unique<Shard>(options);
    for (auto& session : guards_) session[0].slots_used = 1;  // one reading thread each
    while (shard_->counters().evicted < 64) put();
  }

  bool ready() const { return shard_ != nullptr; }
  void round(uint32_t sessions, Row* row) {
    std::vector<const shm::GuardSlot*> guards;
    for (uint32_t i = 0; i < sessions; i++) guards.push_back(guards_[i].data());
    shard_->set_guards(std::move(guards));
    for (uint32_t i = 0; i < 128; i++) put();  // what went ahead with other sessions is used up
    const uint64_t steps = shard_->slabs().steps(), read = shard_->guards_read();
    const double start_s = cpu_s();
    for (uint32_t i = 0; i < puts_per_round; i++) put();
    row->put_s.push_back((cpu_s() - start_s) / puts_per_round);
    row->steps += shard_->slabs().steps() - steps;
    row->guards_read += shard_->guards_read() - read;
  }

 private:
  void put() {
    shm::Submission submission{};
    number_++;
    for (uint64_t i = 0; i < 4; i++) submission.key.word[i] = mix64(number_ * 4 + i);
    submission.position = 64;
    bool existed = false;
    now_ns_ += 1'000'000;
    if (shard_->put(submission, layout_, layout_.widths->current(), arena_, now_ns_, &existed) != 0)
      std::printf("a put failed\n");
    if (number_ % 20 == 0) shard_->tick(now_ns_);
  }

  const Layout& layout_;
  std::span<const std::byte> arena_;
  Sparse pool_, index_;
  std::vector<std::vector<shm::GuardSlot>> guards_;
  NoEngine engine_;
  std::unique_ptr<Shard> shard_;
  uint64_t number_ = 0, now_ns_ = 1'000'000'000;
};

}  // namespace
}  // namespace speckv

int main() {
  using namespace speckv;
  constexpr uint64_t gib_of[] = {4, 256, 4096};
  LayoutTable layouts;
  std::vector<std::unique_ptr<Sparse>> arenas;
  std::vector<std::unique_ptr<Pool>> pools;
  for (const uint64_t gib : gib_of) {
    const auto layout = layouts.add(shape(gib), SPECKV_PRESET_EXACT, "bench");
    if (!layout.ok()) return std::printf("%s\n", layout.status().text().c_str()), 1;
    arenas.push_back(std::make_unique<Sparse>(layout.value()->block_bytes));
    pools.push_back(std::make_unique<Pool>(
        *layout.value(), gib,
        std::span<const std::byte>(arenas.back()->data(), layout.value()->block_bytes)));
    if (!pools.back()->ready())
      return std::printf("no address space for %u GiB\n", unsigned(gib)), 1;
  }
  Row rows[3][3];
  for (uint32_t round = 0; round < rounds; round++)
    for (uint32_t pool = 0; pool < 3; pool++)
      for (uint32_t i = 0; i < 3; i++) pools[pool]->round(sessions_of[i], &rows[pool][i]);
  const double base_us = rows[0][0].put_us(), puts = double(rounds) * puts_per_round;
  std::printf("simulated pools, blocks of %u layers, each put evicts; CPU of the shard alone\n",
              layers);
  std::printf("%8s %9s %9s %7s %12s %12s\n", "pool", "sessions", "us a put", "ratio", "steps a put",
              "guards a put");
  for (uint32_t pool = 0; pool < 3; pool++)
    for (uint32_t i = 0; i < 3; i++) {
      Row& row = rows[pool][i];
      std::printf("%4u GiB %9u %9.2f %7.2f %12.1f %12.1f\n", unsigned(gib_of[pool]), sessions_of[i],
                  row.put_us(), row.put_us() / base_us, double(row.steps) / puts,
                  double(row.guards_read) / puts);
    }
  return 0;
}
