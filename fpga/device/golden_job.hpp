// SPDX-License-Identifier: Apache-2.0
// golden_job.hpp - one descriptor of the golden back end: what was fetched, what its checks found,
// and how it is carried out.
//
// check() is fpga/rtl/job_check.sv in C++, in its order: nothing is read or written before all of
// it has passed. Lane::step() moves as many bytes as are done in well under a millisecond, so that
// CANCEL, a reset and the other queue get their turn between steps. After a bus error the bytes
// still move, and a beat that could not be read counts as zeros: so a job always ends.
#pragma once

#include <optional>

#include "codec/checksum.hpp"
#include "dma_map.hpp"
#include "golden_registers.hpp"
#include "golden_tables.hpp"

namespace speckv::device {

struct GoldenJob {
  uint32_t queue = 0;
  uint16_t sq_head = 0;
  bool failed = false;  // the descriptor could not be read
  speckv_engine_descriptor asked{};
  // Of check(). Bytes that move on either side; 0: none do.
  LayoutRegisters layout;
  std::optional<codec::CodecId> chanq;  // the one codec that needs tables
  uint64_t source_bytes = 0, target_bytes = 0;
  uint64_t source = 0, target = 0;  // bus addresses

  bool is_cancel() const { return !failed && asked.opcode == SPECKV_ENGINE_CANCEL; }
  bool codes() const {
    return asked.opcode == SPECKV_ENGINE_ENCODE || asked.opcode == SPECKV_ENGINE_DECODE;
  }
};

// The one way to a bus address. Returns: nothing, unless this queue may use every byte.
std::optional<uint64_t> bus_address(const GoldenRegisters& registers, uint32_t extent,
                                    uint64_t offset, uint64_t beats, bool is_write, uint32_t queue);

// Returns: a status; the rest of the job is filled in where it is SPECKV_ENGINE_OK.
uint8_t check(const GoldenRegisters& registers, const GoldenTables& tables, GoldenJob* job);
// Of a CANCEL: its form. Returns: SPECKV_ENGINE_OK or RESERVED.
uint8_t check_cancel(const speckv_engine_descriptor& asked);

class GoldenLane {
 public:
  GoldenLane();
  // Requires: check() found nothing wrong, and said so as `status`, or what it found.
  void begin(const GoldenJob& job, uint8_t status, GoldenTables* tables);
  // Returns: true, the job has ended; completion() says how.
  bool step(const Bus& bus, GoldenTables* tables);
  // Ends it without another step. Only between steps.
  void cancel();
  const GoldenJob& job() const { return job_; }
  const speckv_engine_completion& completion() const { return told_; }
  uint64_t beats_read() const { return (read_bytes_ + 63) / 64; }
  uint64_t beats_written() const { return (written_bytes_ + 63) / 64; }
  // What the RTL's lane takes, about: its checks, a beat a cycle on the side that has more of them,
  // the way there and back. A model, not a measurement: never a time that passes here.
  uint64_t cycles(uint32_t latency) const;

 private:
  bool is_over() const;
  void step_page(const Bus& bus, const GoldenTables& tables);
  void step_bytes(const Bus& bus, GoldenTables* tables);
  bool encode_page(codec::CodecId id, const codec::PageShape& shape, const codec::ChanTable* table);
  size_t read(const Bus& bus, std::span<std::byte> into);
  void write(const Bus& bus, std::span<const std::byte> from);
  void end(uint8_t status);

  GoldenJob job_;
  speckv_engine_completion told_{};
  codec::Checksum sum_;
  uint32_t page_ = 0;
  uint64_t read_bytes_ = 0, written_bytes_ = 0;
  bool read_failed_ = false, write_failed_ = false, has_ended_ = false;
  std::vector<std::byte> raw_, stored_;  // of a page, or what is moved at once
};

}  // namespace speckv::device
