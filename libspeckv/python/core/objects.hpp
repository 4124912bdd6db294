// SPDX-License-Identifier: Apache-2.0
// objects.hpp - byte objects under names: batches of gets, puts, looks and removes that are
// submitted, done by threads of its own, and fetched when an event descriptor says so.
//
// For cache servers whose objects carry neither token ids nor a position (LMCache). A name's key is
// the SHA-256 of its bytes; an object's place in a block is its Shape's matter. Reads and looks go
// to `threads` readers (looks first), puts and removes in order to one writer, which alone reaps
// the session. What lies in a tier below the pool is there: a get waits for it, for wait_ns at most
// (0: nobody looks below). Nothing waits longer than timeout_ns, and close() ends a wait. Never
// touches Python: who submits keeps the memory alive by the Batch's owner, and drops that with the
// GIL held.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "shape.hpp"
#include "speckv/speckv.h"

namespace speckv::python {

using ObjectKey = std::array<uint8_t, SPECKV_KEY_BYTES>;
ObjectKey object_key(std::string_view name);

enum class BatchKind : uint8_t { get, put, look, remove };

struct Batch {
  struct Memory {
    uint8_t* data;
    size_t bytes;
  };
  uint64_t id = 0;
  BatchKind kind = BatchKind::look;
  std::vector<ObjectKey> keys;
  std::vector<Memory> memory;  // of gets and puts, one a key
  std::vector<uint8_t> good;   // by key: read, stored, there, or removed
  std::string error;           // one sentence where the batch as a whole failed; else empty
  std::shared_ptr<void> owner;
  std::atomic<size_t> parts{1};  // not done yet
};

class Objects {
 public:
  // session is its own from here on. shapes: smallest first.
  Objects(speckv_session* session, std::vector<Shape> shapes, unsigned threads, uint64_t timeout_ns,
          uint64_t wait_ns);
  ~Objects();
  Objects(const Objects&) = delete;
  Objects& operator=(const Objects&) = delete;

  // Readable while drain() has something; poll it, do not read it.
  int event_fd() const { return event_; }
  // Returns: the batch's id, or a negative errno.
  int64_t submit(std::unique_ptr<Batch> batch);
  std::vector<std::unique_ptr<Batch>> drain();
  // Ends the threads and the session. What was under way may or may not be done, and what was not
  // drained is returned. A second time: nothing.
  std::vector<std::unique_ptr<Batch>> close();
  // In a child of fork(): gives back the child's descriptor and mappings; the threads are not here,
  // and nothing else may be called or destroyed.
  void leave_to_parent();
  int stats(struct speckv_stats* ret_stats) const { return speckv_stats(session_, ret_stats); }

 private:
  struct Part {
    Batch* batch;
    size_t begin, end;
  };
  using Places = std::vector<size_t>;  // of keys in a batch

  void read_loop();
  void write_loop();
  void finish(Batch& batch);
  void read(const Part& part);
  size_t read_run(const Shape& shape, const Part& part, uint64_t* wait_left_ns);
  void load_misses(const Shape& shape, std::vector<speckv_get_op>* ops, uint64_t* wait_left_ns);
  void look(Batch& batch);
  void look_at(size_t shape, const Places& hit, Batch& batch, Places* left);
  void put(Batch& batch);
  size_t put_run(const Shape& shape, Batch& batch, size_t begin);
  void remove(Batch& batch);
  Places found(size_t shape, const Batch& batch, const Places& places, int* ret_error) const;
  std::vector<int32_t> tiers_of(const Shape& shape, const Batch& batch, const Places& places,
                                uint64_t until_ns);
  const Shape* shape_for(size_t bytes);
  std::vector<size_t> likely_first() const;

  speckv_session* session_;
  const std::vector<Shape> shapes_;
  std::vector<std::atomic<uint64_t>> used_;  // by shape: objects of it that were met
  const uint64_t timeout_ns_, wait_ns_;
  std::atomic<uint64_t> quiet_until_ns_{0};
  int event_ = -1;
  std::atomic<bool> stop_{false};
  bool closed_ = false;
  std::mutex mutex_;  // of what follows
  std::condition_variable reads_ready_, writes_ready_;
  std::deque<Part> reads_;
  std::deque<Batch*> writes_;
  std::unordered_map<uint64_t, std::unique_ptr<Batch>> under_way_;
  std::vector<std::unique_ptr<Batch>> done_;
  uint64_t next_id_ = 1;
  std::vector<std::thread> threads_;
};

}  // namespace speckv::python
