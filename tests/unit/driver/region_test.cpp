// SPDX-License-Identifier: Apache-2.0
// region_test.cpp - the words of `speckvctl region`: what each asks for, and that everything else
// is refused with a sentence. What the kernel makes of it is tested in QEMU (tests/vm).
#include <gtest/gtest.h>

#include "tools/region.hpp"

namespace {

using namespace speckv::ctl;
using Verb = RegionRequest::Verb;

std::string complaint_about(const std::vector<std::string>& words) {
  RegionRequest request;
  return parse_region(words, &request);
}

TEST(region, understands_each_command) {
  RegionRequest request;
  EXPECT_EQ(parse_region({"region", "list"}, &request), "");
  EXPECT_EQ(request.verb, Verb::list);
  EXPECT_EQ(parse_region({"region", "create"}, &request), "");
  EXPECT_EQ(request.verb, Verb::create);
  EXPECT_EQ(request.name, "");
  EXPECT_EQ(parse_region({"region", "create", "mem12"}, &request), "");
  EXPECT_EQ(request.name, "mem12");
  EXPECT_EQ(parse_region({"region", "destroy", "region0"}, &request), "");
  EXPECT_EQ(request.verb, Verb::destroy);
  EXPECT_EQ(request.name, "region0");
  EXPECT_EQ(parse_region({"region", "mode", "numa"}, &request), "");
  EXPECT_EQ(request.verb, Verb::mode);
  EXPECT_EQ(request.mode, RegionMode::numa);
  EXPECT_EQ(request.name, "");
  EXPECT_EQ(parse_region({"region", "mode", "speckv", "dax10.2"}, &request), "");
  EXPECT_EQ(request.mode, RegionMode::speckv);
  EXPECT_EQ(request.name, "dax10.2");
  EXPECT_EQ(parse_region({"region", "poison"}, &request), "");
  EXPECT_EQ(request.verb, Verb::poison);
  EXPECT_EQ(request.name, "/dev/speckv0");
  EXPECT_EQ(parse_region({"region", "poison", "/dev/speckv/by-id/cxl-0x1"}, &request), "");
  EXPECT_EQ(request.name, "/dev/speckv/by-id/cxl-0x1");
}

TEST(region, reads_the_poison_list_of_cxl) {
  std::vector<PoisonRange> ranges;
  EXPECT_EQ(parse_media_errors("[]", &ranges), "");
  EXPECT_TRUE(ranges.empty());
  EXPECT_EQ(parse_media_errors(R"([{"region":"region0","size":1073741824,"media_errors":[
    {"offset":4096,"length":64,"source":"Injected"},
    {"offset":"0x40000000","length":"256","source":"Internal"}]}])",
                               &ranges),
            "");
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].offset, 4096U);
  EXPECT_EQ(ranges[0].bytes, 64U);
  EXPECT_EQ(ranges[1].offset, 0x40000000U);
  EXPECT_EQ(ranges[1].bytes, 256U);
  EXPECT_EQ(
      parse_media_errors(R"({"regions":[{"media_errors":[{"offset":1,"length":1}]}]})", &ranges),
      "");
  EXPECT_EQ(ranges.size(), 1U);
  const auto complaint = [&](const char* text) { return parse_media_errors(text, &ranges); };
  EXPECT_NE(complaint("region0"), "");
  EXPECT_NE(complaint(""), "");
  EXPECT_NE(complaint(R"([{"media_errors":[{"dpa":4096,"length":64}]}])").find("list by region"),
            std::string::npos);
  EXPECT_NE(complaint(R"([{"media_errors":[{"offset":"1.00 MiB","length":64}]}])"), "");
  EXPECT_NE(complaint(R"([{"media_errors":[{"offset":-1,"length":64}]}])"), "");
  EXPECT_NE(complaint(R"([{"media_errors":[17]}])"), "");
}

TEST(region, says_what_is_wrong) {
  EXPECT_EQ(complaint_about({"region"}),
            "region: what about it? list, create, destroy, mode or poison");
  EXPECT_EQ(complaint_about({"region", "make"}),
            "region: no \"make\"; there are list, create, destroy, mode and poison");
  EXPECT_EQ(complaint_about({"region", "list", "mem0"}), "region list: unexpected \"mem0\"");
  EXPECT_EQ(complaint_about({"region", "create", "mem0", "mem1"}),
            "region create: unexpected \"mem1\"");
  EXPECT_EQ(complaint_about({"region", "destroy"}),
            "region destroy: which one? `speckvctl region list` names them");
  EXPECT_EQ(complaint_about({"region", "mode"}), "region mode: which one? numa, dax or speckv");
  EXPECT_EQ(complaint_about({"region", "mode", "none"}),
            "region mode: no mode \"none\"; there are numa, dax and speckv");
  EXPECT_EQ(complaint_about({"region", "mode", "dax", "dax0.0", "x"}),
            "region mode: unexpected \"x\"");
}

// Names become paths below /sys: nothing but the kernel's own pattern may get there.
TEST(region, refuses_names_that_are_none) {
  for (const char* name : {"", "mem", "mem-1", "mem0/../x", "mem1234567", "emem0", "mem0 "}) {
    if (*name) {
      EXPECT_NE(complaint_about({"region", "create", name}), "") << name;
    }
  }
  for (const char* name : {"", "region", "region0x", "regionregion0", "../region0", "dax0.0"})
    EXPECT_NE(complaint_about({"region", "destroy", name}), "") << name;
  for (const char* name : {"", "dax", "dax0", "dax0.", "dax.0", "dax0.0.0", "dax0.0/..", "region0"})
    EXPECT_NE(complaint_about({"region", "mode", "dax", name}), "") << name;
}

TEST(region, modes_and_drivers_are_one_to_one) {
  for (RegionMode mode : {RegionMode::none, RegionMode::numa, RegionMode::dax, RegionMode::speckv})
    EXPECT_EQ(mode_of_driver(mode_driver(mode)), mode);
  EXPECT_EQ(mode_of_driver("fsdev_dax"), RegionMode::other);
}

}  // namespace
