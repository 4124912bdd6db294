// SPDX-License-Identifier: Apache-2.0
// writing.hpp - a batch of puts or of removes, submitted and waited for: the one retry loop of this
// room.
//
// Submits what the arena and the ring take, reaps, and goes on until each operation is answered,
// the time is over, or the daemon is gone. Reaps every completion of its session, so one thread at
// a time runs a Writing on a session. Never touches Python: call it without the GIL.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "speckv/speckv.h"

namespace speckv::python {

uint64_t now_ns();  // CLOCK_MONOTONIC

class Writing {
 public:
  virtual ~Writing() = default;
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

  // Returns: 0, or a negative errno that ended the batch (-ECANCELED: stop became true): operations
  // without an answer have it then, and those that were under way may or may not be done.
  int run(uint64_t until_ns, const std::atomic<bool>* stop = nullptr);
  // How many were answered with 0.
  int good() const { return good_; }

 protected:
  Writing(speckv_session* session, size_t count);
  // Operation i: 0 or -errno; -EAGAIN until it is submitted, -EINPROGRESS until it is answered.
  virtual int32_t& result(size_t i) = 0;
  // Submits [begin, end), none of them submitted yet, with the user data that follow user_data(i).
  // Sets each one's result as speckv_put() does. Returns: a negative errno if none was tried.
  virtual int submit_run(size_t begin, size_t end) = 0;
  uint64_t user_data(size_t i) const { return first_user_data_ + i; }

  speckv_session* session_;

 private:
  int submit();
  bool submitted(size_t begin, size_t end);
  void reap();
  int give_up(int error);

  size_t count_, to_submit_, under_way_ = 0;
  uint64_t first_user_data_;
  int good_ = 0;
};

// ops are the caller's until run() has returned; each one's ret_result is its answer.
class Storing final : public Writing {
 public:
  Storing(speckv_session* session, uint32_t layout, speckv_put_op* ops, size_t count);

 private:
  int32_t& result(size_t i) override { return ops_[i].ret_result; }
  int submit_run(size_t begin, size_t end) override;

  uint32_t layout_;
  speckv_put_op* ops_;
};

class Removing final : public Writing {
 public:
  using Key = uint8_t[SPECKV_KEY_BYTES];
  Removing(speckv_session* session, uint32_t layout, const Key* keys, size_t count);
  bool gone(size_t i) const { return results_[i] == 0; }

 private:
  int32_t& result(size_t i) override { return results_[i]; }
  int submit_run(size_t begin, size_t end) override;

  uint32_t layout_;
  const Key* keys_;
  std::vector<int32_t> results_;
};

}  // namespace speckv::python
