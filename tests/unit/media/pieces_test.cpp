// SPDX-License-Identifier: Apache-2.0
// pieces_test.cpp - a pool around what somebody keeps, on a model of a region: one kept granule
// costs a granule, for each of several pools; too many are refused, and a refusal holds nothing.
#include <gtest/gtest.h>

#include <map>

#include "pool/extent_pieces.hpp"

namespace speckv::pool {
namespace {

constexpr uint64_t granule = SPECKV_GRANULE_BYTES;

// A region of granules that are free (0), in an extent, or kept by a client.
class ModelRegion : public ExtentSource {
 public:
  explicit ModelRegion(uint64_t granules) : owner_(granules) {}
  void keep(uint64_t at) { owner_[at] = kept, kept_++; }
  uint64_t used() const { return extents_.size(); }

  uint64_t device_bytes() const override { return owner_.size() * granule; }
  int try_alloc(speckv_alloc* request) override {
    const uint64_t count = request->bytes / granule;
    uint64_t first = request->offset / granule;
    if (!(request->flags & SPECKV_ALLOC_AT))
      for (first = 0; first + count <= owner_.size() && !is_free(first, count);) first++;
    if (first + count > owner_.size() || !is_free(first, count)) return ENOSPC;
    request->handle = ++last_;
    request->offset = first * granule;
    for (uint64_t i = first; i < first + count; i++) owner_[i] = last_;
    extents_[last_] = {first, count};
    return 0;
  }
  Result<speckv_alloc> alloc(const std::string&, uint64_t bytes, uint64_t cookie) override {
    speckv_alloc request{};
    request.bytes = bytes;
    request.cookie = cookie;
    const int error = try_alloc(&request);
    if (error) return Status(error, "no run");
    return request;
  }
  Status free(uint64_t handle) override {
    const auto [first, count] = extents_.at(handle);
    for (uint64_t i = first; i < first + count; i++) owner_[i] = 0;
    extents_.erase(handle);
    return {};
  }
  Result<speckv_stat> stat() override {
    speckv_stat now{};
    uint64_t run = 0, longest = 0;
    for (uint64_t who : owner_) longest = std::max(longest, run = who == 0 ? run + 1 : 0);
    now.longest_bytes = longest * granule;
    now.quarantined_bytes = kept_ * granule;
    return now;
  }

 private:
  static constexpr uint64_t kept = ~uint64_t{0};
  bool is_free(uint64_t first, uint64_t count) const {
    return std::all_of(owner_.begin() + std::ptrdiff_t(first),
                       owner_.begin() + std::ptrdiff_t(first + count),
                       [](uint64_t who) { return who == 0; });
  }
  std::vector<uint64_t> owner_;
  std::map<uint64_t, std::pair<uint64_t, uint64_t>> extents_;
  uint64_t kept_ = 0, last_ = 0;
};

uint64_t hole_bytes(const Pieces& pieces) {
  uint64_t bytes = 0;
  for (const LostRange& hole : pieces.holes) bytes += hole.bytes;
  return bytes;
}

TEST(Pieces, NothingKeptIsOneExtent) {
  ModelRegion region(384);
  const auto pool = alloc_pieces(region, "pool", 384 * granule, 7);
  ASSERT_TRUE(pool.ok()) << pool.status().text();
  EXPECT_EQ(pool.value().handles.size(), 1u);
  EXPECT_TRUE(pool.value().holes.empty());
}

TEST(Pieces, AKeptGranuleCostsAGranuleWhereverItLies) {
  for (uint64_t at : {1, 2, 100, 191, 192, 382}) {
    ModelRegion region(384);
    region.keep(at);
    const auto pool = alloc_pieces(region, "pool", 384 * granule, 7);
    ASSERT_TRUE(pool.ok()) << at;
    EXPECT_EQ(pool.value().offset, 0u);
    EXPECT_EQ(pool.value().bytes, 384 * granule);
    ASSERT_EQ(pool.value().holes.size(), 1u);
    EXPECT_EQ(pool.value().holes[0].offset, at * granule);
    EXPECT_EQ(pool.value().holes[0].bytes, granule);
  }
}

TEST(Pieces, TwoPoolsThatFilledTheRegionStillDo) {
  ModelRegion region(512);
  region.keep(120);
  for (int i = 0; i < 2; i++) {
    const auto pool = alloc_pieces(region, "pool", 250 * granule, 7);
    ASSERT_TRUE(pool.ok()) << i;
    EXPECT_EQ(hole_bytes(pool.value()), i == 0 ? granule : 0);
  }
}

// The first or the last granule cannot be a hole: then the range is put elsewhere.
TEST(Pieces, AKeptGranuleAtAnEndIsGotAround) {
  for (uint64_t at : {0, 300}) {
    ModelRegion region(400);
    region.keep(at);
    const auto pool = alloc_pieces(region, "pool", 301 * granule, 7);
    ASSERT_TRUE(pool.ok()) << at;
    EXPECT_EQ(pool.value().bytes, 301 * granule);
  }
}

TEST(Pieces, TooManyAreRefusedAndNothingIsHeld) {
  ModelRegion region(160);
  for (uint64_t at = 5; at < 160; at += 10) region.keep(at);
  EXPECT_EQ(alloc_pieces(region, "pool", 160 * granule, 7).status().error(), ENOSPC);
  EXPECT_EQ(region.used(), 0u);
}

TEST(Pieces, AreFoundAgainAsOneRange) {
  const Pieces pool = pieces_of({{11, 4 * granule, 3 * granule, 7, 0},
                                 {12, 7 * granule, granule, 7, 0},
                                 {13, 9 * granule, granule, 7, 0}});
  EXPECT_EQ(pool.offset, 4 * granule);
  EXPECT_EQ(pool.bytes, 6 * granule);
  EXPECT_EQ(pool.handles.size(), 3u);
  ASSERT_EQ(pool.holes.size(), 1u);
  EXPECT_EQ(pool.holes[0].offset, 4 * granule);
}

}  // namespace
}  // namespace speckv::pool
