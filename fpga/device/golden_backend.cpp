// SPDX-License-Identifier: Apache-2.0
// golden_backend.cpp - the codec room's segment functions behind the engine's registers and rings.
//
// A descriptor is checked in the engine's order (fpga/rtl/job_check.sv): reserved bits, opcode,
// layout, codec, length, source, target; nothing is read or written before all of them have passed.
// It is carried out with no lock held, so that a register never waits for it; what CONTROL.reset,
// or a queue that was switched off, overtakes is dropped without a completion.
#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <vector>

#include "backend.hpp"
#include "codec/segment.hpp"
#include "golden_registers.hpp"

namespace speckv::device {

namespace {

static_assert(std::endian::native == std::endian::little, "rings are little-endian");

constexpr uint64_t kSlot = SPECKV_ENGINE_SLOT_BYTES, kBeat = SPECKV_ENGINE_BEAT_BYTES;
constexpr uint64_t kRawBytesMax = SPECKV_SEGMENT_BYTES_MAX;
constexpr uint32_t kHeadsMax = 256, kPagesMax = 256;

uint64_t beats_of(uint64_t bytes) { return (bytes + kBeat - 1) / kBeat; }

// A descriptor that was fetched, and what its checks found.
struct Job {
  uint32_t queue = 0;
  uint64_t epoch = 0;
  uint16_t sq_head = 0;
  speckv_engine_descriptor asked{};
  uint8_t status = SPECKV_ENGINE_OK;
  LayoutRegisters layout;
  speckv_layout words{};
  codec::SegmentPlan plan{};
  uint64_t raw_bytes = 0, source = 0, target = 0;
  bool moves() const { return status == SPECKV_ENGINE_OK && asked.opcode != SPECKV_ENGINE_NOP; }
};

class GoldenBackend final : public Backend {
 public:
  GoldenBackend() { registers_.power_on(); }

  uint32_t read(uint32_t offset) override {
    const std::lock_guard lock(lock_);
    if (offset == SPECKV_REG_STATUS && (is_busy_ || picked(false)))
      return 0;  // not idle; a reset is over at once
    return registers_.read(offset);
  }

  void write(uint32_t offset, uint32_t value) override {
    const std::lock_guard lock(lock_);
    std::array<bool, SPECKV_REG_QUEUES_COUNT> on{};
    for (uint32_t i = 0; i < on.size(); ++i) on[i] = registers_.queue(i).enabled;
    if (registers_.write(offset, value)) ++epoch_;
    for (uint32_t i = 0; i < on.size(); ++i)
      if (on[i] && !registers_.queue(i).enabled) ++epochs_[i];
  }

  bool work(const Bus& bus) override {
    Job job;
    {
      const std::lock_guard lock(lock_);
      const std::optional<uint32_t> queue = picked(true);
      if (!queue) return false;
      job.queue = *queue;
      if (!fetch(bus, &job)) return true;
      check(&job);
      is_busy_ = true;
    }
    speckv_engine_completion told{};
    told.cookie = job.asked.cookie;
    if (job.moves()) carry_out(bus, &job, &told);
    told.status = job.status;
    const std::lock_guard lock(lock_);
    is_busy_ = false;
    if (job.epoch == epoch_of(job.queue)) complete(bus, job, told);
    return true;
  }

  std::optional<uint8_t> take_interrupt() override {
    const std::lock_guard lock(lock_);
    for (uint32_t i = 0; i < SPECKV_REG_QUEUES_COUNT; ++i) {
      QueueState& state = registers_.state(i);
      // a queue with nothing left to do tells of what it has, as the engine's cycle limit would
      const bool is_due = state.untold >= registers_.completions_a_interrupt() ||
                          (state.untold > 0 && state.sq_head == state.sq_tail);
      if (!is_due) continue;
      state.untold = 0;
      return registers_.queue(i).vector;
    }
    return {};
  }

  void reset() override {
    const std::lock_guard lock(lock_);
    registers_.power_on();
    ++epoch_;
  }

 private:
  uint64_t epoch_of(uint32_t queue) const { return epoch_ + epochs_[queue]; }

  // The next queue with a descriptor whose completion has a slot, the queues in turn.
  std::optional<uint32_t> picked(bool take) {
    if (!registers_.enabled()) return {};
    for (uint32_t i = 0; i < SPECKV_REG_QUEUES_COUNT; ++i) {
      const uint32_t queue = (turn_ + i) % SPECKV_REG_QUEUES_COUNT;
      const QueueRegisters setup = registers_.queue(queue);
      const QueueState& state = registers_.state(queue);
      if (!setup.enabled || state.halted || state.sq_head == state.sq_tail) continue;
      if (uint16_t(state.cq_tail - state.cq_head) >= 1u << setup.log2_slots) continue;
      if (take) turn_ = queue + 1;
      return queue;
    }
    return {};
  }

  // The one way to a bus address. Returns: nothing, unless this queue may use every byte.
  std::optional<uint64_t> address(uint32_t extent, uint64_t offset, uint64_t beats, bool is_write,
                                  uint32_t queue) const {
    if (extent >= SPECKV_REG_EXTENTS_COUNT || beats == 0) return {};
    const ExtentRegisters found = registers_.extent(extent);
    if (!found.valid || (found.queues >> queue & 1) == 0) return {};
    if (is_write && !found.writable) return {};
    if (offset % kBeat != 0 || offset / kBeat > found.beats) return {};
    if (beats > found.beats - offset / kBeat) return {};
    return found.base + offset;
  }

  bool fetch(const Bus& bus, Job* job) {
    const QueueRegisters setup = registers_.queue(job->queue);
    QueueState& state = registers_.state(job->queue);
    const uint64_t slot = state.sq_head & ((1u << setup.log2_slots) - 1);
    const auto from =
        address(setup.sq_extent, setup.sq_offset + slot * kSlot, 1, false, job->queue);
    if (!from) {
      registers_.log_error(SPECKV_ENGINE_RING, job->queue, 0);
      state.halted = true;
      return false;
    }
    const auto bytes = std::as_writable_bytes(std::span(&job->asked, 1));
    if (!bus.read(*from, bytes)) job->status = SPECKV_ENGINE_READ_ERROR;
    registers_.count(Counter::fetched);
    registers_.count(Counter::beats_read);
    job->sq_head = ++state.sq_head;
    job->epoch = epoch_of(job->queue);
    return true;
  }

  void check(Job* job) const {
    const speckv_engine_descriptor& asked = job->asked;
    if (job->status == SPECKV_ENGINE_OK) job->status = check_form(asked);
    if (!job->moves()) return;
    if (asked.layout >= SPECKV_REG_LAYOUTS_COUNT) {
      job->status = SPECKV_ENGINE_BAD_LAYOUT;
      return;
    }
    job->layout = registers_.layout(asked.layout);
    job->status = check_layout(job);
    if (job->status != SPECKV_ENGINE_OK) return;
    const bool encodes = asked.opcode == SPECKV_ENGINE_ENCODE;
    const uint64_t stored = beats_of(job->plan.bytes), raw = beats_of(job->raw_bytes);
    const auto from = address(asked.source_extent, asked.source_offset, encodes ? raw : stored,
                              false, job->queue);
    const auto to =
        address(asked.target_extent, asked.target_offset, encodes ? stored : raw, true, job->queue);
    if (!from) {
      job->status = SPECKV_ENGINE_SOURCE;
    } else if (!to) {
      job->status = SPECKV_ENGINE_TARGET;
    } else {
      job->source = *from;
      job->target = *to;
    }
  }

  static uint8_t check_form(const speckv_engine_descriptor& asked) {
    const bool is_set = (asked.flags & ~SPECKV_ENGINE_FIRST) != 0 || asked.reserved_3 != 0 ||
                        asked.reserved_36 != 0 ||
                        std::ranges::any_of(asked.reserved_40, [](uint64_t w) { return w != 0; });
    if (is_set) return SPECKV_ENGINE_RESERVED;
    if (asked.opcode > SPECKV_ENGINE_DECODE) return SPECKV_ENGINE_BAD_OPCODE;
    if (asked.opcode != SPECKV_ENGINE_NOP) return SPECKV_ENGINE_OK;
    const bool is_unused_set = asked.flags != 0 || asked.layout != 0 || asked.source_extent != 0 ||
                               asked.target_extent != 0 || asked.widths != 0 ||
                               asked.source_offset != 0 || asked.target_offset != 0 ||
                               asked.bytes != 0;
    return is_unused_set ? SPECKV_ENGINE_RESERVED : SPECKV_ENGINE_OK;
  }

  static uint8_t check_layout(Job* job) {
    const LayoutRegisters& layout = job->layout;
    if (!layout.valid || layout.heads == 0 || layout.heads > kHeadsMax || layout.pages == 0 ||
        layout.pages > kPagesMax)
      return SPECKV_ENGINE_BAD_LAYOUT;
    job->raw_bytes = 2ull * layout.heads * layout.pages * layout.shape.raw_bytes();
    if (job->raw_bytes > kRawBytesMax) return SPECKV_ENGINE_BAD_LAYOUT;
    const bool first = (job->asked.flags & SPECKV_ENGINE_FIRST) != 0;
    const auto is_known = [](codec::CodecId id) {
      return (GoldenRegisters::codecs() >> uint32_t(id) & 1) != 0;
    };
    const codec::Preset& preset = layout.preset;
    if (!is_known(preset.k) || !is_known(preset.v) || (first && !is_known(preset.first)))
      return SPECKV_ENGINE_UNSUPPORTED;
    job->words.size = sizeof(job->words);
    job->words.dtype = layout.shape.dtype;
    job->words.layers = 1;
    job->words.kv_heads = layout.heads;
    job->words.head_dim = layout.shape.head_dim;
    job->words.page_tokens = layout.shape.tokens;
    job->words.block_tokens = layout.pages * layout.shape.tokens;
    if (!codec::plan_segment(job->words, preset, first, &job->plan))
      return SPECKV_ENGINE_UNSUPPORTED;
    return job->asked.bytes == job->plan.bytes ? SPECKV_ENGINE_OK : SPECKV_ENGINE_BAD_LENGTH;
  }

  // [K|V][head][token][channel], contiguous.
  template <typename View, typename PlaneOf, typename Byte>
  static View raw_view(const Job& job, Byte* base) {
    const auto token = ptrdiff_t(2 * job.words.head_dim);
    const ptrdiff_t head = token * ptrdiff_t(job.words.block_tokens);
    const PlaneOf k{base, token, head, 2};
    const PlaneOf v{base + job.raw_bytes / 2, token, head, 2};
    return {k, v};
  }

  void carry_out(const Bus& bus, Job* job, speckv_engine_completion* told) {
    const bool encodes = job->asked.opcode == SPECKV_ENGINE_ENCODE;
    raw_.resize(job->raw_bytes);
    stored_.resize(job->plan.bytes);
    if (!bus.read(job->source, encodes ? raw_ : stored_)) {
      job->status = SPECKV_ENGINE_READ_ERROR;
      return;
    }
    if (encodes && !encode(job, told)) return;
    if (!encodes)
      told->checksum = codec::decode_planned(
          job->plan, stored_, raw_view<codec::SegmentOut, codec::Plane>(*job, raw_.data()), false,
          nullptr);
    const std::span<const std::byte> out = encodes ? stored_ : raw_;
    if (!bus.write(job->target, out)) job->status = SPECKV_ENGINE_WRITE_ERROR;
    told->bytes = uint32_t(out.size());
    moved_[0] = beats_of(encodes ? raw_.size() : stored_.size());
    moved_[1] = beats_of(out.size());
  }

  bool encode(Job* job, speckv_engine_completion* told) {
    const bool first = (job->asked.flags & SPECKV_ENGINE_FIRST) != 0;
    const auto view = raw_view<codec::SegmentView, codec::ConstPlane>(
        *job, static_cast<const std::byte*>(raw_.data()));
    uint64_t checksum = 0;
    const codec::Refusal refusal =
        codec::encode_segment(job->words, job->layout.preset, 0, first, view, stored_, &checksum);
    told->checksum = checksum;
    if (refusal == codec::Refusal::none) return true;
    job->status = SPECKV_ENGINE_REFUSED;
    told->checksum = 0;
    find_refused(*job, first, told);
    return false;
  }

  // Which page it was, in stored order, and why: they are tried once more, one by one.
  void find_refused(const Job& job, bool first, speckv_engine_completion* told) {
    codec::PageShape shape = job.layout.shape;
    const std::byte* at = raw_.data();
    uint32_t page = 0;
    for (const codec::Kind kind : {codec::Kind::k, codec::Kind::v}) {
      shape.kind = kind;
      for (uint32_t i = 0; i < job.layout.heads * job.layout.pages; ++i, ++page) {
        codec::CodecId id = kind == codec::Kind::k ? job.layout.preset.k : job.layout.preset.v;
        if (first && i % job.layout.pages == 0) id = job.layout.preset.first;
        const codec::ConstView view{at, ptrdiff_t(2 * shape.head_dim), 2};
        const codec::Refusal refusal = codec::encode(id, shape, view, stored_);
        if (refusal != codec::Refusal::none) {
          told->page = uint16_t(page);
          told->refusal = uint8_t(refusal);
          return;
        }
        at += shape.raw_bytes();
      }
    }
  }

  void complete(const Bus& bus, const Job& job, speckv_engine_completion told) {
    const QueueRegisters setup = registers_.queue(job.queue);
    QueueState& state = registers_.state(job.queue);
    const uint32_t slots = 1u << setup.log2_slots;
    told.sq_head = job.sq_head;
    told.phase = (state.cq_tail & slots) == 0 ? 1 : 0;
    const auto to =
        address(setup.cq_extent, setup.cq_offset + (state.cq_tail & (slots - 1)) * kSlot, 1, true,
                job.queue);
    const bool is_told = to && bus.write(*to, std::as_bytes(std::span(&told, 1)));
    registers_.count(Counter::completed);
    registers_.count(Counter::beats_read, moved_[0]);
    registers_.count(Counter::beats_written, moved_[1] + (is_told ? 1 : 0));
    moved_ = {};
    if (told.status != SPECKV_ENGINE_OK) {
      registers_.count(Counter::errors);
      registers_.log_error(told.status, job.queue, uint32_t(told.cookie));
    } else if (!is_told) {
      registers_.log_error(SPECKV_ENGINE_RING, job.queue, 0);
    }
    ++state.cq_tail;
    ++state.untold;
  }

  std::mutex lock_;  // of the registers and all below but the buffers
  GoldenRegisters registers_;
  uint64_t epoch_ = 0;
  std::array<uint64_t, SPECKV_REG_QUEUES_COUNT> epochs_{};
  uint32_t turn_ = 0;
  bool is_busy_ = false;
  // work()'s own
  std::vector<std::byte> raw_, stored_;
  std::array<uint64_t, 2> moved_{};  // beats read, written
};

}  // namespace

std::unique_ptr<Backend> make_golden_backend() { return std::make_unique<GoldenBackend>(); }

}  // namespace speckv::device
