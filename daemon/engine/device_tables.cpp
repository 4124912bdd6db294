// SPDX-License-Identifier: Apache-2.0
// device_tables.cpp - see device_tables.hpp.
#include "engine/device_tables.hpp"

#include <algorithm>
#include <cstring>

#include "assert.hpp"
#include "codec/chanq.hpp"
#include "hw/speckv_engine.h"

namespace speckv {

using codec::chanq_pairs_max;
using codec::ChanTable;
using codec::Rotation;

static_assert(DeviceTables::load_bytes_max >= SPECKV_ENGINE_TURNS_BYTES);
static_assert(DeviceTables::load_bytes_max >= 256 * SPECKV_ENGINE_WIDTHS_BYTES);
static_assert(SPECKV_ENGINE_TURNS_BYTES == codec::chanq_tokens_max * chanq_pairs_max * 4);

// Of one job.
struct DeviceTables::Wanted {
  bool turns = false, shared_widths = true;
  float theta = 0;
  uint32_t rotated = 0, tokens = 0, pairs = 0;
  uint64_t tables_id = 0;
  uint32_t layer = 0, codec = 0, heads = 0;

  explicit Wanted(const EncodeJob& job) {
    const speckv_layout& desc = job.layout->desc;
    const ChanTable& table = job.tables->at(job.layer, 0);
    const float own = desc.rope_theta[job.layer];
    turns = table.rotation != nullptr;
    theta = own > 0 ? own : desc.rope_theta[0];
    rotated = table.map.rotated;
    tokens = table.tokens;
    pairs = uint32_t(table.map.pairs());
    tables_id = job.tables_id;
    layer = job.layer;
    codec = uint32_t(codec::chanq_index(job.preset->k));
    heads = desc.kv_heads;
    const auto& widths = table.widths[codec];
    for (uint32_t head = 1; head < heads && shared_widths; head++)
      shared_widths = job.tables->at(layer, head).widths[codec] == widths;
  }
  uint32_t slots() const { return shared_widths ? 1 : heads; }
};

DeviceTables::DeviceTables(const TableShare& share)
    : share_(share), turns_(share.thetas), widths_(share.widths) {}

int DeviceTables::find_turns(const Wanted& wanted) const {
  for (size_t i = 0; i < turns_.size(); i++) {
    const Entry& entry = turns_[i];
    if (entry.state != State::empty && entry.theta == wanted.theta &&
        entry.rotated == wanted.rotated && entry.tokens >= wanted.tokens &&
        entry.pairs >= wanted.pairs)
      return int(i);
  }
  return -1;
}

int DeviceTables::find_widths(const Wanted& wanted) const {
  for (size_t i = 0; i < widths_.size(); i++) {
    const Entry& entry = widths_[i];
    if (entry.state != State::empty && entry.tables_id == wanted.tables_id &&
        entry.layer == wanted.layer && entry.codec == wanted.codec)
      return int(i);
  }
  return -1;
}

bool DeviceTables::pin(const EncodeJob& job, speckv_cmd* cmd, Pins* ret) {
  const Wanted wanted(job);
  Pins pins;
  if (wanted.turns) {
    pins.turns = find_turns(wanted);
    if (pins.turns < 0 || turns_[size_t(pins.turns)].state != State::there) return false;
  }
  pins.widths = find_widths(wanted);
  if (pins.widths < 0 || widths_[size_t(pins.widths)].state != State::there) return false;
  clock_++;
  if (wanted.turns) {
    Entry& turns = turns_[size_t(pins.turns)];
    turns.pins++;
    turns.used = clock_;
    if (share_.first_theta + uint32_t(pins.turns) == 1) cmd->rope |= SPECKV_CMD_ROPE_THETA_1;
  }
  Entry& widths = widths_[size_t(pins.widths)];
  widths.pins++;
  widths.used = clock_;
  cmd->widths = uint16_t(share_.first_width + widths.first);
  if (wanted.shared_widths) cmd->rope |= SPECKV_CMD_ROPE_SHARED_WIDTHS;
  *ret = pins;
  return true;
}

void DeviceTables::unpin(const Pins& pins) {
  SPECKV_ASSERT((pins.turns < 0 || turns_[size_t(pins.turns)].pins > 0) &&
                    (pins.widths < 0 || widths_[size_t(pins.widths)].pins > 0),
                "a table was let go more often than it was pinned");
  if (pins.turns >= 0) turns_[size_t(pins.turns)].pins--;
  if (pins.widths >= 0) widths_[size_t(pins.widths)].pins--;
}

// Returns: the one to go, or -1. What is empty goes first.
int DeviceTables::oldest(const std::vector<Entry>& entries) const {
  int found = -1;
  for (size_t i = 0; i < entries.size(); i++) {
    const Entry& entry = entries[i];
    if (entry.pins || entry.state == State::loading) continue;
    if (entry.state == State::empty) return int(i);
    if (found < 0 || entry.used < entries[size_t(found)].used) found = int(i);
  }
  return found;
}

// Token by token, pair by pair, cosine and sine.
bool DeviceTables::load_turns(const EncodeJob& job, const Wanted& wanted, std::span<std::byte> into,
                              Load* ret) {
  const int at = oldest(turns_);
  if (at < 0) return false;
  const Rotation& rotation = *job.tables->at(job.layer, 0).rotation;
  std::memset(into.data(), 0, SPECKV_ENGINE_TURNS_BYTES);
  for (size_t token = 0; token < wanted.tokens; token++)
    for (size_t pair = 0; pair < wanted.pairs; pair++) {
      const int16_t turn[2] = {int16_t(rotation.cosine(token, pair)),
                               int16_t(rotation.sine(token, pair))};
      std::memcpy(&into[(token * chanq_pairs_max + pair) * 4], turn, 4);
    }
  Entry& entry = turns_[size_t(at)];
  entry = Entry{};
  entry.state = State::loading;
  entry.theta = wanted.theta;
  entry.rotated = wanted.rotated;
  entry.tokens = wanted.tokens;
  entry.pairs = wanted.pairs;
  const uint32_t number = share_.first_theta + uint32_t(at);
  entry.load = ++clock_;
  *ret = {true, at, uint64_t(number) * SPECKV_ENGINE_TURNS_BYTES, SPECKV_ENGINE_TURNS_BYTES,
          entry.load};
  return true;
}

// A free entry, and a run of slots that nothing else has; the longest unused make room. Returns:
// the entry, or -1.
int DeviceTables::room_for_widths(uint32_t count, uint32_t* ret_first) {
  if (count > share_.widths) return -1;
  for (;;) {
    uint32_t run = 0;
    for (uint32_t slot = 0; slot < share_.widths; slot++) {
      const bool taken = std::any_of(widths_.begin(), widths_.end(), [slot](const Entry& entry) {
        return entry.state != State::empty && slot - entry.first < entry.count;
      });
      run = taken ? 0 : run + 1;
      if (run < count) continue;
      *ret_first = slot + 1 - count;
      const int at = oldest(widths_);
      return at >= 0 && widths_[size_t(at)].state == State::empty ? at : -1;
    }
    int victim = -1;
    for (size_t i = 0; i < widths_.size(); i++) {
      const Entry& entry = widths_[i];
      if (entry.state != State::there || entry.pins) continue;
      if (victim < 0 || entry.used < widths_[size_t(victim)].used) victim = int(i);
    }
    if (victim < 0) return -1;
    widths_[size_t(victim)] = Entry{};
  }
}

// A slot a head, four bits a channel, the lower half of a byte first.
bool DeviceTables::load_widths(const EncodeJob& job, const Wanted& wanted,
                               std::span<std::byte> into, Load* ret) {
  uint32_t first = 0;
  const int at = room_for_widths(wanted.slots(), &first);
  if (at < 0) return false;
  const uint32_t bytes = wanted.slots() * SPECKV_ENGINE_WIDTHS_BYTES;
  std::memset(into.data(), 0, bytes);
  for (uint32_t head = 0; head < wanted.slots(); head++) {
    const ChanTable& table = job.tables->at(job.layer, head);
    std::byte* slot = &into[head * SPECKV_ENGINE_WIDTHS_BYTES];
    for (size_t pair = 0; pair < table.map.pairs(); pair++)
      for (const size_t channel : {table.map.first(pair), table.map.second(pair)})
        slot[channel / 2] |= std::byte(table.widths[wanted.codec][pair] << channel % 2 * 4);
  }
  Entry& entry = widths_[size_t(at)];
  entry.state = State::loading;
  entry.tables_id = wanted.tables_id;
  entry.layer = wanted.layer;
  entry.codec = wanted.codec;
  entry.first = first;
  entry.count = wanted.slots();
  entry.load = ++clock_;
  const uint32_t slot = share_.first_width + first;
  *ret = {false, at, SPECKV_ENGINE_WIDTHS_OFFSET + uint64_t(slot) * SPECKV_ENGINE_WIDTHS_BYTES,
          bytes, entry.load};
  return true;
}

bool DeviceTables::next_load(const EncodeJob& job, std::span<std::byte> into, Load* ret) {
  const Wanted wanted(job);
  SPECKV_ASSERT(into.size() >= load_bytes_max, "a table has no room to be written to");
  if (wanted.turns && find_turns(wanted) < 0) return load_turns(job, wanted, into, ret);
  if (find_widths(wanted) < 0) return load_widths(job, wanted, into, ret);
  return false;
}

void DeviceTables::loaded(const Load& load, bool is_there) {
  Entry& entry = (load.is_turns ? turns_ : widths_)[size_t(load.entry)];
  if (entry.state != State::loading || entry.load != load.number) return;  // forgotten meanwhile
  entry.state = is_there ? State::there : State::empty;
  entry.used = ++clock_;
}

void DeviceTables::forget() {
  for (std::vector<Entry>* entries : {&turns_, &widths_})
    for (Entry& entry : *entries) entry.state = State::empty;
}

}  // namespace speckv
