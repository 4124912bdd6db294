// SPDX-License-Identifier: Apache-2.0
// messages.cpp - see messages.hpp.
#include "session/messages.hpp"

#include <cstring>

#include "printable.hpp"

namespace speckv {

namespace {
constexpr size_t control_bytes_max = 1024;

template <typename Message>
Status copy_exact(const std::byte* message, size_t bytes, const char* what, Message* ret_message) {
  if (bytes != sizeof(Message))
    return {EBADMSG, std::string(what) + " message of " + std::to_string(bytes) +
                         " bytes; expected " + std::to_string(sizeof(Message)) +
                         ": library and daemon are of different builds"};
  std::memcpy(ret_message, message, sizeof(Message));
  return {};
}
}  // namespace

Status parse_header(const std::byte* message, size_t bytes, wire::WireHeader* ret_header) {
  if (bytes < sizeof(wire::WireHeader)) return {EBADMSG, "a message shorter than its header"};
  std::memcpy(ret_header, message, sizeof *ret_header);
  if (ret_header->magic != wire::magic)
    return {EBADMSG, "this is not speckv's protocol (wrong magic)"};
  if (ret_header->major != wire::version_major)
    return {EPROTO, "the client speaks protocol " + std::to_string(ret_header->major) + "." +
                        std::to_string(ret_header->minor) + ", this daemon " +
                        std::to_string(wire::version_major) + "." +
                        std::to_string(wire::version_minor) +
                        ": install matching versions of libspeckv and speckvd"};
  if (ret_header->bytes != bytes)
    return {EBADMSG, "a message says it has " + std::to_string(ret_header->bytes) + " bytes but " +
                         std::to_string(bytes) + " came"};
  const auto type = wire::Type(ret_header->type);
  if (type != wire::Type::hello && type != wire::Type::layout && type != wire::Type::control)
    return {EBADMSG,
            "message type " + std::to_string(ret_header->type) + " is not one that a client sends"};
  return {};
}

Status parse_hello(const std::byte* message, size_t bytes, wire::Hello* ret_hello) {
  Status status = copy_exact(message, bytes, "hello", ret_hello);
  if (!status.ok()) return status;
  if (!std::memchr(ret_hello->namespace_name, 0, sizeof ret_hello->namespace_name) ||
      !ret_hello->namespace_name[0])
    return {EINVAL, "the namespace's name must have 1 to 63 bytes"};
  if (!is_printable(ret_hello->namespace_name))
    return {EINVAL, "the namespace's name must be printable ASCII"};
  for (uint64_t word : ret_hello->reserved)
    if (word) return {EINVAL, "a reserved field of hello is not 0"};
  return {};
}

Status parse_layout(const std::byte* message, size_t bytes, speckv_layout* ret_layout) {
  wire::LayoutRequest request;
  Status status = copy_exact(message, bytes, "layout", &request);
  if (status.ok()) *ret_layout = request.layout;
  return status;
}

Status parse_control(const std::byte* message, size_t bytes, std::string* ret_request) {
  const size_t text_bytes = bytes - sizeof(wire::WireHeader);
  if (text_bytes == 0 || text_bytes > control_bytes_max)
    return {EINVAL, "a request of " + std::to_string(text_bytes) + " bytes; expected 1 to 1024"};
  ret_request->assign(reinterpret_cast<const char*>(message) + sizeof(wire::WireHeader),
                      text_bytes);
  if (!is_printable(*ret_request)) return {EINVAL, "a request must be printable ASCII"};
  return {};
}

wire::WireHeader make_header(wire::Type type, size_t bytes, uint16_t flags) {
  return {wire::magic,         uint16_t(type),      flags,
          wire::version_major, wire::version_minor, uint32_t(bytes)};
}

}  // namespace speckv
