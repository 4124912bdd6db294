// SPDX-License-Identifier: Apache-2.0
#include "faults.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace speckv::device {

namespace {

constexpr std::array<std::string_view, size_t(Fault::faults)> kNames = {
    "drop",    "twice", "hole", "phase", "checksum", "cookie",   "length",
    "garbage", "reset", "slow", "stuck", "deaf",     "link-down"};
constexpr uint32_t kDelayMaxMs = 60'000;

// These are there from their moment on, and no completion uses them up.
bool lasts(Fault fault) { return fault >= Fault::slow; }

std::string_view take_word(std::string_view* line) {
  const size_t begin = std::min(line->find_first_not_of(' '), line->size());
  line->remove_prefix(begin);
  const size_t end = std::min(line->find(' '), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(end);
  return word;
}

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return number;
}

}  // namespace

std::string Faults::obey(std::string_view line) {
  const std::string_view name = take_word(&line);
  if (name == "heal") {
    const std::lock_guard lock(lock_);
    for (Armed& armed : armed_) armed.left = 0;
    return {};
  }
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    std::string known;
    for (const std::string_view one : kNames) known.append(" ").append(one);
    return "'" + std::string(name) + "' is no fault; there are heal, status and" + known;
  }
  const auto fault = Fault(found - kNames.begin());
  uint32_t count = lasts(fault) ? for_ever : 1, after = 0, delay_ms = 100;
  for (std::string_view word = take_word(&line); !word.empty(); word = take_word(&line)) {
    const size_t sign = std::min(word.find('='), word.size());
    const std::string_view key = word.substr(0, sign);
    const std::string_view value = word.substr(std::min(sign + 1, word.size()));
    const std::optional<uint32_t> number =
        key == "count" && value == "all" ? for_ever : number_of(value);
    if (!number || (key != "count" && key != "after" && key != "ms") ||
        (key == "ms" && *number > kDelayMaxMs))
      return "'" + std::string(word) +
             "': expected count=N or count=all, after=N, ms=N (at most 60000)";
    if (key == "count") count = *number;
    if (key == "after") after = *number;
    if (key == "ms") delay_ms = *number;
  }
  const std::lock_guard lock(lock_);
  of(fault).left = count;
  of(fault).after = after;
  if (fault == Fault::slow) delay_ms_ = delay_ms;
  return {};
}

std::array<bool, size_t(Fault::faults)> Faults::next_completion() {
  std::array<bool, size_t(Fault::faults)> is_hit{};
  const std::lock_guard lock(lock_);
  for (size_t i = 0; i < armed_.size(); ++i) {
    Armed& armed = armed_[i];
    if (armed.left == 0) continue;
    if (armed.after > 0) {
      --armed.after;
      continue;
    }
    if (Fault(i) == Fault::reset) continue;  // take_reset() uses it up
    is_hit[i] = true;
    ++armed.hits;
    if (!lasts(Fault(i)) && armed.left != for_ever) --armed.left;
  }
  return is_hit;
}

bool Faults::is_on(Fault fault) const {
  const std::lock_guard lock(lock_);
  return armed_[size_t(fault)].is_on();
}

bool Faults::take_reset() {
  const std::lock_guard lock(lock_);
  Armed& armed = of(Fault::reset);
  if (!armed.is_on()) return false;
  ++armed.hits;
  armed.left = 0;
  return true;
}

void Faults::disarm(Fault fault) {
  const std::lock_guard lock(lock_);
  of(fault).left = 0;
}

std::chrono::milliseconds Faults::delay() const {
  const std::lock_guard lock(lock_);
  return std::chrono::milliseconds(armed_[size_t(Fault::slow)].is_on() ? delay_ms_ : 0);
}

std::string Faults::hits() const {
  std::string text;
  const std::lock_guard lock(lock_);
  for (size_t i = 0; i < armed_.size(); ++i)
    if (armed_[i].hits > 0)
      text.append(" ").append(kNames[i]).append("=").append(std::to_string(armed_[i].hits));
  return text;
}

}  // namespace speckv::device
