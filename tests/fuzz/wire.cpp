// SPDX-License-Identifier: Apache-2.0
// wire.cpp - any packet on the daemon's socket: no crash, an error has a sentence, and what is let
// through keeps its promises: a terminated name, printable text, an answer that is JSON.
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "session/control_requests.hpp"
#include "session/messages.hpp"

namespace {

using namespace speckv;

void check(const Status& status) {
  if (!status.ok() && (status.error() <= 0 || status.text().empty())) std::abort();
}

// A daemon without namespaces: the questions' parsing is what is tried here.
class EmptyView : public watch::DaemonView {
 public:
  watch::DaemonFacts daemon() const override { return {}; }
  std::vector<watch::SpaceFacts> spaces() const override { return {}; }
  std::vector<watch::SessionFacts> sessions() const override { return {}; }
  std::vector<watch::ThreadFacts> threads() const override { return {}; }
  std::span<const std::byte> index_file(size_t) const override { return {}; }
  std::span<const std::byte> pool_file(size_t) const override { return {}; }
};

void try_control(const std::byte* message, size_t bytes) {
  std::string request;
  const Status status = parse_control(message, bytes, &request);
  check(status);
  if (!status.ok()) return;
  for (const char c : request)
    if (c < ' ' || c > '~') std::abort();
  const EmptyView view;
  if (!nlohmann::json::parse(text_of(*answer_control(view, request)), nullptr, false).is_object())
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of exactly this size, aligned as a receive buffer is: a read past its end is seen.
  std::vector<std::byte> message(size);
  if (size) std::memcpy(message.data(), data, size);
  const auto* bytes = message.data();
  wire::WireHeader header;
  check(parse_header(bytes, size, &header));
  wire::Hello hello;
  const Status greeted = parse_hello(bytes, size, &hello);
  check(greeted);
  if (greeted.ok() && !std::memchr(hello.namespace_name, 0, sizeof hello.namespace_name))
    std::abort();
  speckv_layout layout;
  check(parse_layout(bytes, size, &layout));
  try_control(bytes, size);
  // The same body under a header that is right, so that the fuzzer need not guess a magic number.
  for (const wire::Type type : {wire::Type::hello, wire::Type::layout, wire::Type::control}) {
    std::vector<std::byte> framed(sizeof(wire::WireHeader) + size);
    const wire::WireHeader right = make_header(type, framed.size());
    std::memcpy(framed.data(), &right, sizeof right);
    if (size) std::memcpy(framed.data() + sizeof right, data, size);
    check(parse_hello(framed.data(), framed.size(), &hello));
    check(parse_layout(framed.data(), framed.size(), &layout));
    try_control(framed.data(), framed.size());
  }
  return 0;
}
