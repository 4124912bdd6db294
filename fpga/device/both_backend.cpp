// SPDX-License-Identifier: Apache-2.0
#include "both_backend.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace speckv::device {

namespace {

constexpr uint64_t kBeat = 64;

bool is_capability(uint32_t offset) {
  return offset == SPECKV_REG_DECODERS || offset == SPECKV_REG_ENCODERS ||
         offset == SPECKV_REG_SHAPES || offset == SPECKV_REG_OPERATIONS;
}

// What one of two may say of a command and the other not, without either being wrong.
bool may_differ(uint8_t status) {
  return status == SPECKV_ENGINE_UNSUPPORTED || status == SPECKV_ENGINE_TABLE ||
         status == SPECKV_ENGINE_CANCELLED || status == SPECKV_ENGINE_NOT_FOUND;
}

std::string hex(uint64_t number) {
  char text[19];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

// Memory with what was written to it so far, and what is written now held back.
class BothBackend::HeldBus final : public Bus {
 public:
  HeldBus(const Bus& bus, const CompletionRings& rings, Written& written)
      : bus_(bus), rings_(rings), written_(written) {}

  bool read(uint64_t address, std::span<std::byte> into) const override {
    if (!bus_.read(address, into)) return false;
    auto at = written_.beats.lower_bound(address / kBeat);
    for (; at != written_.beats.end() && at->first * kBeat < address + into.size(); ++at) {
      for (size_t i = 0; i < kBeat; ++i) {
        const uint64_t byte = at->first * kBeat + i - address;
        if ((at->second.mask >> i & 1) != 0 && byte < into.size()) into[byte] = at->second.data[i];
      }
    }
    return true;
  }
  bool write(uint64_t address, std::span<const std::byte> from) const override {
    if (!bus_.takes(address, from.size())) return false;
    if (const auto queue = rings_.queue_of(address, from.size())) {
      Told& told = written_.told.emplace_back(Told{*queue, address, {}});
      std::memcpy(&told.completion, from.data(), sizeof(told.completion));
      return true;
    }
    while (!from.empty()) {
      Beat& beat = written_.beats[address / kBeat];
      const size_t at = address % kBeat, part = std::min(from.size(), kBeat - at);
      std::memcpy(&beat.data[at], from.data(), part);
      beat.mask |= (part == kBeat ? ~uint64_t{0} : (uint64_t{1} << part) - 1) << at;
      address += part;
      from = from.subspan(part);
    }
    return true;
  }
  bool takes(uint64_t address, size_t bytes) const override { return bus_.takes(address, bytes); }

 private:
  const Bus& bus_;
  const CompletionRings& rings_;
  Written& written_;
};

BothBackend::BothBackend(std::unique_ptr<Backend> first, std::unique_ptr<Backend> second)
    : first_(std::move(first)), second_(std::move(second)) {
  show_indices();
}

uint32_t BothBackend::read(uint32_t offset) {
  if (is_capability(offset)) return first_->read(offset) & second_->read(offset);
  {
    const std::lock_guard lock(lock_);
    if (offset == SPECKV_REG_STATUS && is_reset_asked_) return SPECKV_REG_STATUS_RESETTING_MASK;
    const bool is_hiding = is_working_ || is_held_;
    if (offset == SPECKV_REG_STATUS && is_hiding) return 0;
    const auto shown = shown_.find(offset);
    if (is_hiding && shown != shown_.end()) return shown->second;
  }
  const uint32_t value = second_->read(offset);
  return offset == SPECKV_REG_STATUS ? value & first_->read(offset) : value;
}

void BothBackend::write(uint32_t offset, uint32_t value) {
  {
    const std::lock_guard lock(lock_);
    is_reset_asked_ |= offset == SPECKV_REG_CONTROL && (value & SPECKV_REG_CONTROL_RESET_MASK) != 0;
  }
  first_->write(offset, value);
  second_->write(offset, value);
}

bool BothBackend::work(const Bus& bus) {
  bool is_resetting;
  {
    std::unique_lock lock(lock_);
    worked_.wait(lock, [this] { return resets_waiting_ == 0; });
    is_resetting = is_reset_asked_;
    is_working_ = true;
  }
  rings_.see(*second_);
  const bool is_busy = first_->work(HeldBus(bus, rings_, of_first_)) |
                       second_->work(HeldBus(bus, rings_, of_second_));
  if (is_resetting) end_reset();
  const std::lock_guard lock(lock_);
  is_working_ = false;
  worked_.notify_all();
  is_held_ = !of_first_.told.empty() || !of_second_.told.empty() || !of_first_.beats.empty() ||
             !of_second_.beats.empty();
  if (is_busy) return true;
  if (is_held_) {
    compare();
    commit(bus);
  }
  show_indices();
  is_held_ = false;
  return false;
}

// What was held back of commands before the reset is never written.
void BothBackend::end_reset() {
  const uint32_t status = first_->read(SPECKV_REG_STATUS) | second_->read(SPECKV_REG_STATUS);
  if ((status & SPECKV_REG_STATUS_RESETTING_MASK) != 0) return;
  of_first_.clear();
  of_second_.clear();
  const std::lock_guard lock(lock_);
  is_reset_asked_ = false;
}

std::optional<uint8_t> BothBackend::take_interrupt() {
  {
    const std::lock_guard lock(lock_);
    if (is_held_) return {};
  }
  while (first_->take_interrupt()) {
  }
  return second_->take_interrupt();
}

void BothBackend::reset() {
  std::unique_lock lock(lock_);
  // Else a work() that follows the other at once would go first, again and again.
  ++resets_waiting_;
  worked_.wait(lock, [this] { return !is_working_; });
  --resets_waiting_;
  first_->reset();
  second_->reset();
  of_first_.clear();
  of_second_.clear();
  is_held_ = is_reset_asked_ = false;
  show_indices();
  lock.unlock();
  worked_.notify_all();
}

void BothBackend::show_indices() {
  for (uint32_t i = 0; i < SPECKV_REG_QUEUES_COUNT; ++i)
    for (const uint32_t of_queue_0 : {SPECKV_REG_QUEUES_SQ_HEAD, SPECKV_REG_QUEUES_CQ_TAIL}) {
      const uint32_t offset = of_queue_0 + i * SPECKV_REG_QUEUES_STRIDE;
      shown_[offset] = second_->read(offset);
    }
}

void BothBackend::differ(std::string what) {
  if (differences_++ > 0) return;
  std::fprintf(stderr, "speckv-device: golden model and RTL differ: %s\n", what.c_str());
  first_difference_ = std::move(what);
}

void BothBackend::compare() {
  std::vector<Told> rest = of_first_.told;
  bool are_bytes_told_of = true;
  for (const Told& told : of_second_.told) are_bytes_told_of &= compare_told(told, &rest);
  for (const Told& told : rest)
    differ("queue " + std::to_string(told.queue) + ", cookie " + hex(told.completion.cookie) +
           ": the RTL has no completion of it");
  if (are_bytes_told_of) compare_bytes();
}

// Returns: whether what the command wrote can be compared.
bool BothBackend::compare_told(const Told& second, std::vector<Told>* rest) {
  const speckv_engine_completion& rtl = second.completion;
  const std::string name =
      "queue " + std::to_string(second.queue) + ", cookie " + hex(rtl.cookie) + ": ";
  const auto found = std::ranges::find_if(*rest, [&](const Told& told) {
    return told.queue == second.queue && told.completion.cookie == rtl.cookie;
  });
  if (found == rest->end()) {
    differ(name + "the golden model has no completion of it");
    return false;
  }
  const speckv_engine_completion golden = found->completion;
  rest->erase(found);
  ++compared_;
  if (may_differ(golden.status) || may_differ(rtl.status))
    return golden.status == rtl.status && golden.status != SPECKV_ENGINE_CANCELLED;
  if (golden.status != rtl.status) {
    differ(name + "status " + std::to_string(golden.status) + " of the golden model, " +
           std::to_string(rtl.status) + " of the RTL");
  } else if (rtl.status == SPECKV_ENGINE_REFUSED) {
    if (golden.page != rtl.page || golden.refusal != rtl.refusal)
      differ(name + "page " + std::to_string(golden.page) + " refused by the golden model, " +
             std::to_string(rtl.page) + " by the RTL");
    return false;
  } else if (rtl.status == SPECKV_ENGINE_OK) {
    if (golden.checksum != rtl.checksum || golden.bytes != rtl.bytes)
      differ(name + "checksum " + hex(golden.checksum) + " of the golden model, " +
             hex(rtl.checksum) + " of the RTL");
  }
  return true;
}

void BothBackend::compare_bytes() {
  auto rtl = of_second_.beats.begin();
  for (const auto& [address, golden] : of_first_.beats) {
    if (rtl == of_second_.beats.end() || rtl->first != address || rtl->second.mask != golden.mask ||
        rtl->second.data != golden.data)
      return differ("bytes at bus address " + hex(address * kBeat));
    ++rtl;
  }
  if (rtl != of_second_.beats.end())
    differ("bytes at bus address " + hex(rtl->first * kBeat) + " that only the RTL wrote");
}

void BothBackend::commit(const Bus& bus) {
  for (const auto& [address, beat] : of_second_.beats) {
    for (size_t at = 0; at < kBeat;) {
      size_t end = at;
      while (end < kBeat && (beat.mask >> end & 1) != 0) ++end;
      // memory that went away meanwhile is nobody's any more
      if (end > at)
        (void)bus.write(address * kBeat + at, std::span(beat.data).subspan(at, end - at));
      at = end + 1;
    }
  }
  for (const Told& told : of_second_.told)
    (void)bus.write(told.address, std::as_bytes(std::span(&told.completion, 1)));
  of_first_.clear();
  of_second_.clear();
}

uint64_t BothBackend::compared() const {
  const std::lock_guard lock(lock_);
  return compared_;
}
uint64_t BothBackend::differences() const {
  const std::lock_guard lock(lock_);
  return differences_;
}
std::string BothBackend::first_difference() const {
  const std::lock_guard lock(lock_);
  return first_difference_;
}

}  // namespace speckv::device
