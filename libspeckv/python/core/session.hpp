// SPDX-License-Identifier: Apache-2.0
// session.hpp - Session: the C handle, and one method a call of speckv.h.
//
// Each method takes its arrays by buffer protocol, releases the GIL around the C call and turns a
// negative errno into OSError. Any thread may call; the C library says which handle was closed or
// forked, so nothing is remembered here. Never: loops over keys in Python.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <optional>
#include <string>

#include "speckv/speckv.h"

namespace speckv::python {

namespace nb = nanobind;

class Session {
 public:
  Session(const std::optional<std::string>& socket, const std::optional<std::string>& name,
          uint64_t arena_bytes, uint32_t timeout_ms, int32_t daemon_uid);
  ~Session() { close(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void close();
  speckv_session* handle() const { return handle_; }
  int event_fd() const;
  uint32_t register_layout(nb::handle layout) const;

  int get(uint32_t layout, nb::handle ops) const;
  int put(uint32_t layout, nb::handle ops) const;
  // Submits all ops and waits until each is answered; ret_result of each is then its answer. Reaps
  // every completion of the session meanwhile. Returns: how many are stored (or were already).
  int store(uint32_t layout, nb::handle ops, uint64_t timeout_ns) const;
  int exists(uint32_t layout, nb::handle keys, nb::handle ret_hits) const;
  int locate(uint32_t layout, nb::handle keys, nb::handle ret_tiers, uint64_t timeout_ns) const;
  nb::tuple hold(uint32_t layout, nb::handle keys, nb::handle ret_hits, uint64_t ttl_ns,
                 uint64_t timeout_ns) const;
  void unhold(uint64_t hold) const;
  void adopt(uint64_t hold, uint64_t timeout_ns) const;
  int prefetch(uint32_t layout, nb::handle keys) const;
  // Returns: length of the leading run that was read.
  int load(uint32_t layout, nb::handle ops, uint64_t deadline_ns) const;
  // Returns: how many leading keys are retained, and under what number. ret_results is written also
  // when it throws.
  nb::tuple retain(uint32_t layout, nb::handle keys, nb::handle ret_results, uint64_t ttl_ns,
                   uint64_t timeout_ns) const;
  void retain_end(uint64_t retain) const;
  int demote(uint32_t layout, nb::handle keys, uint64_t user_data) const;
  int hint(uint32_t layout, nb::handle keys, uint32_t kind, uint64_t returns_ns) const;
  int remove(uint32_t layout, nb::handle keys, uint64_t user_data) const;
  // Returns: how many, or -EOVERFLOW.
  int changes(nb::handle cursor, nb::handle ret_changes) const;
  // Returns: how many, and the position to go on from.
  nb::tuple resident(uint64_t position, nb::handle ret_changes) const;
  int reap(nb::handle ret_completions) const;
  bool wait(uint64_t timeout_ns) const;
  void stats(nb::handle ret_stats) const;

 private:
  speckv_session* handle_ = nullptr;
};

}  // namespace speckv::python
