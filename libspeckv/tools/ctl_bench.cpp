// SPDX-License-Identifier: Apache-2.0
// ctl_bench.cpp - a self-test through libspeckv: puts, gets and exists of 1 MiB blocks against
// memcpy of as many bytes.
//
// Each get is timed next to a memcpy of the same size, in turn, and the ratio is of the two
// medians: a machine that is busy slows both. Keys are salted with the pid, so no one's blocks are
// met; they are removed afterwards. It uses at most an eighth of the namespace, but in a full pool
// others' blocks may be evicted for them. Not the house's benchmark (tests/bench is): a check that
// this installation does what it should.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <unistd.h>

#include "codec/codec.hpp"
#include "speckv/speckv.h"
#include "src/clock.hpp"
#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

using lib::now_ns;
using Clock = uint64_t;

constexpr uint32_t layers = 8, kv_heads = 8, head_dim = 128, block_tokens = 32;
constexpr uint64_t block_bytes = uint64_t(2) * layers * kv_heads * head_dim * block_tokens * 2;
static_assert(block_bytes == 1u << 20);
constexpr uint32_t blocks_max = 64;  // source and destination: 64 MiB each, past most caches
constexpr uint32_t rounds = 5;
constexpr uint64_t wait_ns_max = 10'000'000'000;
constexpr uint32_t exists_batch = 64;
constexpr uint32_t exists_batches = 2000;

struct Row {
  std::string name;
  double value = 0;
  std::string unit, against;
  double ratio = 0;  // value against `against`; for times, less is better
  size_t samples = 0;
};

struct Figures {
  std::vector<Row> rows;
  std::vector<std::string> faults;  // anything that came back wrong
};

void check(const char* what, int result) {
  if (result < 0) throw Failure{std::string(what) + ": " + std::strerror(-result)};
}

class SessionHandle {
 public:
  explicit SessionHandle(const Options& options) {
    speckv_open_args args{};
    args.size = sizeof args;
    args.socket_path = options.socket.c_str();
    args.namespace_name = options.space.empty() ? nullptr : options.space.c_str();
    args.daemon_uid = options.daemon_uid;
    const int result = speckv_open(&args, &session_);
    if (result < 0)
      throw Failure{
          "no session at " + options.socket + " in namespace " +
          (options.space.empty() ? "default" : options.space) + ": " + std::strerror(-result) +
          (result == -EACCES ? " (see uids, gids and anyone of the namespace in the configuration)"
                             : "")};
  }
  ~SessionHandle() { speckv_close(session_); }
  SessionHandle(const SessionHandle&) = delete;
  SessionHandle& operator=(const SessionHandle&) = delete;
  speckv_session* get() const { return session_; }

 private:
  speckv_session* session_ = nullptr;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + long(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

speckv_layout layout_with(uint32_t preset) {
  speckv_layout layout{};
  layout.size = sizeof layout;
  layout.dtype = SPECKV_DTYPE_F16;
  layout.layers = layers;
  layout.kv_heads = kv_heads;
  layout.head_dim = head_dim;
  layout.block_tokens = block_tokens;
  layout.page_tokens = 32;
  layout.world = 1;
  layout.preset = preset;
  std::memcpy(layout.weights_digest, "speckvctl bench", 16);
  layout.variant_digest[0] = uint8_t(preset);  // one layout a preset, so that keys never meet
  return layout;
}

// The views of one block that lies at base as [layer][K or V][head][token][channel].
struct BlockViews {
  speckv_view views[2 * layers];
  explicit BlockViews(std::byte* base) {
    constexpr int64_t row = head_dim * 2;
    for (uint32_t i = 0; i < 2 * layers; i++)
      views[i] = {base + i * (block_bytes / (2 * layers)), row, row * block_tokens, 2};
  }
  speckv_buf buf() const { return {0, layers, views}; }
};

// Finite halves with the spread of real KV: exponents of 2^-6 .. 2^1, random signs and mantissas.
void fill(std::vector<std::byte>& bytes) {
  uint64_t state = 0x9e3779b97f4a7c15ull;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const auto half = uint16_t((state & 0x83ff) | (9 + (state >> 20) % 8) << 10);
    std::memcpy(&bytes[i], &half, 2);
  }
}

using KeyBytes = uint8_t[SPECKV_KEY_BYTES];

// One preset's whole test.
class PresetBench {
 public:
  PresetBench(speckv_session* session, uint32_t preset, uint32_t blocks, Figures* figures)
      : session_(session),
        preset_(preset),
        blocks_(blocks),
        figures_(figures),
        source_(blocks * block_bytes),
        target_(blocks * block_bytes),
        keys_(2 * blocks) {
    const speckv_layout layout = layout_with(preset);
    check("registering the bench's layout", speckv_layout_register(session, &layout, &layout_));
    fill(source_);
    char salt[64];
    std::snprintf(salt, sizeof salt, "speckvctl bench %d %llu", int(getpid()),
                  static_cast<unsigned long long>(now_ns()));
    for (uint32_t i = 0; i < 2 * blocks;
         i++) {  // the second half is never stored: exists() must miss there
      const int32_t token = int32_t(i);
      check("key", speckv_key_chain(nullptr, salt, std::strlen(salt), &token, 1, keys_[i].bytes));
    }
  }

  void run() {
    put_all();
    get_all();
    exists_all();
    remove_all();
  }

 private:
  struct OneKey {
    KeyBytes bytes;
  };
  std::string name(const char* what) const {
    return std::string(what) + "/1MiB/" + std::string(codec::preset_name(preset_));
  }
  std::byte* source(uint32_t i) { return source_.data() + i * block_bytes; }
  std::byte* target(uint32_t i) { return target_.data() + i * block_bytes; }

  // Waits for completions until at most `left` are out.
  void reap_until(uint32_t left) {
    while (in_flight_ > left) {
      speckv_completion done[16];
      const int got = speckv_reap(session_, done, 16);
      check("reaping", got);
      for (int i = 0; i < got; i++)
        if (done[i].result != 0)
          figures_->faults.push_back(name("put") + ": " + std::strerror(-done[i].result));
      in_flight_ -= uint32_t(got);
      if (got == 0) check("waiting for a completion", speckv_wait(session_, wait_ns_max));
    }
  }

  void put_one(uint32_t i) {
    const BlockViews views(source(i));
    speckv_put_op op{};
    std::memcpy(op.key, keys_[i].bytes, sizeof op.key);
    op.buf = views.buf();
    op.meta.position = SPECKV_POSITION_UNKNOWN;
    op.user_data = i;
    for (;;) {
      const int result = speckv_put(session_, layout_, &op, 1);
      if (result == 1) break;
      const int why = result < 0 ? result : op.ret_result;
      if (why != -EAGAIN) check("put", why);
      if (in_flight_ == 0)
        throw Failure{"put: the session's arena is too small for a block of 1 MiB"};
      reap_until(in_flight_ - 1);
    }
    in_flight_++;
  }

  // Passes over all blocks, copy and put in turn; from the second on nothing is touched for the
  // first time.
  void put_all() {
    std::vector<double> put_ns, copy_ns;
    for (uint32_t pass = 0; pass < rounds; pass++) {
      if (pass > 0) remove_all();
      Clock start = now_ns();
      for (uint32_t i = 0; i < blocks_; i++) std::memcpy(target(i), source(i), block_bytes);
      copy_ns.push_back(double(now_ns() - start));
      start = now_ns();
      for (uint32_t i = 0; i < blocks_; i++) put_one(i);
      reap_until(0);
      put_ns.push_back(double(now_ns() - start));
    }
    add_rate("put", blocks_, median(put_ns), median(copy_ns), put_ns.size());
  }

  // rate of `count` blocks in ns against the same bytes copied in copy_ns.
  void add_rate(const char* what, double count, double ns, double copy_ns, size_t samples) {
    figures_->rows.push_back(
        {name(what), count * double(block_bytes) / ns, "GB/s", "memcpy", copy_ns / ns, samples});
  }

  void get_all() {
    std::vector<double> get_ns, copy_ns;
    for (uint32_t round = 0; round < rounds; round++)
      for (uint32_t step = 0; step < blocks_; step++) {
        const uint32_t from =
            (step * 37 + round * 11) % blocks_;  // 37 is prime to every power of two
        const uint32_t to = (step + round) % blocks_;
        Clock start = now_ns();
        std::memcpy(target(to), source(from), block_bytes);
        copy_ns.push_back(double(now_ns() - start));
        std::memset(target(to), 0xff, 64);  // a read that did nothing must show
        start = now_ns();
        const int result = get_one(from, to);
        get_ns.push_back(double(now_ns() - start));
        verify(from, to, result);
      }
    add_rate("get", 1, median(get_ns), median(copy_ns), get_ns.size());
  }

  int get_one(uint32_t from, uint32_t to) {
    const BlockViews views(target(to));
    speckv_get_op op{};
    std::memcpy(op.key, keys_[from].bytes, sizeof op.key);
    op.buf = views.buf();
    const int result = speckv_get(session_, layout_, &op, 1);
    return result < 0 ? result : op.ret_result;
  }

  void verify(uint32_t from, uint32_t to, int result) {
    if (result != 0) {
      if (figures_->faults.size() < 10)
        figures_->faults.push_back(name("get") + ": " + std::strerror(-result));
    } else if ((preset_ == SPECKV_PRESET_EXACT || preset_ == SPECKV_PRESET_LOSSLESS) &&
               std::memcmp(source(from), target(to), block_bytes) != 0) {
      figures_->faults.push_back(name("get") + ": other bytes came back than were put");
    } else if (std::all_of(target(to), target(to) + 64,
                           [](std::byte b) { return b == std::byte{0xff}; })) {
      figures_->faults.push_back(name("get") + ": returned 0 and wrote nothing");
    }
  }

  void exists_all() {
    std::vector<OneKey> batch(exists_batch);
    std::vector<double> per_key_ns;
    uint8_t hits[exists_batch];
    for (uint32_t turn = 0; turn < exists_batches; turn++) {
      for (uint32_t i = 0; i < exists_batch; i++)
        batch[i] = keys_[(turn * 29 + i * 13) % blocks_ + (i % 2 ? blocks_ : 0)];
      const Clock start = now_ns();
      check("exists", speckv_exists(session_, layout_, &batch[0].bytes, exists_batch, hits));
      per_key_ns.push_back(double(now_ns() - start) / exists_batch);
      for (uint32_t i = 0; i < exists_batch; i++)
        if (hits[i] == (i % 2) && figures_->faults.size() < 10)
          figures_->faults.push_back(name("exists") +
                                     (hits[i] ? ": found a key never put" : ": lost a key"));
    }
    figures_->rows.push_back({"exists/64/" + std::string(codec::preset_name(preset_)),
                              median(per_key_ns), "ns/key", "", 0, per_key_ns.size()});
  }

  void remove_all() {
    const int sent = speckv_remove(session_, layout_, &keys_[0].bytes, blocks_, 0);
    check("removing the bench's blocks", sent);
    in_flight_ = uint32_t(sent);
    reap_until(0);
  }

  speckv_session* session_;
  uint32_t preset_, blocks_, layout_ = 0, in_flight_ = 0;
  Figures* figures_;
  std::vector<std::byte> source_, target_;
  std::vector<OneKey> keys_;
};

// The presets to test: the one asked for, else exact and what the daemon resolves its own default
// to.
std::vector<uint32_t> presets_for(const Options& options) {
  uint32_t id = 0;
  if (!options.preset.empty()) {
    if (!codec::parse_preset(options.preset, &id))
      throw Failure{"no preset \"" + options.preset +
                    "\": expected one like exact, q8, near-lossless"};
    return {id};
  }
  std::vector<uint32_t> presets{SPECKV_PRESET_EXACT};
  nlohmann::ordered_json status;
  try {
    status = ask(options, "status");
  } catch (const Failure&) {  // not allowed to ask: the session below may still be
    return presets;
  }
  for (const auto& space : status.at("namespaces")) {
    if (!options.space.empty() && space.at("name") != options.space) continue;
    if (codec::parse_preset(space.at("preset").get<std::string>(), &id) &&
        id != SPECKV_PRESET_EXACT)
      presets.push_back(id);
    break;
  }
  return presets;
}

nlohmann::ordered_json rows_json(const Figures& figures, const std::string& setting) {
  auto list = nlohmann::ordered_json::array();
  for (const Row& row : figures.rows) {
    list.push_back({{"name", row.name}, {"value", row.value}, {"unit", row.unit}});
    if (!row.against.empty()) list.back().update({{"against", row.against}, {"ratio", row.ratio}});
    list.back().update({{"setting", setting}, {"samples", row.samples}});
  }
  return {{"results", list}, {"faults", figures.faults}};
}

void print_rows(const Figures& figures, const std::string& setting) {
  std::printf("%s\n\n", setting.c_str());
  std::vector<std::vector<std::string>> rows{{"what", "value", "unit", "/ memcpy", "samples"}};
  for (const Row& row : figures.rows) {
    char value[32], ratio[32];
    std::snprintf(value, sizeof value, "%.2f", row.value);
    std::snprintf(ratio, sizeof ratio, "%.2f", row.ratio);
    rows.push_back({row.name, value, row.unit, row.against.empty() ? "-" : ratio,
                    std::to_string(row.samples)});
  }
  std::fputs(table(rows).c_str(), stdout);
  for (const std::string& fault : figures.faults) std::printf("WRONG  %s\n", fault.c_str());
  std::printf("\n%s\n", figures.faults.empty()
                            ? "every block came back right"
                            : "some answers were wrong: see above, and `speckvctl doctor`");
}

}  // namespace

int run_bench(const Options& options) {
  const SessionHandle session(options);
  struct speckv_stats stats {};
  stats.size = sizeof stats;
  check("stats", speckv_stats(session.get(), &stats));
  const auto blocks =
      uint32_t(std::clamp<uint64_t>(stats.pool_bytes / 8 / block_bytes, 1, blocks_max));
  const std::string setting = std::string("libspeckv ") + speckv_version() + ", " +
                              std::to_string(blocks) + " blocks of 1 MiB fp16, pool pages of " +
                              human_bytes(double(stats.pool_page_bytes));
  Figures figures;
  for (const uint32_t preset : presets_for(options))
    PresetBench(session.get(), preset, blocks, &figures).run();
  if (options.json) std::puts(rows_json(figures, setting).dump(2).c_str());
  else print_rows(figures, setting);
  return figures.faults.empty() ? 0 : 1;
}

}  // namespace speckv::ctl
