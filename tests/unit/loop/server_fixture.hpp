// SPDX-License-Identifier: Apache-2.0
// server_fixture.hpp - a server on plain memory: namespaces, sessions and an Io without a kernel,
// turned by the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <vector>

#include "engine/engine.hpp"
#include "loop/server.hpp"
#include "pool/index_writer.hpp"
#include "shm/atomics.hpp"

namespace speckv::test {

class PlainRegion : public Region {
 public:
  explicit PlainRegion(uint64_t bytes) : bytes_(bytes) {
    data_ = static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  }
  ~PlainRegion() override { munmap(data_, bytes_); }
  std::byte* data() override { return data_; }
  uint64_t bytes() const override { return bytes_; }
  int client_fd() const override { return -1; }
  uint64_t page_bytes() const override { return 4096; }
  bool existed() const override { return false; }

 private:
  std::byte* data_;
  uint64_t bytes_;
};

class PlainMedium : public Medium {
 public:
  Result<std::unique_ptr<Region>> open_region(const std::string&, uint64_t bytes, bool) override {
    return std::unique_ptr<Region>(std::make_unique<PlainRegion>(bytes));
  }
  Result<std::unique_ptr<Region>> open_session(uint64_t bytes) override {
    return std::unique_ptr<Region>(std::make_unique<PlainRegion>(bytes));
  }
  std::string describe() const override { return "plain memory"; }
  std::string isolation() const override { return "none"; }
  bool survives_daemon() const override { return false; }
};

// Notes what is asked for; completes when the test says so.
class SimIo : public Io {
 public:
  int poll(Operation* operation, int fd) override {
    if (refuse) return -EAGAIN;
    *operation = {0, true};
    polls.push_back({operation, fd});
    return 0;
  }
  int read(Operation*, int, std::span<std::byte>, uint64_t) override { return -ENOSYS; }
  int sync(Operation*, int) override { return -ENOSYS; }
  int write(Operation*, int, std::span<const std::byte>, uint64_t) override { return -ENOSYS; }
  int cancel(Operation* operation) override {
    if (refuse) return -EAGAIN;
    cancels.push_back(operation);
    return 0;
  }
  int signal(int event_fd) override {
    if (refuse) return -EAGAIN;
    signals[event_fd]++;
    return 0;
  }
  void wait(uint64_t) override {}
  void reap(std::vector<Operation*>*) override {}

  struct Poll {
    Operation* operation;
    int fd;
  };
  bool refuse = false;
  std::vector<Poll> polls;
  std::vector<Operation*> cancels;
  std::map<int, int> signals;
};

// A client's side of a session: fills its ring with puts of one layout.
struct SimClient {
  std::shared_ptr<Session> session;
  uint32_t tail = 0, layout = 0;
  uint64_t block_bytes = 0;

  shm::ShardArea& area() const {
    const auto arena = session->arena(0, 1);
    const std::byte* memory = arena.data() - shm::session_arena_offset(1);
    return *reinterpret_cast<shm::ShardArea*>(const_cast<std::byte*>(memory) + shm::shards_offset);
  }
  void submit(const shm::Submission& submission) {
    area().sq[tail % shm::sq_entries] = submission;
    shm::store_release(area().sq_tail.value, ++tail);
  }
  // Each of another key: nothing exists before.
  void put() {
    static uint64_t number = 1 << 20;
    ask(shm::Op::put, ++number);
  }
  void ask(shm::Op op, uint64_t number) {
    shm::Submission submission{};
    submission.op = uint8_t(op);
    submission.layout = uint16_t(layout);
    submission.user_data = number;
    if (op == shm::Op::hold) submission.hold = 7, submission.arg = 1'000'000'000;
    for (uint64_t i = 0; i < 4; i++) submission.key.word[i] = mix64(number * 4 + i + 1);
    submit(submission);
  }
  void fill(uint32_t entries) {
    while (tail - served() < entries) put();
  }
  uint32_t served() const { return shm::load_acquire(area().sq_head.value); }
  uint32_t answered() const { return shm::load_acquire(area().cq_tail.value); }
  uint64_t served_bytes() const { return served() * block_bytes; }
  // The n-th completion since the session began: it is not overwritten in a short test.
  const shm::Completion& completion(uint32_t at) const { return area().cq[at % shm::cq_entries]; }
  // The last completion. Its client has reaped it then.
  shm::Completion last() const {
    const uint32_t at = shm::load_acquire(area().cq_tail.value);
    shm::store_release(area().cq_head.value, at);
    return area().cq[(at - 1) % shm::cq_entries];
  }
  void reap() const {
    shm::store_release(area().cq_head.value, shm::load_acquire(area().cq_tail.value));
  }
};

// Namespaces of one shard in plain memory, and sessions of them.
class SimSpaces {
 public:
  explicit SimSpaces(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      pools_.push_back(std::make_unique<PlainRegion>((units + 1) * shm::unit_bytes));
      indexes_.push_back(std::make_unique<PlainRegion>(shm::index_file_bytes(1, buckets)));
      IndexWriter::format(indexes_.back()->data(), 1, buckets, 1);
    }
  }
  // Once.
  std::vector<Server::Space> make(Engine* engine) {
    std::vector<Server::Space> parts;
    for (size_t i = 0; i < pools_.size(); i++) {
      std::byte* index = indexes_[i]->data();
      ShardOptions options;
      options.pool = pools_[i]->data();
      options.index = index;
      options.first_unit = 1;
      options.units = units;
      options.blocks_max = 1024;
      options.engine = engine;
      parts.push_back(
          {std::make_unique<Shard>(options), reinterpret_cast<shm::IndexHeader*>(index)});
    }
    return parts;
  }
  // layers x 16 KiB a block.
  SimClient client(uint32_t space, uint32_t layers, uint32_t preset = SPECKV_PRESET_EXACT) {
    speckv_layout desc = layout_of(layers);
    desc.preset = preset;
    const auto made = layouts_.add(desc, preset, "sim");
    EXPECT_TRUE(made.ok()) << made.status().text();
    const Layout* layout = made.value();
    const Session::Identity identity{++sessions_, 1000 + space, 0, 0, space};
    auto session = Session::create(identity, medium_, 1, 4 << 20);
    EXPECT_TRUE(session.ok()) << session.status().text();
    const int number = session.value()->add_layout(layout, &layout->widths->current());
    return {session.value(), 0, uint32_t(number), layout->block_bytes};
  }

 private:
  static constexpr uint64_t units = 16;
  static constexpr uint32_t buckets = 256;
  static speckv_layout layout_of(uint32_t layers) {
    speckv_layout desc{};
    desc.size = sizeof desc;
    desc.dtype = SPECKV_DTYPE_F16;
    desc.layers = layers;
    desc.kv_heads = 2;
    desc.head_dim = 64;
    desc.block_tokens = 32;
    desc.page_tokens = 32;
    desc.world = 1;
    desc.preset = SPECKV_PRESET_EXACT;
    return desc;
  }

  PlainMedium medium_;
  std::vector<std::unique_ptr<PlainRegion>> pools_, indexes_;
  LayoutTable layouts_;
  uint64_t sessions_ = 0;
};

class SimServer {
 public:
  explicit SimServer(uint32_t spaces = 2, std::unique_ptr<Engine> engine = make_cpu_engine())
      : engine_(std::move(engine)),
        spaces_(spaces),
        server_(std::make_unique<Server>(0, spaces_.make(engine_.get()), io, *engine_)) {}

  SimClient connect(uint32_t space, uint32_t layers, uint32_t preset = SPECKV_PRESET_EXACT) {
    SimClient client = spaces_.client(space, layers, preset);
    server_->admit(client.session);
    return client;
  }
  bool turn() { return server_->turn(now_ns_ += 1000); }
  // So much later.
  bool turn_after(uint64_t ns) { return server_->turn(now_ns_ += ns); }
  // A turn after the tick's time.
  bool late_turn() { return server_->turn(now_ns_ += tick_ns); }
  Server& server() { return *server_; }

  SimIo io;

 private:
  std::unique_ptr<Engine> engine_;
  SimSpaces spaces_;
  std::unique_ptr<Server> server_;
  uint64_t now_ns_ = 1;
};

}  // namespace speckv::test
