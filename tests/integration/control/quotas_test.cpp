// SPDX-License-Identifier: Apache-2.0
// quotas_test.cpp - what one namespace's clients take, another's still get; and all of it goes back
// when they end.
#include <cstring>
#include <memory>

#include "clients.hpp"

namespace speckv::test {
namespace {

constexpr uint64_t mib = 1 << 20;

// Two namespaces, `default` and `other`, of equal shares.
class Quotas : public ::testing::Test {
 protected:
  void begin(const std::string& session_lines, const std::string& namespace_lines = "") {
    DaemonOptions options;
    options.medium = "memfd";
    options.pool_bytes = "16MiB";
    options.session_lines = session_lines;
    options.namespace_lines = namespace_lines;
    options.more = "[[namespace]]\nname = \"other\"\nbytes = \"16MiB\"\n";
    daemon_ = std::make_unique<DaemonProcess>(options);
    ASSERT_TRUE(daemon_->start()) << daemon_->log();
  }
  const std::string& path() const { return daemon_->socket_path(); }
  std::unique_ptr<Wire> open(const std::string& space, int* ret_error, uint64_t arena = 64 << 10) {
    auto wire = std::make_unique<Wire>(path());
    *ret_error = wire->hello(space, arena);
    text_ = wire->text();
    return wire;
  }
  std::unique_ptr<DaemonProcess> daemon_;
  std::string text_;  // of the last refusal
};

TEST_F(Quotas, SessionsOfOneNamespace) {
  begin("sessions_max = 12\n");
  std::vector<std::unique_ptr<Wire>> held;
  int error = 0;
  for (int i = 0; i < 6; i++) {
    held.push_back(open("default", &error));
    ASSERT_EQ(error, 0) << i << text_;
  }
  open("default", &error);
  EXPECT_EQ(error, EUSERS);
  EXPECT_NE(text_.find("has its 6 sessions"), std::string::npos) << text_;
  const auto other = open("other", &error);
  EXPECT_EQ(error, 0) << text_;
  EXPECT_EQ(other->session_id(), 1u) << "tells nothing of the sessions of others";
  EXPECT_EQ(status_of(path())["namespaces"][0]["sessions_refused"], 1);
  held.clear();
  EXPECT_TRUE(status_becomes(path(), "sessions", 0));
  held.push_back(open("default", &error));
  EXPECT_EQ(error, 0) << text_;
}

TEST_F(Quotas, ArenasOfOneNamespace) {
  begin("arenas_bytes_max = \"16MiB\"\narena_bytes_max = \"4MiB\"\n");
  std::vector<std::unique_ptr<Wire>> held;
  int error = 0;
  for (int i = 0; i < 2; i++) held.push_back(open("default", &error, 4 * mib));
  ASSERT_EQ(error, 0) << text_;
  open("default", &error, 4 * mib);
  EXPECT_EQ(error, ENOBUFS);
  const auto other = open("other", &error, 4 * mib);
  EXPECT_EQ(error, 0) << text_;
  EXPECT_EQ(text_.find("16777216"), std::string::npos) << text_;
  held.clear();  // and at once again: what is about to come back is waited for
  for (int i = 0; i < 2; i++) held.push_back(open("default", &error, 4 * mib));
  EXPECT_EQ(error, 0) << text_;
  held.clear();
  EXPECT_TRUE(status_becomes(path(), "arenas_bytes", 0));
}

// 16 MiB, of which a shard has 6: said when the layout comes, and not by each put.
TEST_F(Quotas, ABlockThatFitsNoShardIsRefusedWithItsLayout) {
  begin("");
  int error = 0;
  const auto session = open("default", &error);
  ASSERT_EQ(error, 0) << text_;
  speckv_layout layout = layout_number(1);
  layout.layers = 32;
  layout.block_tokens = 1024;  // 16 MiB
  EXPECT_EQ(session->layout(layout), EMSGSIZE);
  EXPECT_NE(session->text().find("MiB that a data thread has"), std::string::npos)
      << session->text();
  EXPECT_TRUE(status_becomes(path(), "layouts", 0)) << "a refused one counts for nobody";
  layout.block_tokens = layout.page_tokens;
  EXPECT_EQ(session->layout(layout), 0) << session->text();
}

TEST_F(Quotas, AShareSmallerThanADefaultArenaIsStillOpened) {
  begin("arenas_bytes_max = \"2MiB\"\narena_bytes_max = \"2MiB\"\n");
  int error = 0;
  const auto client = open("default", &error, 0);
  EXPECT_EQ(error, 0) << text_;
  EXPECT_EQ(status_of(path())["namespaces"][0]["arenas_bytes"], mib);
}

TEST_F(Quotas, LayoutsOfSessionsThatCameAndWent) {
  begin("layouts_max = 200\n");
  int error = 0;
  for (uint64_t n = 0; n < 1100;) {
    const auto session = open("default", &error);
    ASSERT_EQ(error, 0) << text_;
    for (int i = 0; i < 60 && n < 1100; i++, n++)
      ASSERT_EQ(session->layout(layout_number(n)), 0) << n << session->text();
    ASSERT_LE(status_of(path())["namespaces"][0]["layouts"].get<int>(), 100);
  }
  EXPECT_TRUE(status_becomes(path(), "layouts", 0));
  EXPECT_TRUE(status_becomes(path(), "widths_bytes", 0));
}

TEST_F(Quotas, LayoutsOfOneNamespace) {
  begin("layouts_max = 200\n");
  int error = 0;
  std::vector<std::unique_ptr<Wire>> held;
  uint64_t n = 0;
  while (n < 100) {
    held.push_back(open("default", &error));
    for (int i = 0; i < 50; i++, n++) ASSERT_EQ(held.back()->layout(layout_number(n)), 0) << n;
  }
  held.push_back(open("default", &error));
  EXPECT_EQ(held.back()->layout(layout_number(n)), EXFULL);
  EXPECT_EQ(held.back()->layout(layout_number(3)), 0) << "one that is there";
  const auto other = open("other", &error);
  EXPECT_EQ(other->layout(layout_number(n)), 0) << other->text();
}

TEST_F(Quotas, WidthsOfOneNamespace) {
  begin("widths_bytes_max = \"4MiB\"\n");
  speckv_layout giant = layout_number(0);
  giant.layers = 32;
  giant.kv_heads = 8;
  int error = 0;
  const auto session = open("default", &error), other = open("other", &error);
  int refused = 0;
  for (uint64_t n = 0; n < 20 && !refused; n++) {
    std::memcpy(giant.weights_digest, &n, sizeof n);
    refused = session->layout(giant);
  }
  EXPECT_EQ(refused, ENOSR) << session->text();
  EXPECT_GT(status_of(path())["namespaces"][0]["layouts"], 0);
  EXPECT_EQ(other->layout(giant), 0) << other->text();
}

TEST_F(Quotas, ASessionThatIsFullAddsNothing) {
  begin("");
  int error = 0;
  const auto session = open("default", &error);
  for (uint64_t n = 0; n < 64; n++) ASSERT_EQ(session->layout(layout_number(n)), 0) << n;
  for (uint64_t n = 64; n < 90; n++) EXPECT_EQ(session->layout(layout_number(n)), EMFILE);
  EXPECT_EQ(session->layout(layout_number(63)), 0);
  EXPECT_EQ(status_of(path())["namespaces"][0]["layouts"], 64);
}

// Seven of a session each (2 data threads), one of a layout that is to be measured.
TEST_F(Quotas, DescriptorsOfOneNamespace) {
  begin("", "fds_max = 16\n");
  int error = 0;
  const auto first = open("default", &error);
  EXPECT_EQ(error, 0) << text_;
  auto second = open("default", &error);
  EXPECT_EQ(error, 0) << text_;
  open("default", &error);
  EXPECT_EQ(error, ENFILE);
  EXPECT_NE(text_.find("have 16 descriptors at most, 14 are in use"), std::string::npos) << text_;
  EXPECT_EQ(first->layout(layout_number(1)), 0) << first->text();
  EXPECT_EQ(first->layout(layout_number(1)), 0) << "the same one";
  EXPECT_EQ(second->layout(layout_number(2)), 0) << second->text();
  EXPECT_EQ(second->layout(layout_number(3)), ENFILE);
  const auto other = open("other", &error);
  EXPECT_EQ(error, 0) << text_;
  const nlohmann::json space = status_of(path())["namespaces"][0];
  EXPECT_EQ(space["fds"], 16);
  EXPECT_EQ(space["fds_max"], 16);
  EXPECT_EQ(space["fds_refused"], 2);
  EXPECT_EQ(status_of(path())["daemon"]["client_fds"], 16 + 7);
  second = open("default", &error);
  EXPECT_EQ(error, ENFILE) << "the one that ends meanwhile comes after";
  EXPECT_TRUE(status_becomes(path(), "fds", 8));
}

TEST_F(Quotas, DescriptorsOfAllNamespaces) {
  begin("fds_max = 21\n");
  int error = 0;
  std::vector<std::unique_ptr<Wire>> held;
  for (int i = 0; i < 2; i++) held.push_back(open("default", &error));
  EXPECT_EQ(error, 0) << text_;
  const auto other = open("other", &error);
  EXPECT_EQ(error, 0) << text_;
  open("other", &error);
  EXPECT_EQ(error, ENFILE);
  EXPECT_NE(text_.find("the daemon has no room"), std::string::npos) << text_;
  held.clear();  // and at once again: what is about to come back is waited for
  held.push_back(open("other", &error));
  EXPECT_EQ(error, 0) << text_;
}

TEST_F(Quotas, WrittenSharesCount) {
  begin("sessions_max = 12\n", "sessions_max = 1\n");
  int error = 0;
  const auto first = open("default", &error);
  EXPECT_EQ(error, 0);
  open("default", &error);
  EXPECT_EQ(error, EUSERS);
}

}  // namespace
}  // namespace speckv::test
