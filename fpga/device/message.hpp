// SPDX-License-Identifier: Apache-2.0
// message.hpp - vfio-user messages as bytes and as values: what a client (QEMU) asks, and what is
// answered.
//
// Pure: no socket, no file descriptor, no state. Everything in a message is hostile: its lengths,
// counts and offsets are checked here, once, so that a Message that parse() returned can be
// believed in its form (not in its meaning: whether a region has such bytes is the device's to
// say). The protocol is QEMU's docs/interop/vfio-user.rst; little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace speckv::device {

inline constexpr uint32_t header_bytes = 16;
inline constexpr uint32_t transfer_bytes_max = 1u << 20;  // data of one message; what we tell QEMU
inline constexpr uint32_t message_bytes_max = transfer_bytes_max + 4096;
inline constexpr uint32_t descriptors_max = 16;  // with one message; one a vector of SET_IRQS

enum class Command : uint16_t {
  version = 1,
  dma_map = 2,
  dma_unmap = 3,
  get_info = 4,
  get_region_info = 5,
  get_irq_info = 7,
  set_irqs = 8,
  region_read = 9,
  region_write = 10,
  reset = 13,
};

struct Header {
  uint16_t id = 0;
  uint16_t command = 0;
  uint32_t size = 0;  // of the whole message
  uint32_t flags = 0;
  uint32_t error = 0;
};

// Of a message's first 16 bytes. Returns: nothing, when no message can begin so; the connection is
// then of no use any more, since nobody knows where the next one begins.
std::optional<Header> parse_header(std::span<const std::byte> bytes);

// A command, in its form. Which members count, the command says.
struct Message {
  Header header;
  bool wants_reply = true;
  // version
  uint16_t major = 0, minor = 0;
  // dma_map, dma_unmap. readable, writable: what the device may do there.
  bool readable = false, writable = false, all = false;
  uint64_t file_offset = 0, address = 0, size = 0;
  // get_region_info, get_irq_info, set_irqs: index; set_irqs: first vector and how many
  uint32_t index = 0, start = 0, count = 0;
  bool is_trigger = false, has_descriptors = false, has_none = false;
  // region_read, region_write
  uint64_t offset = 0;
  uint32_t region = 0;
  std::span<const std::byte> data;  // into the message's own bytes
};

// bytes: a whole message, as long as its header says. Returns: 0 or an errno that the client is
// told; the header is filled in either way.
int parse(std::span<const std::byte> bytes, Message* ret_message);

// ---- answers ----

class Answer {
 public:
  Answer() = default;
  explicit Answer(int error) : error_(error) {}
  Answer& u16(uint16_t value) { return number(value, 2); }
  Answer& u32(uint32_t value) { return number(value, 4); }
  Answer& u64(uint64_t value) { return number(value, 8); }
  Answer& text(const std::string& text);  // with its final 0
  Answer& bytes(std::span<const std::byte> bytes);

  int error() const { return error_; }
  // The whole reply to that command.
  std::vector<std::byte> reply_to(const Header& header) const;

 private:
  Answer& number(uint64_t value, int count);
  int error_ = 0;
  std::vector<std::byte> body_;
};

}  // namespace speckv::device
