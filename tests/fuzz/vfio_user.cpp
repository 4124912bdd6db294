// SPDX-License-Identifier: Apache-2.0
// vfio_user.cpp - any message of a client to the engine's device process: no crash, and an answer
// whose header says its own length. State is kept from message to message, as a session keeps it.
#include <cstdlib>
#include <cstring>

#include "device.hpp"

using namespace speckv::device;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t bytes) {
  static const auto backend = make_golden_backend();
  static DmaMap memory;
  static Device device(*backend, memory);
  // the input is the messages' bodies, each behind two bytes: command and length
  while (bytes >= 2) {
    const size_t body = std::min<size_t>(input[1], bytes - 2);
    Answer composed;
    composed.u16(1).u16(input[0] % 16).u32(uint32_t(header_bytes + body)).u32(0).u32(0);
    std::vector<std::byte> wrapped = composed.reply_to({});
    wrapped.erase(wrapped.begin(), wrapped.begin() + header_bytes);
    const auto* from = reinterpret_cast<const std::byte*>(input + 2);
    wrapped.insert(wrapped.end(), from, from + body);
    Message message;
    const int error = parse(wrapped, &message);
    const Answer answer = error != 0 ? Answer(error) : device.answer(message, {});
    const auto reply = answer.reply_to(message.header);
    const auto header = parse_header(reply);
    if (!header || header->size != reply.size()) std::abort();
    for (int i = 0; i < 4; ++i) (void)backend->work(memory);
    (void)backend->take_interrupt();
    input += 2 + body;
    bytes -= 2 + body;
  }
  return 0;
}
