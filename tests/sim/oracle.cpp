// SPDX-License-Identifier: Apache-2.0
// oracle.cpp - see oracle.hpp.
#include "oracle.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace speckv::sim {

BlockBytes::BlockBytes(const speckv_layout& layout, uint32_t number)
    : number_(number), layers_(layout.layers) {
  plane_words_ = size_t(layout.kv_heads) * layout.head_dim * layout.block_tokens * 2 / 8;
  side_words_ = layout.side_bytes / 8;
  words_.resize(plane_words_ * 2 * layers_ + side_words_);
  const int64_t row = int64_t(layout.head_dim) * 2;
  for (uint32_t plane = 0; plane < 2 * layers_; plane++)
    views_.push_back({words_.data() + plane * plane_words_, row, row * layout.block_tokens, 2});
  views_.push_back({words_.data() + plane_words_ * 2 * layers_, int64_t(layout.side_bytes), 0, 0});
  views_.push_back({});
}

uint64_t BlockBytes::word(uint32_t key, size_t at) const {
  return (uint64_t(number_ + 1) << 56) + (uint64_t(key) << 40) + at * 0x9e3779b97f4a7c15ull;
}

void BlockBytes::fill(uint32_t key, uint64_t version) {
  for (size_t i = 0; i < words_.size(); i++) words_[i] = word(key, i) + version;
}

void BlockBytes::forget() { std::fill(words_.begin(), words_.end(), 0x5555555555555555ull); }

bool BlockBytes::whole(uint32_t key, uint32_t layer_first, uint32_t layer_count,
                       uint64_t* ret_version) const {
  const size_t from = layer_first * 2 * plane_words_,
               to = std::min(words_.size(), from + layer_count * 2 * plane_words_);
  *ret_version = words_[from] - word(key, from);
  for (size_t i = from; i < to; i++)
    if (words_[i] - word(key, i) != *ret_version) return false;
  return true;
}

void key_bytes(const Name& name, uint8_t ret_key[SPECKV_KEY_BYTES]) {
  for (uint64_t i = 0; i < 4; i++) {
    const uint64_t word = mix64((uint64_t(name.layout) << 40) + name.key * 4ull + i + 1);
    std::memcpy(ret_key + 8 * i, &word, 8);
  }
}

// ---- puts and removals -------------------------------------------------------------------------

uint64_t Oracle::put_asked(const Name& name, uint64_t gone, uint64_t dropped) {
  Known& known = known_[name];
  forget_old(known);
  known.puts.push_back({++versions_, ++time_, 0, gone, dropped, known.removals_under_way != 0});
  return versions_;
}

void Oracle::forget_old(Known& known) {
  if (known.puts.size() < 64) return;
  std::erase_if(known.puts, [](const Put& put) { return put.state == State::dead; });
}

Oracle::Put& Oracle::find(const Name& name, uint64_t version) {
  for (Put& put : known_[name].puts)
    if (put.version == version) return put;
  throw Contradiction(text("block %s has bytes of version %llu, which is no put of it",
                           name.text().c_str(), (unsigned long long)version));
}

void Oracle::put_refused(const Name& name, uint64_t version) {
  find(name, version).state = State::dead;
}

void Oracle::put_answered(const Name& name, uint64_t version, int result, bool existed) {
  Put& put = find(name, version);
  Known& known = known_[name];
  put.answered = ++time_;
  if (result == -ECONNRESET || result == -ECANCELED) {
    put.state = State::unknown;
    return;
  }
  if (result == 0 && !put.beside_removal && known.removal_asked < put.asked) {
    known.sure = true;
    known.sure_gone = std::max(known.sure_gone, put.gone);
    known.sure_dropped = std::max(known.sure_dropped, put.dropped);
  }
  put.state = result != 0 || existed ? State::dead : State::stored;
  if (put.state == State::dead) return;
  for (Put& other : known.puts)  // it was not there when this one was stored
    if (other.answered && other.answered < put.asked && other.state != State::dead)
      other.state = State::replaced;
}

uint64_t Oracle::remove_asked(const Name& name) {
  Known& known = known_[name];
  known.sure = false;
  known.sure_gone = known.sure_dropped = 0;
  known.removals_under_way++;
  return known.removal_asked = ++time_;
}

void Oracle::remove_answered(const Name& name, uint64_t asked, int result, uint64_t lost,
                             uint64_t now_ns) {
  Known& known = known_[name];
  known.removals_under_way--;
  ++time_;
  // -EIO: its mark could not be written below; -EBUSY: it is held.
  const int possible[] = {0, -ENOENT, -EBUSY, -EIO, -ECONNRESET, -ECANCELED};
  demand(std::find(std::begin(possible), std::end(possible), result) != std::end(possible),
         text("block %s: its removal gave %d", name.text().c_str(), result));
  if (result != 0 && result != -ENOENT) return;
  for (Put& put : known.puts)
    if (put.answered && put.answered < asked) put.state = State::dead;
  if (result != 0) return;
  for (const auto& [number, hold] : holds_)
    demand(!hold.lost.contains(name) || hold.lost.at(name) != lost || hold.asked > asked ||
               hold.until_ns <= now_ns,
           text("block %s was removed while hold %llx lasts", name.text().c_str(),
                (unsigned long long)number));
}

// ---- what a reader sees ------------------------------------------------------------------------

void Oracle::got(const Name& name, uint64_t version) {
  const State state = find(name, version).state;
  demand(state != State::dead && state != State::replaced,
         text("block %s: a get gave version %llu, which %s", name.text().c_str(),
              (unsigned long long)version,
              state == State::dead ? "failed, existed or was removed" : "was replaced"));
}

void Oracle::missed(const Name& name, uint64_t gone, uint64_t lost, uint64_t now_ns) {
  const Known& known = known_[name];
  demand(!known.sure || known.sure_gone != gone,
         text("block %s is acknowledged, nothing was evicted, lost or removed, and a get misses",
              name.text().c_str()));
  for (const auto& [number, hold] : holds_) {
    const auto at = hold.lost.find(name);
    if (at == hold.lost.end() || hold.until_ns <= now_ns) continue;
    demand(at->second != lost, text("block %s is held by %llx and a get misses",
                                    name.text().c_str(), (unsigned long long)number));
  }
}

// A hold brings back what is in any tier.
void Oracle::hold_missed(const Name& name, uint64_t dropped) {
  const Known& known = known_[name];
  demand(!known.sure || known.sure_dropped != dropped,
         text("block %s is acknowledged, nothing was dropped from the last tier, and a hold misses",
              name.text().c_str()));
}

// ---- holds -------------------------------------------------------------------------------------

void Oracle::held(uint64_t number, uint32_t owner, const Name& name, uint64_t lost,
                  uint64_t until_ns) {
  Hold& hold = holds_[number];
  hold.owner = owner;
  hold.until_ns = until_ns;
  hold.asked = ++time_;
  hold.lost[name] = lost;
}
void Oracle::unheld(uint64_t hold) { holds_.erase(hold); }
void Oracle::adopted(uint64_t hold, uint32_t owner) {
  if (holds_.contains(hold)) holds_[hold].owner = owner;
}
void Oracle::owner_ended(uint32_t owner) {
  std::erase_if(holds_, [owner](const auto& hold) { return hold.second.owner == owner; });
}

// What was evicted while a reader named it may be found whole, whatever was put after it.
void Oracle::daemon_died() {
  holds_.clear();
  for (auto& [name, known] : known_)
    for (Put& put : known.puts)
      if (put.state == State::replaced) put.state = State::unknown;
}

}  // namespace speckv::sim
