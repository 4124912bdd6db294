// SPDX-License-Identifier: Apache-2.0
#include "golden_registers.hpp"

#include <bit>

#include "golden_tables.hpp"

namespace speckv::device {

namespace {

constexpr uint32_t kLog2SlotsMax = 12;

#define FIELD(value, NAME) (((value)&NAME##_MASK) >> NAME##_SHIFT)

// An array of registers: which element of it an offset is in, and where in the element.
struct Place {
  uint32_t index, at;
};
constexpr bool inside(uint32_t offset, uint32_t first, uint32_t stride, uint32_t count,
                      Place* ret_place) {
  if (offset < first || offset >= first + stride * count) return false;
  *ret_place = {(offset - first) / stride, (offset - first) % stride};
  return true;
}

constexpr uint32_t kQueues = SPECKV_REG_QUEUES_SQ_OFFSET;
constexpr uint32_t kExtents = SPECKV_REG_EXTENTS_BASE_LOW;
constexpr uint32_t kLayouts = SPECKV_REG_LAYOUTS_SHAPE;

bool in_queues(uint32_t offset, Place* ret_place) {
  return inside(offset, kQueues, SPECKV_REG_QUEUES_STRIDE, SPECKV_REG_QUEUES_COUNT, ret_place);
}

uint32_t layout_writable(uint32_t offset) {
  switch (offset) {
    case SPECKV_REG_LAYOUTS_SHAPE:
      return SPECKV_REG_LAYOUTS_SHAPE_TOKENS_MASK | SPECKV_REG_LAYOUTS_SHAPE_BLOCKS_MASK |
             SPECKV_REG_LAYOUTS_SHAPE_BF16_MASK | SPECKV_REG_LAYOUTS_SHAPE_HEADS_MASK |
             SPECKV_REG_LAYOUTS_SHAPE_PAGES_MASK | SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK;
    case SPECKV_REG_LAYOUTS_CODECS:
      return SPECKV_REG_LAYOUTS_CODECS_K_MASK | SPECKV_REG_LAYOUTS_CODECS_V_MASK |
             SPECKV_REG_LAYOUTS_CODECS_FIRST_MASK;
    case SPECKV_REG_LAYOUTS_ROPE:
      return SPECKV_REG_LAYOUTS_ROPE_ROTATED_MASK | SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_MASK |
             SPECKV_REG_LAYOUTS_ROPE_THETA_MASK | SPECKV_REG_LAYOUTS_ROPE_SHARED_WIDTHS_MASK;
    default:
      return 0;
  }
}

// The bits of a register that software may set.
uint32_t writable(uint32_t offset) {
  Place place{};
  if (in_queues(offset, &place)) {
    switch (place.at + kQueues) {
      case SPECKV_REG_QUEUES_SQ_OFFSET:
      case SPECKV_REG_QUEUES_CQ_OFFSET:
        return UINT32_MAX;
      case SPECKV_REG_QUEUES_SETUP:
        return SPECKV_REG_QUEUES_SETUP_SQ_EXTENT_MASK | SPECKV_REG_QUEUES_SETUP_CQ_EXTENT_MASK |
               SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS_MASK | SPECKV_REG_QUEUES_SETUP_VECTOR_MASK |
               SPECKV_REG_QUEUES_SETUP_ENABLE_MASK;
      case SPECKV_REG_QUEUES_SQ_TAIL:
      case SPECKV_REG_QUEUES_CQ_HEAD:
        return 0xffff;
      default:
        return 0;
    }
  }
  if (inside(offset, kExtents, SPECKV_REG_EXTENTS_STRIDE, SPECKV_REG_EXTENTS_COUNT, &place)) {
    return place.at == SPECKV_REG_EXTENTS_FLAGS - kExtents
               ? SPECKV_REG_EXTENTS_FLAGS_VALID_MASK | SPECKV_REG_EXTENTS_FLAGS_DEVICE_MASK |
                     SPECKV_REG_EXTENTS_FLAGS_WRITABLE_MASK | SPECKV_REG_EXTENTS_FLAGS_QUEUES_MASK
               : UINT32_MAX;
  }
  if (inside(offset, kLayouts, SPECKV_REG_LAYOUTS_STRIDE, SPECKV_REG_LAYOUTS_COUNT, &place)) {
    return layout_writable(place.at + kLayouts);
  }
  if (offset == SPECKV_REG_CONTROL) return SPECKV_REG_CONTROL_ENABLE_MASK;
  return offset == SPECKV_REG_MODERATION ? UINT32_MAX : 0;
}

uint32_t resources() {
  return 1u << SPECKV_REG_RESOURCES_LANES_SHIFT |
         SPECKV_REG_QUEUES_COUNT << SPECKV_REG_RESOURCES_QUEUES_SHIFT |
         SPECKV_REG_EXTENTS_COUNT << SPECKV_REG_RESOURCES_EXTENTS_SHIFT |
         SPECKV_REG_LAYOUTS_COUNT << SPECKV_REG_RESOURCES_LAYOUTS_SHIFT;
}

}  // namespace

uint32_t GoldenRegisters::codecs() {
  using codec::CodecId;
  uint32_t mask = 0;
  for (const CodecId id :
       {CodecId::raw, CodecId::q8, CodecId::rowq3, CodecId::rowq4, CodecId::rowq5, CodecId::rowq6,
        CodecId::rowq8, CodecId::xpack, CodecId::q8sink, CodecId::chanq2_5, CodecId::chanq3,
        CodecId::chanq3_5, CodecId::chanq4, CodecId::chanq4_5, CodecId::chanq5, CodecId::chanq7})
    mask |= 1u << uint32_t(id);
  return mask;
}

uint32_t GoldenRegisters::operations() { return (2u << SPECKV_ENGINE_LOAD) - 1; }

uint32_t GoldenRegisters::read(uint32_t offset) const {
  Place place{};
  if (inside(offset, SPECKV_REG_COUNTERS_LOW, SPECKV_REG_COUNTERS_STRIDE, SPECKV_REG_COUNTERS_COUNT,
             &place))
    return uint32_t(counters_[place.index] >> 8 * place.at);
  if (in_queues(offset, &place)) {
    const QueueState& state = states_[place.index];
    if (place.at + kQueues == SPECKV_REG_QUEUES_SQ_HEAD) return state.sq_head;
    if (place.at + kQueues == SPECKV_REG_QUEUES_CQ_TAIL) return state.cq_tail;
  }
  switch (offset) {
    case SPECKV_REG_MAGIC:
      return SPECKV_REG_MAGIC_VALUE_VALUE;
    case SPECKV_REG_VERSION:
      return SPECKV_REG_VERSION_MAJOR_VALUE << SPECKV_REG_VERSION_MAJOR_SHIFT;
    case SPECKV_REG_DECODERS:
    case SPECKV_REG_ENCODERS:
      return codecs();
    case SPECKV_REG_SHAPES:
      return SPECKV_REG_SHAPES_TOKENS_MASK | SPECKV_REG_SHAPES_HEAD_DIMS_MASK |
             SPECKV_REG_SHAPES_DTYPES_MASK;
    case SPECKV_REG_RESOURCES:
      return resources();
    case SPECKV_REG_TABLES:
      return GoldenTables::thetas << SPECKV_REG_TABLES_THETAS_SHIFT |
             GoldenTables::slots << SPECKV_REG_TABLES_WIDTHS_SHIFT;
    case SPECKV_REG_OPERATIONS:
      return operations();
    case SPECKV_REG_STATUS:
      return SPECKV_REG_STATUS_IDLE_MASK;
    case SPECKV_REG_ERROR:
      return error_status_ | error_queue_ << SPECKV_REG_ERROR_QUEUE_SHIFT |
             error_count_ << SPECKV_REG_ERROR_COUNT_SHIFT;
    case SPECKV_REG_ERROR_COOKIE:
      return error_cookie_;
    default:
      return offset < 4 * words_.size() ? word(offset) : 0;
  }
}

bool GoldenRegisters::write(uint32_t offset, uint32_t value) {
  if (offset >= 4 * words_.size()) return false;
  const uint32_t mask = writable(offset);
  words_[offset / 4] = value & mask;
  Place place{};
  if (offset == SPECKV_REG_CONTROL) {
    if ((value & SPECKV_REG_CONTROL_CLEAR_LOG_MASK) != 0)
      error_status_ = 0, error_queue_ = error_count_ = error_cookie_ = 0;
    return (value & SPECKV_REG_CONTROL_RESET_MASK) != 0;
  } else if (in_queues(offset, &place)) {
    if (place.at + kQueues == SPECKV_REG_QUEUES_SQ_TAIL) ring(place.index, uint16_t(value));
    settle(place.index);
  }
  return false;
}

void GoldenRegisters::ring(uint32_t index, uint16_t tail) {
  const QueueRegisters setup = queue(index);
  QueueState& state = states_[index];
  if (!setup.enabled) return;
  if (uint16_t(tail - state.sq_head) > 1u << setup.log2_slots)
    log_error(SPECKV_ENGINE_RING, index, 0);
  else state.sq_tail = tail;
}

void GoldenRegisters::reset_queues() { states_ = {}; }

void GoldenRegisters::settle(uint32_t index) {
  if (!queue(index).enabled && states_[index].open == 0) states_[index] = {};
}

void GoldenRegisters::power_on() {
  words_ = {};
  words_[SPECKV_REG_MODERATION / 4] = 1;
  counters_ = {};
  error_status_ = 0, error_queue_ = error_count_ = error_cookie_ = 0;
  reset_queues();
}

bool GoldenRegisters::enabled() const {
  return (word(SPECKV_REG_CONTROL) & SPECKV_REG_CONTROL_ENABLE_MASK) != 0;
}

ExtentRegisters GoldenRegisters::extent(uint32_t index) const {
  const uint32_t at = index * SPECKV_REG_EXTENTS_STRIDE;
  const uint32_t flags = word(SPECKV_REG_EXTENTS_FLAGS + at);
  return {
      .valid = (flags & SPECKV_REG_EXTENTS_FLAGS_VALID_MASK) != 0,
      .device = (flags & SPECKV_REG_EXTENTS_FLAGS_DEVICE_MASK) != 0,
      .writable = (flags & SPECKV_REG_EXTENTS_FLAGS_WRITABLE_MASK) != 0,
      .queues = FIELD(flags, SPECKV_REG_EXTENTS_FLAGS_QUEUES),
      .base = uint64_t(word(SPECKV_REG_EXTENTS_BASE_HIGH + at)) << 32 |
              (word(SPECKV_REG_EXTENTS_BASE_LOW + at) & ~63u),
      .beats = word(SPECKV_REG_EXTENTS_SIZE + at),
  };
}

QueueRegisters GoldenRegisters::queue(uint32_t index) const {
  const uint32_t at = index * SPECKV_REG_QUEUES_STRIDE;
  const uint32_t setup = word(SPECKV_REG_QUEUES_SETUP + at);
  return {
      .enabled = (setup & SPECKV_REG_QUEUES_SETUP_ENABLE_MASK) != 0,
      .sq_extent = FIELD(setup, SPECKV_REG_QUEUES_SETUP_SQ_EXTENT),
      .cq_extent = FIELD(setup, SPECKV_REG_QUEUES_SETUP_CQ_EXTENT),
      .sq_offset = word(SPECKV_REG_QUEUES_SQ_OFFSET + at),
      .cq_offset = word(SPECKV_REG_QUEUES_CQ_OFFSET + at),
      .log2_slots = std::min(FIELD(setup, SPECKV_REG_QUEUES_SETUP_LOG2_SLOTS), kLog2SlotsMax),
      .vector = uint8_t(FIELD(setup, SPECKV_REG_QUEUES_SETUP_VECTOR)),
  };
}

LayoutRegisters GoldenRegisters::layout(uint32_t slot) const {
  const uint32_t at = slot * SPECKV_REG_LAYOUTS_STRIDE;
  const uint32_t shape = word(SPECKV_REG_LAYOUTS_SHAPE + at);
  const uint32_t codecs = word(SPECKV_REG_LAYOUTS_CODECS + at);
  const uint32_t rope = word(SPECKV_REG_LAYOUTS_ROPE + at);
  LayoutRegisters layout;
  layout.valid = (shape & SPECKV_REG_LAYOUTS_SHAPE_VALID_MASK) != 0;
  layout.shape.tokens = uint16_t(16u << FIELD(shape, SPECKV_REG_LAYOUTS_SHAPE_TOKENS));
  layout.shape.head_dim = uint16_t(64 * (1 + FIELD(shape, SPECKV_REG_LAYOUTS_SHAPE_BLOCKS)));
  layout.shape.dtype =
      (shape & SPECKV_REG_LAYOUTS_SHAPE_BF16_MASK) != 0 ? SPECKV_DTYPE_BF16 : SPECKV_DTYPE_F16;
  layout.heads = FIELD(shape, SPECKV_REG_LAYOUTS_SHAPE_HEADS);
  layout.pages = FIELD(shape, SPECKV_REG_LAYOUTS_SHAPE_PAGES);
  layout.preset.k = codec::CodecId(FIELD(codecs, SPECKV_REG_LAYOUTS_CODECS_K));
  layout.preset.v = codec::CodecId(FIELD(codecs, SPECKV_REG_LAYOUTS_CODECS_V));
  layout.preset.first = codec::CodecId(FIELD(codecs, SPECKV_REG_LAYOUTS_CODECS_FIRST));
  layout.rotated = uint16_t(FIELD(rope, SPECKV_REG_LAYOUTS_ROPE_ROTATED));
  layout.half_split = (rope & SPECKV_REG_LAYOUTS_ROPE_HALF_SPLIT_MASK) != 0;
  layout.theta = FIELD(rope, SPECKV_REG_LAYOUTS_ROPE_THETA);
  layout.shared_widths = (rope & SPECKV_REG_LAYOUTS_ROPE_SHARED_WIDTHS_MASK) != 0;
  return layout;
}

uint16_t GoldenRegisters::cq_head(uint32_t index) const {
  return uint16_t(word(SPECKV_REG_QUEUES_CQ_HEAD + index * SPECKV_REG_QUEUES_STRIDE));
}

uint32_t GoldenRegisters::completions_a_interrupt() const {
  return std::max(1u, FIELD(word(SPECKV_REG_MODERATION), SPECKV_REG_MODERATION_COMPLETIONS));
}

bool GoldenRegisters::has_interrupt_limit() const {
  return (word(SPECKV_REG_MODERATION) & SPECKV_REG_MODERATION_CYCLES_MASK) != 0;
}

void GoldenRegisters::log_error(uint8_t status, uint32_t queue, uint32_t cookie) {
  if (error_count_ == 0) error_status_ = status, error_queue_ = queue, error_cookie_ = cookie;
  if (error_count_ < 0xffff) ++error_count_;
}

}  // namespace speckv::device
