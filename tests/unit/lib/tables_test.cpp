// SPDX-License-Identifier: Apache-2.0
// Proves that a layout keeps every set of bit widths that the daemon told of, as many as there is
// room for, and that one more is -ESTALE and takes nothing away from those that are there.
#include "src/tables.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "shm/layout_math.hpp"

namespace speckv::lib {
namespace {

speckv_layout layout() {
  speckv_layout made{};
  made.size = sizeof made;
  made.dtype = SPECKV_DTYPE_F16;
  made.layers = 2;
  made.kv_heads = 1;
  made.head_dim = 64;
  made.block_tokens = made.page_tokens = 32;
  made.world = 1;
  return made;
}

// The reply of a daemon whose n-th table this is.
class Reply {
 public:
  Reply(const speckv_layout& of, uint16_t n) {
    codec::ChanWeights weights;
    std::memcpy(weights.weights_digest, of.weights_digest, sizeof weights.weights_digest);
    weights.layers = uint16_t(of.layers);
    weights.kv_heads = uint16_t(of.kv_heads);
    weights.pairs = uint16_t(of.head_dim / 2);
    weights.weight.assign(size_t(weights.layers) * weights.kv_heads * weights.pairs, 0);
    weights.weight[0] = codec::ChanWeight(n);
    const std::vector<std::byte> file = codec::write_chan_weights(weights);
    fd_ = memfd_create("table", MFD_CLOEXEC);
    EXPECT_EQ(write(fd_, file.data(), file.size()), ssize_t(file.size()));
    wire::LayoutReply reply{};
    reply.header = wire_header(wire::Type::layout_ok, sizeof reply);
    reply.table_bytes = uint32_t(file.size());
    fingerprint_ = shm::stored_fingerprint(shm::layout_fingerprint(of),
                                           shm::hash_table(file.data(), file.size()));
    reply.fingerprint = fingerprint_;
    std::memcpy(message_.bytes, &reply, sizeof reply);
    message_.size = sizeof reply;
    message_.fds[0] = fd_;
    message_.fds_count = 1;
  }
  ~Reply() { close(fd_); }
  const Message& message() const { return message_; }
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  Message message_;
  uint64_t fingerprint_ = 0;
  int fd_ = -1;
};

TEST(Tables, AsManySetsAsThereIsRoomForAndTheNextIsStale) {
  const auto info = std::make_unique<LayoutInfo>();
  info->layout = layout();
  std::vector<uint64_t> told;
  for (uint16_t n = 1; n < width_sets_max; n++) {  // the first set are equal widths
    const Reply reply(info->layout, n);
    ASSERT_EQ(take_tables(reply.message(), info.get()), 0) << n;
    told.push_back(reply.fingerprint());
  }
  EXPECT_EQ(info->widths_count, width_sets_max);
  const Reply more(info->layout, width_sets_max);
  EXPECT_EQ(take_tables(more.message(), info.get()), -ESTALE);
  EXPECT_EQ(take_tables(Reply(info->layout, 5).message(), info.get()), 0) << "one that is there";
  EXPECT_FALSE(info->widths_of(more.fingerprint()));
  for (const uint64_t fingerprint : told) {
    const WidthSet* set = info->widths_of(fingerprint);
    ASSERT_TRUE(set);
    EXPECT_TRUE(set->tables);
  }
  drop_tables(info.get());
}

}  // namespace
}  // namespace speckv::lib
