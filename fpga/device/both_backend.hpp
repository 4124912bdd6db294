// SPDX-License-Identifier: Apache-2.0
// both_backend.hpp - two back ends that do each command, and a comparison of what came of it.
//
// Both see every register write and read the same memory; what they write is held back until both
// have nothing to do any more. Then completions are compared, by queue and cookie, and all bytes;
// what the second one wrote goes to memory, completions last. So a guest sees nothing that was not
// compared. Not compared is what may differ for good reasons: what was cancelled, what one of the
// two does not take, and the bytes before a page that was refused. Threads as in backend.hpp.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "completion_rings.hpp"

namespace speckv::device {

class BothBackend final : public Backend {
 public:
  BothBackend(std::unique_ptr<Backend> first, std::unique_ptr<Backend> second);

  uint32_t read(uint32_t offset) override;
  void write(uint32_t offset, uint32_t value) override;
  bool work(const Bus& bus) override;
  std::optional<uint8_t> take_interrupt() override;
  void reset() override;

  // Commands that were compared, and differences; of the first one, what it was.
  uint64_t compared() const;
  uint64_t differences() const;
  std::string first_difference() const;

 private:
  struct Told {
    uint32_t queue;
    uint64_t address;
    speckv_engine_completion completion;
  };
  struct Beat {
    uint64_t mask = 0;  // bytes of it that were written
    std::array<std::byte, 64> data{};
  };
  struct Written {
    std::map<uint64_t, Beat> beats;  // by address / 64
    std::vector<Told> told;
    void clear() { beats.clear(), told.clear(); }
  };
  class HeldBus;
  void compare();
  bool compare_told(const Told& second, std::vector<Told>* rest);
  void compare_bytes();
  void differ(std::string what);
  void commit(const Bus& bus);
  void show_indices();
  void end_reset();

  std::unique_ptr<Backend> first_, second_;
  CompletionRings rings_;  // work()'s own, as are these
  Written of_first_, of_second_;

  mutable std::mutex lock_;  // of all below
  std::condition_variable worked_;
  bool is_working_ = false, is_held_ = false, is_reset_asked_ = false;
  int resets_waiting_ = 0;              // before which no work() begins
  std::map<uint32_t, uint32_t> shown_;  // indices of queues as of the last commit
  uint64_t compared_ = 0, differences_ = 0;
  std::string first_difference_;
};

}  // namespace speckv::device
