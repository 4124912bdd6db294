// SPDX-License-Identifier: Apache-2.0
// region_parse.cpp - the words of `speckvctl region`, and the names of modes. Pure.
#include <algorithm>
#include <cctype>

#include "tools/region.hpp"

namespace speckv::ctl {
namespace {

struct ModeNames {
  RegionMode mode;
  const char* name;
  const char* driver;
};
constexpr ModeNames modes[] = {
    {RegionMode::none, "none", ""},
    {RegionMode::numa, "numa", "kmem"},
    {RegionMode::dax, "dax", "device_dax"},
    {RegionMode::speckv, "speckv", "speckv"},
};

bool all_digits(const std::string& text) {
  return !text.empty() && text.size() < 6 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// prefix and a number: mem0, region3.
bool is_numbered(const std::string& name, const std::string& prefix) {
  return name.compare(0, prefix.size(), prefix) == 0 && all_digits(name.substr(prefix.size()));
}

bool is_dax_name(const std::string& name) {
  const size_t dot = name.find('.');
  return dot != std::string::npos && is_numbered(name.substr(0, dot), "dax") &&
         all_digits(name.substr(dot + 1));
}

std::string parse_mode(const std::vector<std::string>& words, RegionRequest* ret) {
  if (words.size() < 3) return "region mode: which one? numa, dax or speckv";
  for (const ModeNames& one : modes)
    if (one.mode != RegionMode::none && words[2] == one.name) ret->mode = one.mode;
  if (ret->mode == RegionMode::none)
    return "region mode: no mode \"" + words[2] + "\"; there are numa, dax and speckv";
  if (words.size() < 4) return "";
  ret->name = words[3];
  return is_dax_name(ret->name)
             ? ""
             : "region mode: \"" + ret->name + "\" is no DAX device's name, such as dax0.0";
}

}  // namespace

const char* mode_name(RegionMode mode) {
  for (const ModeNames& one : modes)
    if (one.mode == mode) return one.name;
  return "other";
}

const char* mode_driver(RegionMode mode) {
  for (const ModeNames& one : modes)
    if (one.mode == mode) return one.driver;
  return "";
}

RegionMode mode_of_driver(const std::string& driver) {
  for (const ModeNames& one : modes)
    if (driver == one.driver) return one.mode;
  return RegionMode::other;
}

std::string parse_region(const std::vector<std::string>& words, RegionRequest* ret) {
  *ret = RegionRequest{};
  if (words.size() < 2) return "region: what about it? list, create, destroy, mode or poison";
  const std::string& verb = words[1];
  const size_t words_max = verb == "list" ? 2 : verb == "mode" ? 4 : 3;
  if (words.size() > words_max)
    return "region " + verb + ": unexpected \"" + words[words_max] + '"';
  if (verb == "list") return "";
  if (verb == "mode") {
    ret->verb = RegionRequest::Verb::mode;
    return parse_mode(words, ret);
  }
  if (words.size() == 3) ret->name = words[2];
  if (verb == "poison") {
    ret->verb = RegionRequest::Verb::poison;
    if (ret->name.empty()) ret->name = "/dev/speckv0";
    return ret->name[0] == '/'
               ? ""
               : "region poison: \"" + ret->name + "\" is no device's path, such as /dev/speckv0";
  }
  if (verb == "create") {
    ret->verb = RegionRequest::Verb::create;
    return ret->name.empty() || is_numbered(ret->name, "mem")
               ? ""
               : "region create: \"" + ret->name + "\" is no memory device's name, such as mem0";
  }
  if (verb == "destroy") {
    ret->verb = RegionRequest::Verb::destroy;
    if (ret->name.empty()) return "region destroy: which one? `speckvctl region list` names them";
    return is_numbered(ret->name, "region")
               ? ""
               : "region destroy: \"" + ret->name + "\" is no region's name, such as region0";
  }
  return "region: no \"" + verb + "\"; there are list, create, destroy, mode and poison";
}

}  // namespace speckv::ctl
