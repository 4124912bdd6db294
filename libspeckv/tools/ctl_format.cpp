// SPDX-License-Identifier: Apache-2.0
// ctl_format.cpp - numbers and tables as a person reads them.
#include <algorithm>
#include <cstdio>

#include "tools/ctl.hpp"

namespace speckv::ctl {
namespace {

// value with three digits: 1.23, 12.3, 123.
std::string three_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value);
  return text;
}

}  // namespace

std::string human_bytes(double bytes) {
  constexpr const char* units[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(uint64_t(bytes)) + " B";
  size_t unit = 0;
  for (bytes /= 1024; bytes >= 1023.5 && unit + 1 < std::size(units); bytes /= 1024) unit++;
  return three_digits(bytes) + " " + units[unit];
}

std::string human_count(double count) {
  constexpr const char* units[] = {"k", "M", "G"};
  if (count < 10'000) return std::to_string(uint64_t(count + 0.5));
  size_t unit = 0;
  for (count /= 1000; count >= 999.5 && unit + 1 < std::size(units); count /= 1000) unit++;
  return three_digits(count) + units[unit];
}

std::string human_time(double seconds) {
  const auto total = uint64_t(seconds);
  const auto two = [](uint64_t a, const char* a_unit, uint64_t b, const char* b_unit) {
    return std::to_string(a) + " " + a_unit + " " + std::to_string(b) + " " + b_unit;
  };
  if (total >= 86'400) return two(total / 86'400, "d", total % 86'400 / 3600, "h");
  if (total >= 3600) return two(total / 3600, "h", total % 3600 / 60, "min");
  if (total >= 60) return two(total / 60, "min", total % 60, "s");
  return std::to_string(total) + " s";
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); i++) {
      if (i == widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], row[i].size());
    }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); i++) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + padding : "  " + padding + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace speckv::ctl
