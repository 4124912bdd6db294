// SPDX-License-Identifier: Apache-2.0
#include "message.hpp"

#include <cerrno>

namespace speckv::device {

namespace {

constexpr uint32_t kTypeMask = 0xf, kReply = 1, kNoReply = 1 << 4, kError = 1 << 5;
// Flags of DMA_MAP, DMA_UNMAP and SET_IRQS.
constexpr uint32_t kRead = 1, kWrite = 2, kUnmapAll = 2;
constexpr uint32_t kDataNone = 1, kDataBool = 2, kDataDescriptors = 4, kMask = 8, kUnmask = 16;
constexpr uint32_t kTrigger = 32;

// Takes numbers off the front; says afterwards whether all of them were there.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t take(size_t count) {
    if (bytes_.size() < count) {
      is_short_ = true;
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;) value = value << 8 | uint64_t(bytes_[i]);
    bytes_ = bytes_.subspan(count);
    return value;
  }
  uint32_t u16() { return uint32_t(take(2)); }
  uint32_t u32() { return uint32_t(take(4)); }
  uint64_t u64() { return take(8); }
  std::span<const std::byte> rest() const { return bytes_; }
  bool is_short() const { return is_short_; }

 private:
  std::span<const std::byte> bytes_;
  bool is_short_ = false;
};

int parse_map(Reader& in, Message* message) {
  in.u32();  // argsz
  const uint32_t flags = in.u32();
  message->readable = (flags & kRead) != 0;
  message->writable = (flags & kWrite) != 0;
  message->file_offset = in.u64();
  message->address = in.u64();
  message->size = in.u64();
  if (in.is_short() || (flags & ~(kRead | kWrite)) != 0) return EINVAL;
  if (message->size == 0 || message->address + message->size < message->address) return EINVAL;
  return 0;
}

int parse_unmap(Reader& in, Message* message) {
  in.u32();
  const uint32_t flags = in.u32();
  message->all = (flags & kUnmapAll) != 0;
  message->address = in.u64();
  message->size = in.u64();
  if (in.is_short() || (flags & ~kUnmapAll) != 0) return EINVAL;
  return message->all && (message->address != 0 || message->size != 0) ? EINVAL : 0;
}

int parse_set_irqs(Reader& in, Message* message) {
  in.u32();
  const uint32_t flags = in.u32();
  message->index = in.u32();
  message->start = in.u32();
  message->count = in.u32();
  if (in.is_short()) return EINVAL;
  message->has_none = (flags & kDataNone) != 0;
  message->has_descriptors = (flags & kDataDescriptors) != 0;
  message->is_trigger = (flags & kTrigger) != 0;
  // one kind of data and one action; masks and booleans are nothing that a client here asks for
  if ((flags & (kDataBool | kMask | kUnmask)) != 0) return ENOTSUP;
  if (message->has_none == message->has_descriptors || !message->is_trigger) return EINVAL;
  if (uint64_t(message->start) + message->count > UINT32_MAX) return EINVAL;
  return 0;
}

int parse_access(Reader& in, Message* message, bool is_write) {
  message->offset = in.u64();
  message->region = in.u32();
  message->count = in.u32();
  if (in.is_short() || message->count == 0 || message->count > transfer_bytes_max) return EINVAL;
  if (message->offset + message->count < message->offset) return EINVAL;
  if (is_write) {
    if (in.rest().size() != message->count) return EINVAL;
    message->data = in.rest();
  }
  return 0;
}

}  // namespace

std::optional<Header> parse_header(std::span<const std::byte> bytes) {
  Reader in(bytes);
  Header header;
  header.id = uint16_t(in.u16());
  header.command = uint16_t(in.u16());
  header.size = in.u32();
  header.flags = in.u32();
  header.error = in.u32();
  if (in.is_short() || header.size < header_bytes || header.size > message_bytes_max) return {};
  return header;
}

int parse(std::span<const std::byte> bytes, Message* ret_message) {
  *ret_message = {};
  const std::optional<Header> header = parse_header(bytes);
  if (!header || header->size != bytes.size()) return EINVAL;
  Message& message = *ret_message;
  message.header = *header;
  message.wants_reply = (header->flags & kNoReply) == 0;
  if ((header->flags & kTypeMask) != 0) return EINVAL;  // we have asked nothing
  Reader in(bytes.subspan(header_bytes));
  switch (Command(header->command)) {
    case Command::version:
      message.major = uint16_t(in.u16());
      message.minor = uint16_t(in.u16());
      return in.is_short() ? EINVAL : 0;
    case Command::dma_map:
      return parse_map(in, &message);
    case Command::dma_unmap:
      return parse_unmap(in, &message);
    case Command::get_info:
    case Command::reset:
      return 0;
    case Command::get_region_info:
    case Command::get_irq_info:
      in.u64();  // argsz, flags
      message.index = in.u32();
      return in.is_short() ? EINVAL : 0;
    case Command::set_irqs:
      return parse_set_irqs(in, &message);
    case Command::region_read:
      return parse_access(in, &message, false);
    case Command::region_write:
      return parse_access(in, &message, true);
  }
  return ENOTSUP;
}

Answer& Answer::number(uint64_t value, int count) {
  for (int i = 0; i < count; ++i) body_.push_back(std::byte(value >> 8 * i));
  return *this;
}

Answer& Answer::text(const std::string& text) {
  for (const char c : text) body_.push_back(std::byte(c));
  body_.push_back(std::byte{0});
  return *this;
}

Answer& Answer::bytes(std::span<const std::byte> bytes) {
  body_.insert(body_.end(), bytes.begin(), bytes.end());
  return *this;
}

std::vector<std::byte> Answer::reply_to(const Header& header) const {
  const std::span<const std::byte> body = error_ == 0 ? std::span(body_) : std::span<std::byte>();
  Answer whole;
  whole.u16(header.id).u16(header.command).u32(uint32_t(header_bytes + body.size()));
  whole.u32(kReply | (error_ == 0 ? 0 : kError)).u32(uint32_t(error_)).bytes(body);
  return whole.body_;
}

}  // namespace speckv::device
