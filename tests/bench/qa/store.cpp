// SPDX-License-Identifier: Apache-2.0
// store.cpp - see store.hpp.
#include "store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "workload.hpp"

namespace speckv::qa {

namespace {

constexpr uint64_t kArenaBytes = 64u << 20;
constexpr uint64_t kPutTimeoutNs = 30'000'000'000;
// Of the engine's sequence ids the store reads one and borrows another (llama::save_tokens).
constexpr llama_seq_id kSequence = 0;
constexpr llama_seq_id kSpare = 1;

[[noreturn]] void fail(const std::string& what, int error) {
  throw Failure("speckv: " + what + ": " + std::strerror(-error) + " (" + std::to_string(error) +
                ")");
}

uint32_t check(const std::string& what, int result) {
  if (result < 0) fail(what, result);
  return uint32_t(result);
}

const uint8_t (*raw(std::span<const Key> keys))[SPECKV_KEY_BYTES] {
  return reinterpret_cast<const uint8_t(*)[SPECKV_KEY_BYTES]>(keys.data());
}

std::span<std::byte> room(std::vector<std::byte>* buffer, uint64_t bytes) {
  if (buffer->size() < bytes) buffer->resize(bytes);
  return std::span(*buffer).first(bytes);
}

}  // namespace

Store::Store(const StoreOptions& options, const Context& context, const llama::StateShape& shape)
    : shape_(shape), salt_(options.salt) {
  std::string why;
  if (!llama::describe_layout(context.get(), context.opening(), shape, options.block_tokens,
                              options.page_tokens, &layout_, &why)) {
    throw Failure(why);
  }
  std::copy(options.weights_digest.begin(), options.weights_digest.end(), layout_.weights_digest);
  speckv_open_args args{};
  args.size = sizeof(args);
  args.socket_path = options.socket.c_str();
  args.namespace_name = options.namespace_name.c_str();
  args.arena_bytes = kArenaBytes;
  args.daemon_uid = -1;
  const std::string place = options.namespace_name + " at " + options.socket;
  check("opening " + place, speckv_open(&args, &session_));
  const auto add_layout = [&](uint32_t preset, uint32_t* ret_layout) {
    layout_.preset = preset;
    char sentence[256] = "";
    if (speckv_layout_check(&layout_, sentence, sizeof(sentence)) != 0) {
      throw Failure(std::string("speckv refuses the layout: ") + sentence);
    }
    check("registering the layout with " + place,
          speckv_layout_register(session_, &layout_, ret_layout));
  };
  add_layout(SPECKV_PRESET_EXACT, &open_layout_);
  add_layout(options.preset, &full_layout_);
  open_buffer_.resize(llama::state_bytes(shape, options.block_tokens));
  if (!llama::lay_out_state(shape, 0, options.block_tokens, open_buffer_, &open_map_, &why)) {
    throw Failure(why);
  }
}

Store::~Store() { speckv_close(session_); }

std::vector<Key> Store::keys(std::span<const llama_token> tokens) const {
  std::vector<Key> keys(tokens.size() / layout_.block_tokens);
  for (size_t i = 0; i < keys.size(); ++i) {
    check("speckv_key_chain",
          speckv_key_chain(i == 0 ? nullptr : keys[i - 1].data(), salt_.data(), salt_.size(),
                           tokens.data() + i * layout_.block_tokens, layout_.block_tokens,
                           keys[i].data()));
  }
  return keys;
}

Key Store::open_key(const Key* parent, std::span<const llama_token> tokens) const {
  Key key;
  check("speckv_key_chain",
        speckv_key_chain(parent == nullptr ? nullptr : parent->data(), salt_.data(), salt_.size(),
                         tokens.data(), tokens.size(), key.data()));
  return key;
}

Found Store::find(std::span<const llama_token> tokens) {
  Found found;
  found.keys = keys(tokens.first(tokens.size() - 1));
  if (!found.keys.empty()) {
    std::vector<uint8_t> hit(found.keys.size());
    found.keys.resize(
        check("speckv_exists", speckv_exists(session_, full_layout_, raw(found.keys),
                                             unsigned(found.keys.size()), hit.data())));
  }
  find_open(tokens, &found);
  return found;
}

// Where the open block ended is not known: every length is asked for in one batch, the longest
// wins.
void Store::find_open(std::span<const llama_token> tokens, Found* found) {
  const size_t first = found->keys.size() * layout_.block_tokens;
  const size_t longest = std::min<size_t>(layout_.block_tokens, tokens.size() - first) - 1;
  if (longest == 0) return;
  const Key* parent = found->keys.empty() ? nullptr : &found->keys.back();
  std::vector<Key> candidates;
  for (size_t count = longest; count > 0; --count) {
    candidates.push_back(open_key(parent, tokens.subspan(first, count)));
  }
  std::vector<uint8_t> hit(candidates.size());
  check("speckv_exists", speckv_exists(session_, open_layout_, raw(candidates),
                                       unsigned(candidates.size()), hit.data()));
  const auto best = std::find(hit.begin(), hit.end(), 1);
  if (best == hit.end()) return;
  found->open_tokens = uint32_t(longest - size_t(best - hit.begin()));
  found->open_key = candidates[size_t(best - hit.begin())];
}

uint32_t Store::load(const Found& found) {
  const uint32_t full = uint32_t(found.keys.size()) * layout_.block_tokens;
  const uint32_t tokens = full + found.open_tokens;
  if (tokens == 0) return 0;
  load_bytes_ = llama::state_bytes(shape_, tokens);
  std::string why;
  if (!llama::lay_out_state(shape_, 0, tokens, room(&load_buffer_, load_bytes_), &load_map_,
                            &why)) {
    throw Failure(why);
  }
  const size_t sides = 2 * size_t(shape_.layers);
  std::vector<speckv_view> views((found.keys.size() + 1) * sides);
  std::vector<speckv_get_op> ops(found.keys.size());
  for (size_t i = 0; i < ops.size(); ++i) {
    load_map_.views(uint32_t(i) * layout_.block_tokens, std::span(views).subspan(i * sides, sides));
    std::copy(found.keys[i].begin(), found.keys[i].end(), ops[i].key);
    ops[i].buf = {0, shape_.layers, views.data() + i * sides};
  }
  if (!ops.empty()) {
    check("speckv_get", speckv_get(session_, full_layout_, ops.data(), unsigned(ops.size())));
  }
  uint32_t arrived = 0;
  while (arrived < ops.size() && ops[arrived].ret_result == 0) ++arrived;
  if (arrived < ops.size() || found.open_tokens == 0) return arrived * layout_.block_tokens;

  speckv_get_op open{};
  const auto open_views = std::span(views).last(sides);
  open_map_.views(0, open_views);
  std::copy(found.open_key.begin(), found.open_key.end(), open.key);
  open.buf = {0, shape_.layers, open_views.data()};
  check("speckv_get", speckv_get(session_, open_layout_, &open, 1));
  if (open.ret_result != 0) return full;
  llama::copy_tokens(open_map_, 0, load_map_, full, found.open_tokens);
  return tokens;
}

void Store::wait_all(uint32_t* outstanding, uint32_t until) {
  speckv_completion done[64];
  while (*outstanding > until) {
    const uint32_t count = check("speckv_reap", speckv_reap(session_, done, 64));
    for (uint32_t i = 0; i < count; ++i) {
      // a full pool keeps less, to be computed again; a block to remove may be evicted already
      if (done[i].result == -ENOSPC || done[i].result == -ENOENT) continue;
      if (done[i].result != 0) fail("putting or removing a block", done[i].result);
    }
    *outstanding -= count;
    if (*outstanding > until && count == 0) {
      check("waiting for completions", speckv_wait(session_, kPutTimeoutNs));
    }
  }
}

void Store::submit(uint32_t layout, std::vector<speckv_put_op>* ops) {
  uint32_t outstanding = 0;
  while (!ops->empty()) {
    const int tried = speckv_put(session_, layout, ops->data(), unsigned(ops->size()));
    if (tried < 0 && tried != -EAGAIN) fail("speckv_put", tried);
    std::vector<speckv_put_op> again;
    for (const speckv_put_op& op : *ops) {
      if (tried < 0 || op.ret_result == -EAGAIN) {
        again.push_back(op);
      } else if (op.ret_result != 0) {
        fail("speckv_put", op.ret_result);
      } else {
        ++outstanding;
      }
    }
    if (!again.empty() && outstanding == 0) {
      throw Failure("speckv: the session's arena has no room for one block");
    }
    if (!again.empty()) wait_all(&outstanding, outstanding - 1);
    *ops = std::move(again);
  }
  wait_all(&outstanding, 0);
}

speckv_put_op Store::put_op(const Key& key, const Key* parent, uint32_t first_token,
                            const speckv_view* views) const {
  speckv_put_op op{};
  std::copy(key.begin(), key.end(), op.key);
  op.buf = {0, shape_.layers, views};
  op.meta.position = first_token;
  if (parent != nullptr) std::copy(parent->begin(), parent->end(), op.meta.parent);
  return op;
}

void Store::save(Context& context, std::span<const llama_token> tokens, uint32_t first_block) {
  const uint32_t width = layout_.block_tokens;
  const uint32_t first = first_block * width;
  const uint32_t count = uint32_t(tokens.size()) - first;
  if (count == 0) return;
  llama::StateMap map;
  std::string why;
  if (!llama::save_tokens(context.get(), shape_, kSequence, kSpare, int32_t(first), count,
                          room(&save_buffer_, llama::state_bytes(shape_, count)), &map, &why,
                          llama::Moved::no)) {
    throw Failure(why);
  }
  const std::vector<Key> all = keys(tokens);
  const size_t sides = 2 * size_t(shape_.layers);
  std::vector<speckv_view> views((all.size() - first_block + 1) * sides);
  std::vector<speckv_put_op> ops;
  for (uint32_t i = first_block; i < all.size(); ++i) {
    const auto ours = std::span(views).subspan((i - first_block) * sides, sides);
    map.views((i - first_block) * width, ours);
    ops.push_back(put_op(all[i], i == 0 ? nullptr : &all[i - 1], i * width, ours.data()));
  }
  submit(full_layout_, &ops);

  const uint32_t full = uint32_t(all.size()) * width;
  const uint32_t open_tokens = uint32_t(tokens.size()) - full;
  if (open_tokens == 0) return;
  const auto open_views = std::span(views).last(sides);
  open_map_.views(0, open_views);
  std::memset(open_buffer_.data(), 0, open_buffer_.size());
  llama::copy_tokens(map, full - first, open_map_, 0, open_tokens);
  const Key* parent = all.empty() ? nullptr : &all.back();
  const Key key = open_key(parent, tokens.subspan(full));
  ops = {put_op(key, parent, full, open_views.data())};
  submit(open_layout_, &ops);
}

void Store::drop_open(const Found& found) {
  if (found.open_tokens == 0) return;
  uint32_t outstanding = check(
      "speckv_remove", speckv_remove(session_, open_layout_, raw({&found.open_key, 1}), 1, 0));
  wait_all(&outstanding, 0);
}

uint64_t Store::corrupt() {
  struct speckv_stats stats {};
  stats.size = sizeof(stats);
  check("speckv_stats", speckv_stats(session_, &stats));
  return stats.corrupt;
}

}  // namespace speckv::qa
