// SPDX-License-Identifier: Apache-2.0
// ctl_size.cpp - size: what share of the asked blocks other pools, presets and a tier below would
// have had.
//
// The daemon counts for pools of half to four times the bytes (daemon/predict/size_curve.hpp). A
// preset that stores blocks in half the bytes is taken for a pool of twice the bytes; between two
// counted sizes the share is drawn straight over their logarithm.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;

// Of fp16 bytes, in full pages of heads of 64: README's table. Other heads differ by a few per
// cent.
struct NominalRatio {
  const char* preset;
  double ratio;
};
constexpr NominalRatio nominal_ratios[] = {
    {"exact", 1.00},    {"lossless", 1.10}, {"q8", 1.94},   {"near-lossless", 2.06},
    {"balanced", 3.20}, {"compact", 4.00},  {"tight", 4.92}};

double ratio_of(const std::string& preset) {
  for (const NominalRatio& each : nominal_ratios)
    if (preset == each.preset) return each.ratio;
  return 0;
}

double share(const ordered_json& point) {
  const double uses = point.at("uses").get<double>();
  return uses > 0 ? point.at("hits").get<double>() / uses : 0;
}

// A share, or the side of the counted sizes on which `bytes` lies.
struct Drawn {
  double share = 0;
  int beyond = 0;  // -1: at most this share, fewer bytes than counted; 1: at least
};

Drawn draw(const ordered_json& pools, double bytes) {
  const auto bytes_at = [&](size_t i) { return pools.at(i).at("bytes").get<double>(); };
  const size_t last = pools.size() - 1;
  if (bytes < 0.99 * bytes_at(0)) return {share(pools.at(0)), -1};
  if (bytes > 1.01 * bytes_at(last)) return {share(pools.at(last)), 1};
  size_t i = 0;
  while (i + 1 < last && bytes_at(i + 1) < bytes) i++;
  const double at = std::log(bytes / bytes_at(i)) / std::log(bytes_at(i + 1) / bytes_at(i));
  const double from = share(pools.at(i)), to = share(pools.at(i + 1));
  return {from + std::clamp(at, 0.0, 1.0) * (to - from), 0};
}

std::string points_text(double value, const char* format) {
  char text[24];
  std::snprintf(text, sizeof text, format, 100 * value);
  return text;
}

std::string drawn_text(const Drawn& drawn) {
  const char* side = drawn.beyond < 0 ? "<= " : drawn.beyond > 0 ? ">= " : "";
  return side + points_text(drawn.share, "%.1f %%");
}

std::string name_of(double step) {
  if (std::abs(step - 1) < 0.01) return "as it is";
  if (std::abs(step - 0.5) < 0.01) return "half";
  if (std::abs(step - 2) < 0.01) return "twice";
  if (std::abs(step - 4) < 0.01) return "four times";
  char text[16];
  std::snprintf(text, sizeof text, "x %.1f", step);
  return text;
}

// Throws: Failure with the names that there are.
const ordered_json& find_space(const ordered_json& status, const std::string& name) {
  std::string there;
  for (const ordered_json& space : status.at("namespaces")) {
    if (name.empty() || space.at("name") == name) return space;
    there += " " + space.at("name").get<std::string>();
  }
  throw Failure{"no namespace \"" + name + "\"; there are:" + there};
}

ordered_json presets_of(const ordered_json& space) {
  ordered_json all = ordered_json::array();
  const std::string own = space.at("preset").get<std::string>();
  if (ratio_of(own) == 0) return all;
  for (const NominalRatio& each : nominal_ratios) {
    if (own == each.preset) continue;
    const double bytes = space.at("pool_bytes").get<double>() * each.ratio / ratio_of(own);
    const Drawn drawn = draw(space.at("size").at("pools"), bytes);
    all.push_back({{"preset", each.preset},
                   {"as_bytes", uint64_t(bytes)},
                   {"share", drawn.share},
                   {"bound", drawn.beyond < 0   ? "at most"
                             : drawn.beyond > 0 ? "at least"
                                                : "about"}});
  }
  return all;
}

void print_pools(const ordered_json& space) {
  const ordered_json& size = space.at("size");
  const double own = space.at("pool_bytes").get<double>();
  const double now = draw(size.at("pools"), own).share;
  std::vector<std::vector<std::string>> rows{{"pool", "bytes", "hits", "points"}};
  const auto add = [&](const std::string& name, double bytes, const Drawn& drawn) {
    rows.push_back(
        {name, human_bytes(bytes), drawn_text(drawn), points_text(drawn.share - now, "%+.1f")});
  };
  for (const ordered_json& pool : size.at("pools")) {
    const double bytes = pool.at("bytes").get<double>();
    add(name_of(bytes / own), bytes, {share(pool), 0});
  }
  if (!size.at("with_spill").is_null())
    add("and the tier below", size.at("with_spill").at("bytes").get<double>(),
        {share(size.at("with_spill")), 0});
  for (const ordered_json& preset : presets_of(space)) {
    const double bytes = preset.at("as_bytes").get<double>();
    add("preset " + preset.at("preset").get<std::string>(), bytes, draw(size.at("pools"), bytes));
  }
  std::printf("\n%s", table(rows).c_str());
}

}  // namespace

int show_size(const Options& options) {
  const ordered_json status = ask(options, "status");
  const ordered_json& space = find_space(status, options.words.size() > 1 ? options.words[1] : "");
  const std::string name = space.at("name").get<std::string>();
  const ordered_json& size = space.at("size");
  if (size.is_null())
    throw Failure{"namespace " + name +
                  " has size_samples = 0: leave it out of the configuration, and restart speckvd"};
  if (options.json) {
    ordered_json answer{{"namespace", name},
                        {"pool_bytes", space.at("pool_bytes")},
                        {"preset", space.at("preset")},
                        {"policy", space.at("policy")}};
    answer.update(size);
    answer["presets"] = presets_of(space);
    std::puts(answer.dump(2, ' ', false, ordered_json::error_handler_t::replace).c_str());
    return 0;
  }
  std::printf("namespace %s: pool %s, preset %s, policy %s\n", name.c_str(),
              human_bytes(space.at("pool_bytes").get<double>()).c_str(),
              space.at("preset").get<std::string>().c_str(),
              space.at("policy").get<std::string>().c_str());
  const double uses = size.at("pools").at(0).at("uses").get<double>();
  std::printf(
      "counted: about %s of the blocks asked for last; 1 key in %s looked at, with %s of "
      "memory\n",
      human_count(uses).c_str(), size.at("one_in").dump().c_str(),
      human_bytes(size.at("memory_bytes").get<double>()).c_str());
  if (uses == 0) return std::puts("nobody has asked for a block yet"), 0;
  print_pools(space);
  std::puts(
      "\nA hit: the block and all before it in its sequence were there. A preset counts as\n"
      "the bytes in which this one would hold as much.");
  return 0;
}

}  // namespace speckv::ctl
