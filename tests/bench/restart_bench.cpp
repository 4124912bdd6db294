// SPDX-License-Identifier: Apache-2.0
// restart_bench.cpp - how fast a new daemon has an old pool's blocks in its index again.
//
// How: one shard puts blocks of 1, 2 and 32 layers, in chains of 64, through an engine that writes
// no payload, and as many again, each for one at random that is removed: addresses follow time no
// longer, as in a pool that has been in use. Then, in turns, the headers of all slots are walked in
// the order of addresses, one load each, and a new shard restores the same bytes into an empty
// index. CPU time of the thread, medians; a block costs at least its slots' headers, which is what
// the ratio is to.
//
// Measured with real memory of the size that is printed, in huge pages where the kernel gives them.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "journey/shard.hpp"
#include "no_engine.hpp"
#include "pool/index_writer.hpp"

namespace speckv {
namespace {

constexpr uint64_t gib = 1ull << 30, pool_bytes = 3 * gib / 2;
constexpr uint32_t rounds = 9, chain_blocks = 64;

class Memory {
 public:
  explicit Memory(uint64_t bytes) : bytes_(bytes) {
    void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<std::byte*>(base);
    madvise(base_, bytes, MADV_HUGEPAGE);
  }
  ~Memory() { munmap(base_, bytes_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* data() { return base_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  uint64_t bytes_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

speckv_layout shape(uint32_t layers) {
  speckv_layout desc{};
  desc.size = sizeof desc;
  desc.dtype = SPECKV_DTYPE_F16;
  desc.layers = layers;
  desc.kv_heads = 1;
  desc.head_dim = 64;
  desc.block_tokens = 16;
  desc.page_tokens = 16;
  desc.preset = SPECKV_PRESET_EXACT;
  return desc;
}

class Pool {
 public:
  Pool(const Layout& layout, uint32_t blocks)
      : blocks_(blocks), pool_(pool_bytes), index_(shm::index_file_bytes(1, buckets())) {
    NoEngine engine;
    Memory arena(layout.block_bytes);
    auto shard = make_shard(&engine);
    std::vector<uint64_t> there(blocks);
    for (uint64_t number = 0; number < 2 * uint64_t(blocks); number++) {
      uint64_t& place = there[number < blocks ? number : mix64(number) % blocks];
      if (number >= blocks && shard->remove(key_of(place), layout) != 0) std::abort();
      place = number;
      shm::Submission submission{};
      submission.key = key_of(number);
      if (number % chain_blocks) submission.parent = key_of(number - 1);
      submission.position = uint32_t(number % chain_blocks) * layout.desc.block_tokens;
      bool existed = false;
      const int result = shard->put(submission, layout, layout.widths->current(),
                                    {arena.data(), layout.block_bytes}, now_ns(number), &existed);
      if (result != 0) std::printf("put %u: %d\n", unsigned(number), result), std::abort();
    }
  }

  // Returns: seconds to restore it all.
  double restore() {
    std::fill_n(index_.data(), index_.bytes(), std::byte{0});
    NoEngine engine;
    auto shard = make_shard(&engine);
    const double start_s = cpu_s();
    const uint64_t restored = shard->restore(now_ns(2 * uint64_t(blocks_)));
    const double spent_s = cpu_s() - start_s;
    if (restored != blocks_) std::printf("%u of them only\n", unsigned(restored)), std::abort();
    return spent_s;
  }

  // Returns: seconds to look at each slot's header.
  double walk() {
    SlabPool slabs(pool_.data(), 1, pool_.bytes() / shm::unit_bytes - 1, 0);
    const double start_s = cpu_s();
    uint64_t sum = 0;
    slots_ = 0;
    slabs.adopt([&](uint64_t offset, uint32_t) {
      sum += reinterpret_cast<const shm::SlotHeader*>(pool_.data() + offset)->gen;
      slots_++;
      return no_owner;
    });
    const double spent_s = cpu_s() - start_s;
    if (sum == 0) std::abort();
    return spent_s;
  }
  uint64_t slots() const { return slots_; }

 private:
  static Key key_of(uint64_t number) {
    Key key;
    for (uint64_t i = 0; i < 4; i++) key.word[i] = mix64(number * 4 + i + 1);
    return key;
  }
  static uint64_t now_ns(uint64_t number) { return 1'000'000'000'000 + number * 1'000'000; }
  uint32_t buckets() const { return blocks_ / 5 + 16; }
  std::unique_ptr<Shard> make_shard(Engine* engine) {
    IndexWriter::format(index_.data(), 1, buckets(), 1);
    ShardOptions options;
    options.pool = pool_.data();
    options.index = index_.data();
    options.first_unit = 1;
    options.units = pool_.bytes() / shm::unit_bytes - 1;
    options.blocks_max = blocks_;
    options.policy = "continuation";
    options.engine = engine;
    return std::make_unique<Shard>(options);
  }

  uint32_t blocks_;
  Memory pool_, index_;
  uint64_t slots_ = 0;
};

}  // namespace
}  // namespace speckv

// [LAYERS]: blocks of so many alone.
int main(int argc, char** argv) {
  using namespace speckv;
  constexpr struct { uint32_t layers, blocks; } of[] = {{1, 300'000}, {2, 150'000}, {32, 10'000}};
  std::printf("restored into an empty index, CPU of one shard; medians of %u\n", rounds);
  std::printf("%7s %8s %9s %12s %12s %10s %8s\n", "layers", "blocks", "slots", "M blocks/s",
              "ns a block", "ns a slot", "of walk");
  LayoutTable layouts;
  for (const auto& [layers, blocks] : of) {
    if (argc > 1 && uint32_t(std::atoi(argv[1])) != layers) continue;
    const auto layout = layouts.add(shape(layers), SPECKV_PRESET_EXACT, "bench");
    if (!layout.ok()) return std::printf("%s\n", layout.status().text().c_str()), 1;
    Pool pool(*layout.value(), blocks);
    std::vector<double> restore_s, walk_s;
    for (uint32_t round = 0; round < rounds; round++) {
      walk_s.push_back(pool.walk());
      restore_s.push_back(pool.restore());
    }
    const double spent = median(restore_s);
    std::printf("%7u %8u %9u %12.2f %12.0f %10.1f %7.1fx\n", layers, blocks, unsigned(pool.slots()),
                blocks / spent / 1e6, spent / blocks * 1e9, spent / double(pool.slots()) * 1e9,
                spent / median(walk_s));
  }
  return 0;
}
