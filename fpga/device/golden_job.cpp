// SPDX-License-Identifier: Apache-2.0
#include "golden_job.hpp"

#include <algorithm>
#include <cstring>

#include "codec/chanq.hpp"

namespace speckv::device {

namespace {

constexpr uint64_t kBeat = SPECKV_ENGINE_BEAT_BYTES, kUnit = 32;
constexpr uint64_t kBytesMax = SPECKV_SEGMENT_BYTES_MAX;  // raw of a segment; of whatever moves
constexpr uint32_t kHeadsMax = 256, kPagesMax = 256;
constexpr size_t kStepBytes = 64 << 10;
constexpr size_t kPageBytesMax = 2 * 64 * 256;
// Of a job besides its beats: checks (about 20), checksum (45), the first page's way.
constexpr uint64_t kJobCycles = 100;
constexpr uint64_t kCheckCycles = 20;

uint64_t beats_of(uint64_t bytes) { return (bytes + kBeat - 1) / kBeat; }

bool reads(uint8_t opcode) {
  return opcode == SPECKV_ENGINE_ENCODE || opcode == SPECKV_ENGINE_DECODE ||
         opcode == SPECKV_ENGINE_CHECKSUM || opcode == SPECKV_ENGINE_COPY ||
         opcode == SPECKV_ENGINE_LOAD;
}
bool writes(uint8_t opcode) {
  return opcode == SPECKV_ENGINE_ENCODE || opcode == SPECKV_ENGINE_DECODE ||
         opcode == SPECKV_ENGINE_COPY || opcode == SPECKV_ENGINE_FILL;
}

// Fields that the opcode does not use, and that are set.
bool sets_unused(const GoldenJob& job) {
  const speckv_engine_descriptor& asked = job.asked;
  const bool is_read = reads(asked.opcode), is_written = writes(asked.opcode);
  const bool is_fill = asked.opcode == SPECKV_ENGINE_FILL;
  const bool is_load = asked.opcode == SPECKV_ENGINE_LOAD;
  return (!job.codes() && (asked.layout != 0 || asked.flags != 0 || asked.widths != 0)) ||
         (!is_read && asked.source_extent != 0) ||
         (!is_read && !is_fill && asked.source_offset != 0) ||
         (!is_written && asked.target_extent != 0) ||
         (!is_written && !is_load && asked.target_offset != 0) ||
         (!is_read && !is_written && asked.bytes != 0);
}

uint8_t check_form(const GoldenJob& job) {
  const speckv_engine_descriptor& asked = job.asked;
  const bool is_reserved_set =
      (asked.flags & ~SPECKV_ENGINE_FIRST) != 0 || asked.reserved_3 != 0 ||
      asked.reserved_36 != 0 ||
      std::ranges::any_of(asked.reserved_40, [](uint64_t word) { return word != 0; });
  if (is_reserved_set) return SPECKV_ENGINE_RESERVED;
  if (asked.opcode >= 32 || (GoldenRegisters::operations() >> asked.opcode & 1) == 0)
    return SPECKV_ENGINE_BAD_OPCODE;
  return sets_unused(job) ? SPECKV_ENGINE_RESERVED : SPECKV_ENGINE_OK;
}

// Pairings that the engine finds (rope_known of fpga/rtl/chanq_pkg.sv).
bool knows_pairing(const LayoutRegisters& layout) {
  if (layout.rotated > layout.shape.head_dim) return false;
  if (!layout.half_split) return layout.rotated % 2 == 0;
  return layout.rotated % 64 == 0 || layout.rotated == 16 || layout.rotated == 32;
}

// The codecs of a layout that a job meets; those of chanq are one, for they share widths.
uint8_t check_codecs(GoldenJob* job) {
  const codec::Preset& preset = job->layout.preset;
  const bool has_first = (job->asked.flags & SPECKV_ENGINE_FIRST) != 0;
  for (const codec::CodecId id : {preset.k, preset.v, has_first ? preset.first : preset.k}) {
    if ((GoldenRegisters::codecs() >> uint32_t(id) & 1) == 0) return SPECKV_ENGINE_UNSUPPORTED;
    if (!codec::is_chanq(id)) continue;
    if (job->chanq && *job->chanq != id) return SPECKV_ENGINE_UNSUPPORTED;
    job->chanq = id;
  }
  if (job->chanq && !knows_pairing(job->layout)) return SPECKV_ENGINE_UNSUPPORTED;
  return SPECKV_ENGINE_OK;
}

codec::CodecId codec_of(const GoldenJob& job, uint32_t page) {
  const LayoutRegisters& layout = job.layout;
  const uint32_t of_a_kind = layout.heads * layout.pages;
  const bool is_first = page % layout.pages == 0;
  if (is_first && (job.asked.flags & SPECKV_ENGINE_FIRST) != 0) return layout.preset.first;
  return page < of_a_kind ? layout.preset.k : layout.preset.v;
}

uint8_t check_segment(GoldenJob* job) {
  const LayoutRegisters& layout = job->layout;
  if (!layout.valid || layout.heads == 0 || layout.heads > kHeadsMax || layout.pages == 0 ||
      layout.pages > kPagesMax)
    return SPECKV_ENGINE_BAD_LAYOUT;
  const uint64_t pages = uint64_t{layout.heads} * layout.pages;
  const uint64_t raw = 2 * pages * layout.shape.raw_bytes();
  if (raw > kBytesMax) return SPECKV_ENGINE_BAD_LAYOUT;
  if (const uint8_t status = check_codecs(job); status != SPECKV_ENGINE_OK) return status;
  uint64_t stored = 0;
  for (uint32_t page = 0; page < 2 * pages; ++page)
    stored += codec::encoded_bytes(codec_of(*job, page), layout.shape);
  if (job->asked.bytes != stored) return SPECKV_ENGINE_BAD_LENGTH;
  const bool encodes = job->asked.opcode == SPECKV_ENGINE_ENCODE;
  job->source_bytes = encodes ? raw : stored;
  job->target_bytes = encodes ? stored : raw;
  return SPECKV_ENGINE_OK;
}

uint8_t check_bytes(GoldenJob* job) {
  const speckv_engine_descriptor& asked = job->asked;
  if (!reads(asked.opcode) && !writes(asked.opcode)) return SPECKV_ENGINE_OK;
  if (asked.bytes == 0 || asked.bytes % kUnit != 0 || asked.bytes > kBytesMax)
    return SPECKV_ENGINE_BAD_LENGTH;
  if (asked.opcode == SPECKV_ENGINE_LOAD && !GoldenTables::takes(asked.target_offset, asked.bytes))
    return SPECKV_ENGINE_TARGET;
  job->source_bytes = reads(asked.opcode) ? asked.bytes : 0;
  job->target_bytes = writes(asked.opcode) ? asked.bytes : 0;
  return SPECKV_ENGINE_OK;
}

}  // namespace

std::optional<uint64_t> bus_address(const GoldenRegisters& registers, uint32_t extent,
                                    uint64_t offset, uint64_t beats, bool is_write,
                                    uint32_t queue) {
  if (extent >= SPECKV_REG_EXTENTS_COUNT || beats == 0) return {};
  const ExtentRegisters found = registers.extent(extent);
  if (!found.valid || (found.queues >> queue & 1) == 0) return {};
  if (is_write && !found.writable) return {};
  if (offset % kBeat != 0 || offset / kBeat > found.beats) return {};
  if (beats > found.beats - offset / kBeat) return {};
  return found.base + offset;
}

uint8_t check(const GoldenRegisters& registers, const GoldenTables& tables, GoldenJob* job) {
  const speckv_engine_descriptor& asked = job->asked;
  if (job->failed) return SPECKV_ENGINE_READ_ERROR;
  uint8_t status = check_form(*job);
  if (status != SPECKV_ENGINE_OK) return status;
  if (job->codes()) {
    if (asked.layout >= SPECKV_REG_LAYOUTS_COUNT) return SPECKV_ENGINE_BAD_LAYOUT;
    job->layout = registers.layout(asked.layout);
    status = check_segment(job);
  } else {
    status = check_bytes(job);
  }
  if (status != SPECKV_ENGINE_OK) return status;
  if (job->chanq && !tables.have(job->layout, *job->chanq, asked.widths))
    return SPECKV_ENGINE_TABLE;
  if (job->source_bytes != 0) {
    const auto from = bus_address(registers, asked.source_extent, asked.source_offset,
                                  beats_of(job->source_bytes), false, job->queue);
    if (!from) return SPECKV_ENGINE_SOURCE;
    job->source = *from;
  }
  if (job->target_bytes != 0) {
    const auto to = bus_address(registers, asked.target_extent, asked.target_offset,
                                beats_of(job->target_bytes), true, job->queue);
    if (!to) return SPECKV_ENGINE_TARGET;
    job->target = *to;
  }
  return SPECKV_ENGINE_OK;
}

uint8_t check_cancel(const speckv_engine_descriptor& asked) {
  speckv_engine_descriptor allowed{};
  allowed.opcode = asked.opcode;
  allowed.cookie = asked.cookie;
  allowed.source_offset = asked.source_offset;
  return std::memcmp(&asked, &allowed, sizeof(asked)) == 0 ? SPECKV_ENGINE_OK
                                                           : SPECKV_ENGINE_RESERVED;
}

GoldenLane::GoldenLane() : raw_(kStepBytes), stored_(2 * kPageBytesMax) {}

void GoldenLane::begin(const GoldenJob& job, uint8_t status, GoldenTables* tables) {
  job_ = job;
  told_ = {};
  told_.cookie = job.failed ? 0 : job.asked.cookie;
  sum_ = {};
  page_ = 0;
  read_bytes_ = written_bytes_ = 0;
  read_failed_ = write_failed_ = has_ended_ = false;
  if (status != SPECKV_ENGINE_OK) end(status);
  else if (is_over()) end(SPECKV_ENGINE_OK);
  else if (job.chanq) tables->prepare(job.layout, *job.chanq, job.asked.widths);
}

uint64_t GoldenLane::cycles(uint32_t latency) const {
  const uint64_t beats = std::max(beats_read(), beats_written());
  return beats == 0 ? kCheckCycles : kJobCycles + 2 * uint64_t{latency} + beats;
}

bool GoldenLane::is_over() const {
  return read_bytes_ == job_.source_bytes && written_bytes_ == job_.target_bytes;
}

bool GoldenLane::step(const Bus& bus, GoldenTables* tables) {
  const uint64_t moved = read_bytes_ + written_bytes_;
  while (!has_ended_ && read_bytes_ + written_bytes_ - moved < kStepBytes) {
    if (job_.codes()) step_page(bus, *tables);
    else step_bytes(bus, tables);
    if (has_ended_ || !is_over()) continue;
    told_.checksum = codec::checksum_final(sum_);
    told_.bytes = uint32_t(job_.target_bytes);
    end(read_failed_    ? SPECKV_ENGINE_READ_ERROR
        : write_failed_ ? SPECKV_ENGINE_WRITE_ERROR
                        : SPECKV_ENGINE_OK);
  }
  return has_ended_;
}

void GoldenLane::cancel() { end(SPECKV_ENGINE_CANCELLED); }

void GoldenLane::end(uint8_t status) {
  told_.status = status;
  has_ended_ = true;
}

// Pages lie one behind the other on both sides, in stored order.
void GoldenLane::step_page(const Bus& bus, const GoldenTables& tables) {
  const LayoutRegisters& layout = job_.layout;
  const codec::CodecId id = codec_of(job_, page_);
  const uint32_t of_a_kind = layout.heads * layout.pages;
  codec::PageShape shape = layout.shape;
  shape.kind = page_ < of_a_kind ? codec::Kind::k : codec::Kind::v;
  const codec::ChanTable* table =
      codec::is_chanq(id) ? tables.tables() + page_ % of_a_kind / layout.pages : nullptr;
  const std::span raw = std::span(raw_).first(shape.raw_bytes());
  const std::span stored = std::span(stored_).first(codec::encoded_bytes(id, shape));
  if (job_.asked.opcode == SPECKV_ENGINE_ENCODE) {
    read(bus, raw);
    if (!encode_page(id, shape, table)) return;
    codec::checksum_update(sum_, stored.data(), stored.size());
    write(bus, stored);
  } else {
    read(bus, stored);
    codec::checksum_update(sum_, stored.data(), stored.size());
    codec::decode(id, shape, stored, {raw.data(), ptrdiff_t(2 * shape.head_dim), 2}, table);
    write(bus, raw);
  }
  ++page_;
}

bool GoldenLane::encode_page(codec::CodecId id, const codec::PageShape& shape,
                             const codec::ChanTable* table) {
  const codec::ConstView view{raw_.data(), ptrdiff_t(2 * shape.head_dim), 2};
  const codec::Refusal refusal = codec::encode(id, shape, view, stored_, table);
  if (refusal == codec::Refusal::none) return true;
  if (!read_failed_) {
    told_.page = uint16_t(page_);
    told_.refusal = uint8_t(refusal);
  }
  end(read_failed_ ? SPECKV_ENGINE_READ_ERROR : SPECKV_ENGINE_REFUSED);
  return false;
}

void GoldenLane::step_bytes(const Bus& bus, GoldenTables* tables) {
  const uint64_t all = std::max(job_.source_bytes, job_.target_bytes);
  const uint64_t at = job_.source_bytes != 0 ? read_bytes_ : written_bytes_;
  const std::span bytes = std::span(raw_).first(std::min<uint64_t>(kStepBytes, all - at));
  size_t good = bytes.size();
  if (job_.source_bytes != 0) {
    good = read(bus, bytes);
  } else {
    for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t))
      std::memcpy(&bytes[i], &job_.asked.source_offset, sizeof(uint64_t));
  }
  codec::checksum_update(sum_, bytes.data(), bytes.size());
  if (job_.asked.opcode == SPECKV_ENGINE_LOAD) {
    for (size_t i = 0; i < bytes.size(); i += kBeat)
      tables->put(uint32_t(job_.asked.target_offset + at + i), bytes.subspan(i).first<kBeat>(),
                  read_failed_ && i >= good);
  } else if (job_.target_bytes != 0) {
    write(bus, bytes);
  }
}

// The next bytes of the source. Returns: how many of them came before the first error.
size_t GoldenLane::read(const Bus& bus, std::span<std::byte> into) {
  const uint64_t from = job_.source + read_bytes_;
  read_bytes_ += into.size();
  if (bus.read(from, into)) return read_failed_ ? 0 : into.size();
  size_t good = into.size();
  for (size_t at = 0; at < into.size();) {
    const size_t part = std::min<size_t>(kBeat - (from + at) % kBeat, into.size() - at);
    if (!bus.read(from + at, into.subspan(at, part))) {
      std::memset(&into[at], 0, part);
      good = std::min(good, at);
    }
    at += part;
  }
  if (read_failed_) good = 0;
  read_failed_ = true;
  return good;
}

void GoldenLane::write(const Bus& bus, std::span<const std::byte> from) {
  const uint64_t to = job_.target + written_bytes_;
  written_bytes_ += from.size();
  if (bus.write(to, from)) return;
  write_failed_ = true;
  for (size_t at = 0; at < from.size();) {
    const size_t part = std::min<size_t>(kBeat - (to + at) % kBeat, from.size() - at);
    (void)bus.write(to + at, from.subspan(at, part));
    at += part;
  }
}

}  // namespace speckv::device
