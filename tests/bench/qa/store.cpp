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

Store::Store(const StoreOptions& options, const Model& model, const llama::StateShape& shape)
    : shape_(shape) {
  std::string why;
  if (!llama::describe_layout(model.get(), shape, options.block_tokens, options.page_tokens,
                              &layout_, &why)) {
    throw Failure(why);
  }
  layout_.preset = options.preset;
  std::copy(options.weights_digest.begin(), options.weights_digest.end(), layout_.weights_digest);
  const char* kv_format = shape.v_transposed ? "v by channel" : "v by token";
  check("speckv_variant_digest", speckv_variant_digest(nullptr, options.engine_name.c_str(),
                                                       kv_format, layout_.variant_digest));
  char sentence[256] = "";
  if (const int error = speckv_layout_check(&layout_, sentence, sizeof(sentence)); error != 0) {
    throw Failure(std::string("speckv refuses the layout: ") + sentence);
  }
  speckv_open_args args{};
  args.size = sizeof(args);
  args.socket_path = options.socket.c_str();
  args.namespace_name = options.namespace_name.c_str();
  args.arena_bytes = kArenaBytes;
  args.daemon_uid = -1;
  const std::string place = options.namespace_name + " at " + options.socket;
  check("opening " + place, speckv_open(&args, &session_));
  check("registering the layout with " + place,
        speckv_layout_register(session_, &layout_, &layout_handle_));
}

Store::~Store() { speckv_close(session_); }

std::vector<Key> Store::keys(std::span<const llama_token> tokens, size_t limit) const {
  std::vector<Key> keys(std::min(tokens.size(), limit) / layout_.block_tokens);
  for (size_t i = 0; i < keys.size(); ++i) {
    check("speckv_key_chain", speckv_key_chain(i == 0 ? nullptr : keys[i - 1].data(), nullptr, 0,
                                               tokens.data() + i * layout_.block_tokens,
                                               layout_.block_tokens, keys[i].data()));
  }
  return keys;
}

uint32_t Store::leading_hits(std::span<const Key> keys) {
  if (keys.empty()) return 0;
  std::vector<uint8_t> hit(keys.size());
  return check("speckv_exists", speckv_exists(session_, layout_handle_, raw(keys),
                                              unsigned(keys.size()), hit.data()));
}

uint32_t Store::hits(std::span<const Key> keys) {
  if (keys.empty()) return 0;
  std::vector<uint8_t> hit(keys.size());
  check("speckv_exists",
        speckv_exists(session_, layout_handle_, raw(keys), unsigned(keys.size()), hit.data()));
  return uint32_t(std::count(hit.begin(), hit.end(), 1));
}

uint32_t Store::load(std::span<const Key> keys) {
  if (keys.empty()) return 0;
  const uint32_t tokens = uint32_t(keys.size()) * layout_.block_tokens;
  load_bytes_ = llama::state_bytes(shape_, tokens);
  std::string why;
  if (!llama::lay_out_state(shape_, 0, tokens, room(&load_buffer_, load_bytes_), &load_map_,
                            &why)) {
    throw Failure(why);
  }
  const size_t sides = 2 * size_t(shape_.layers);
  std::vector<speckv_view> views(keys.size() * sides);
  std::vector<speckv_get_op> ops(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    load_map_.views(uint32_t(i) * layout_.block_tokens, std::span(views).subspan(i * sides, sides));
    std::copy(keys[i].begin(), keys[i].end(), ops[i].key);
    ops[i].buf = {0, shape_.layers, views.data() + i * sides};
  }
  check("speckv_get", speckv_get(session_, layout_handle_, ops.data(), unsigned(ops.size())));
  uint32_t arrived = 0;
  while (arrived < ops.size() && ops[arrived].ret_result == 0) ++arrived;
  return arrived;
}

void Store::wait_all(uint32_t* outstanding, uint32_t until) {
  speckv_completion done[64];
  while (*outstanding > until) {
    const uint32_t count = check("speckv_reap", speckv_reap(session_, done, 64));
    for (uint32_t i = 0; i < count; ++i) {
      if (done[i].result == -ENOSPC) continue;  // not kept, to be computed again
      if (done[i].result != 0) fail("putting a block", done[i].result);
    }
    *outstanding -= count;
    if (*outstanding > until && count == 0) {
      check("waiting for put blocks", speckv_wait(session_, kPutTimeoutNs));
    }
  }
}

void Store::submit(std::vector<speckv_put_op>* ops) {
  uint32_t outstanding = 0;
  while (!ops->empty()) {
    const int tried = speckv_put(session_, layout_handle_, ops->data(), unsigned(ops->size()));
    if (tried < 0 && tried != -EAGAIN) fail("speckv_put", tried);
    std::vector<speckv_put_op> again;
    for (const speckv_put_op& op : *ops) {
      if (tried < 0 || op.ret_result == -EAGAIN) {
        again.push_back(op);
      } else if (op.ret_result != 0) {
        fail("speckv_put", op.ret_result);
      } else {
        ++outstanding;
        put_bytes_ += block_bytes();
      }
    }
    if (again.size() == ops->size() && outstanding == 0) {
      throw Failure("speckv: the session's arena has no room for one block");
    }
    if (!again.empty()) wait_all(&outstanding, outstanding - 1);
    *ops = std::move(again);
  }
  wait_all(&outstanding, 0);
}

void Store::save(Context& context, llama_seq_id seq, llama_seq_id spare_seq,
                 std::span<const Key> keys, uint32_t first, uint32_t count) {
  if (count == 0) return;
  const uint32_t tokens = count * layout_.block_tokens;
  const uint32_t first_token = first * layout_.block_tokens;
  llama::StateMap map;
  std::string why;
  if (!llama::save_tokens(context.get(), shape_, seq, spare_seq, int32_t(first_token), tokens,
                          room(&save_buffer_, llama::state_bytes(shape_, tokens)), &map, &why)) {
    throw Failure(why);
  }
  const size_t sides = 2 * size_t(shape_.layers);
  std::vector<speckv_view> views(count * sides);
  std::vector<speckv_put_op> ops(count);
  for (uint32_t i = 0; i < count; ++i) {
    map.views(i * layout_.block_tokens, std::span(views).subspan(i * sides, sides));
    const Key& key = keys[first + i];
    std::copy(key.begin(), key.end(), ops[i].key);
    ops[i].buf = {0, shape_.layers, views.data() + i * sides};
    ops[i].meta.position = first_token + i * layout_.block_tokens;
    if (first + i > 0) {
      const Key& parent = keys[first + i - 1];
      std::copy(parent.begin(), parent.end(), ops[i].meta.parent);
    }
  }
  submit(&ops);
}

uint64_t Store::corrupt() {
  struct speckv_stats stats {};
  stats.size = sizeof(stats);
  check("speckv_stats", speckv_stats(session_, &stats));
  return stats.corrupt;
}

}  // namespace speckv::qa
