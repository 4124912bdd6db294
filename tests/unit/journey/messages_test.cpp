// SPDX-License-Identifier: Apache-2.0
// messages_test.cpp - each malformed message gets its own error; none gets through.
#include "fixture.hpp"
#include "session/messages.hpp"

namespace speckv {
namespace {

template <typename Message>
const std::byte* bytes(const Message& message) {
  return reinterpret_cast<const std::byte*>(&message);
}

TEST(Messages, HeaderChecks) {
  wire::WireHeader header = make_header(wire::Type::hello, sizeof header), parsed;
  EXPECT_TRUE(parse_header(bytes(header), sizeof header, &parsed).ok());
  EXPECT_EQ(parse_header(bytes(header), sizeof header - 1, &parsed).error(), EBADMSG);
  header.bytes++;
  EXPECT_EQ(parse_header(bytes(header), sizeof header, &parsed).error(), EBADMSG);
  header = make_header(wire::Type::welcome, sizeof header);
  EXPECT_EQ(parse_header(bytes(header), sizeof header, &parsed).error(), EBADMSG);
  header = make_header(wire::Type::hello, sizeof header);
  header.major++;
  const Status status = parse_header(bytes(header), sizeof header, &parsed);
  EXPECT_EQ(status.error(), EPROTO);
  EXPECT_NE(status.text().find("install matching versions"), std::string::npos);
  header.magic = 0;
  EXPECT_EQ(parse_header(bytes(header), sizeof header, &parsed).error(), EBADMSG);
}

TEST(Messages, HelloChecks) {
  wire::Hello hello{}, parsed;
  hello.header = make_header(wire::Type::hello, sizeof hello);
  EXPECT_EQ(parse_hello(bytes(hello), sizeof hello, &parsed).error(), EINVAL) << "no name";
  std::memset(hello.namespace_name, 'a', sizeof hello.namespace_name);
  EXPECT_EQ(parse_hello(bytes(hello), sizeof hello, &parsed).error(), EINVAL) << "no NUL";
  hello.namespace_name[3] = 0;
  EXPECT_TRUE(parse_hello(bytes(hello), sizeof hello, &parsed).ok());
  EXPECT_EQ(parse_hello(bytes(hello), sizeof hello - 8, &parsed).error(), EBADMSG);
  hello.reserved[1] = 1;
  EXPECT_EQ(parse_hello(bytes(hello), sizeof hello, &parsed).error(), EINVAL);
}

TEST(Messages, LayoutsAreCheckedFieldByField) {
  LayoutTable table;
  const auto refused = [&](auto&& change) {
    speckv_layout layout = small_layout(2, SPECKV_PRESET_EXACT);
    change(layout);
    const auto result = table.add(layout, SPECKV_PRESET_EXACT, "unit");
    return result.ok() ? 0 : result.status().error();
  };
  EXPECT_EQ(refused([](auto&) {}), 0);
  EXPECT_EQ(refused([](auto& l) { l.size--; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.dtype = 9; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.layers = 0; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.layers = 257; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.kv_heads = 0; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.head_dim = 2000; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.page_tokens = 20; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.block_tokens = 33; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.block_tokens = 4096, l.kv_heads = 256; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.rank = 1; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.rope = 3; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.rope_dims = 3; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.preset = 99; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.rope_theta[1] = -1; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.rope_theta[1] = __builtin_nanf(""); }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.reserved[0] = 1; }), EINVAL);
  EXPECT_EQ(refused([](auto& l) { l.dtype = SPECKV_DTYPE_F8, l.preset = SPECKV_PRESET_Q8; }),
            EPROTOTYPE);
  EXPECT_EQ(table.size(), 1u) << "a refused layout leaves nothing behind";
}

TEST(Messages, ControlRequestsArePrintableAndShort) {
  std::vector<std::byte> message(sizeof(wire::WireHeader) + 6);
  std::memcpy(message.data() + sizeof(wire::WireHeader), "status", 6);
  std::string request;
  EXPECT_TRUE(parse_control(message.data(), message.size(), &request).ok());
  EXPECT_EQ(request, "status");
  message.back() = std::byte{7};
  EXPECT_EQ(parse_control(message.data(), message.size(), &request).error(), EINVAL);
  EXPECT_EQ(parse_control(message.data(), sizeof(wire::WireHeader), &request).error(), EINVAL);
}

}  // namespace
}  // namespace speckv
