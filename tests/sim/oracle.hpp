// SPDX-License-Identifier: Apache-2.0
// oracle.hpp - what a client may see: knows each put of each key, when it was asked for and what
// was answered, and throws a Contradiction when a get, a hold or a removal cannot be right.
//
//   a get gives a put of this key and layout that was stored or is under way, whole; never one that
//     failed, that was there already, that was removed, or that another has taken the place of
//   a get may miss only if no put of it was answered, or something was evicted, lost or removed
//     since that was asked for; never while a hold on it lasts
//
// Answers count when the client reaps them, so what happened between the daemon's answer and that
// is taken as possible.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "speckv/speckv.h"
#include "world.hpp"

namespace speckv::sim {

// A block's memory, whose every 64-bit word follows from key and version.
class BlockBytes {
 public:
  BlockBytes(const speckv_layout& layout, uint32_t number);
  BlockBytes(BlockBytes&&) = default;  // and no copies: views point into the words
  speckv_buf buf(uint32_t layer_first, uint32_t layer_count) {
    return {layer_first, layer_count, views_.data() + 2 * layer_first};
  }
  speckv_buf buf() { return buf(0, layers()); }
  uint32_t layers() const { return layers_ + (side_words_ != 0); }  // side bytes are one more
  bool has_side() const { return side_words_ != 0; }
  void fill(uint32_t key, uint64_t version);
  void forget();
  // Returns: whether these layers are one version of this key.
  bool whole(uint32_t key, uint32_t layer_first, uint32_t layer_count, uint64_t* ret_version) const;

 private:
  uint64_t word(uint32_t key, size_t at) const;
  uint32_t number_, layers_;
  size_t plane_words_, side_words_;
  std::vector<uint64_t> words_;
  std::vector<speckv_view> views_;
};

struct Name {  // of a block
  uint32_t space, layout, key;
  auto operator<=>(const Name&) const = default;
  std::string text() const { return sim::text("%u/%u/%u", space, layout, key); }
};
void key_bytes(const Name& name, uint8_t ret_key[SPECKV_KEY_BYTES]);

class Oracle {
 public:
  // gone: Daemon::gone(). Returns: the put's version.
  uint64_t put_asked(const Name& name, uint64_t gone, uint64_t dropped);
  void put_refused(const Name& name, uint64_t version);
  void put_answered(const Name& name, uint64_t version, int result, bool existed);
  // Returns: when, for remove_answered().
  uint64_t remove_asked(const Name& name);
  void remove_answered(const Name& name, uint64_t asked, int result, uint64_t lost,
                       uint64_t now_ns);

  void got(const Name& name, uint64_t version);
  // lost: blocks that the daemon lost.
  void missed(const Name& name, uint64_t gone, uint64_t lost, uint64_t now_ns);
  // dropped: blocks that are in no tier any more.
  void hold_missed(const Name& name, uint64_t dropped);
  // A hold that was answered. lost, until_ns: when it was asked for; its time began no earlier.
  void held(uint64_t hold, uint32_t owner, const Name& name, uint64_t lost, uint64_t until_ns);
  void unheld(uint64_t hold);
  void adopted(uint64_t hold, uint32_t owner);
  void owner_ended(uint32_t owner);
  void daemon_died();

 private:
  enum class State : uint8_t { under_way, stored, unknown, replaced, dead };
  struct Put {
    uint64_t version, asked, answered = 0, gone = 0, dropped = 0;
    bool beside_removal = false;
    State state = State::under_way;
  };
  struct Known {
    std::vector<Put> puts;
    uint64_t removal_asked = 0;
    uint32_t removals_under_way = 0;
    bool sure = false;
    uint64_t sure_gone = 0, sure_dropped = 0;
  };
  struct Hold {
    uint32_t owner;
    uint64_t until_ns, asked;
    std::map<Name, uint64_t> lost;  // of each key that it holds: blocks lost before
  };
  Put& find(const Name& name, uint64_t version);
  void forget_old(Known& known);

  std::map<Name, Known> known_;
  std::map<uint64_t, Hold> holds_;
  uint64_t time_ = 0, versions_ = 0;
};

}  // namespace speckv::sim
