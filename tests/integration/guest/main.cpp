// SPDX-License-Identifier: Apache-2.0
// main.cpp - guest_test [--demo | --demo-engine BACKEND] [gtest options]: prints TAP, or a demo's
// story.
//
// A failure's text comes as comments under its line. Exit status: 0 only if all passed.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

namespace speckv::test {
int tell_demo();
int tell_engine_demo(const char* backend);
}  // namespace speckv::test

namespace {

class Tap : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& part) override {
    if (part.passed()) return;
    text_ += std::string(part.file_name() ? part.file_name() : "") + ":" +
             std::to_string(part.line_number()) + ": " + part.message() + "\n";
  }
  void OnTestEnd(const testing::TestInfo& info) override {
    std::printf("%s %d - %s: %s%s\n", info.result()->Failed() ? "not ok" : "ok", ++number_,
                info.test_suite_name(), info.name(), info.result()->Skipped() ? " # SKIP" : "");
    for (size_t at = 0; at < text_.size();) {
      const size_t end = text_.find('\n', at);
      std::printf("# %s\n", text_.substr(at, end - at).c_str());
      at = end + 1;
    }
    text_.clear();
    std::fflush(stdout);
  }

  std::string text_;
  int number_ = 0;
};

}  // namespace

int main(int count, char** values) {
  testing::InitGoogleTest(&count, values);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (count > 1 && !std::strcmp(values[1], "--demo")) return speckv::test::tell_demo();
  if (count > 2 && !std::strcmp(values[1], "--demo-engine"))
    return speckv::test::tell_engine_demo(values[2]);
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new Tap);
  return RUN_ALL_TESTS();
}
