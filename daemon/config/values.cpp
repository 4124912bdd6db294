// SPDX-License-Identifier: Apache-2.0
// values.cpp - sizes, modes, addresses, names and "did you mean", each from its text.
#include "config/values.hpp"

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>

#include "config/config.hpp"
#include "printable.hpp"

namespace speckv::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Returns: false when the unit is unknown. "" and "B" are bytes.
bool unit_bytes(std::string_view unit, uint64_t* ret) {
  constexpr std::pair<std::string_view, uint64_t> units[] = {{"", 1},
                                                             {"B", 1},
                                                             {"KiB", limits::kib},
                                                             {"MiB", limits::mib},
                                                             {"GiB", limits::gib},
                                                             {"TiB", limits::tib}};
  for (const auto& [name, bytes] : units) {
    if (name != unit) continue;
    *ret = bytes;
    return true;
  }
  return false;
}

// Edits that make b of a: insert, delete, replace, swap of neighbours (Damerau, restricted).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    next[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        next[j] = std::min(next[j], before[j - 2] + 1);
    }
    std::swap(before, row);
    std::swap(row, next);
  }
  return row[b.size()];
}

}  // namespace

bool parse_bytes(std::string_view text, uint64_t* ret_bytes) {
  size_t i = 0;
  uint64_t whole = 0;
  while (i < text.size() && is_digit(text[i])) {
    const auto digit = uint64_t(text[i++] - '0');
    if (whole > (UINT64_MAX - digit) / 10) return false;
    whole = whole * 10 + digit;
  }
  if (i == 0) return false;
  uint64_t fraction = 0;
  uint64_t scale = 1;
  if (i < text.size() && text[i] == '.') {
    const size_t first = ++i;
    for (; i < text.size() && is_digit(text[i]); i++) {
      if (i - first >= 6) return false;  // a millionth of a TiB is a MiB: finer is a typo
      fraction = fraction * 10 + uint64_t(text[i] - '0');
      scale *= 10;
    }
    if (i == first) return false;
  }
  while (i < text.size() && text[i] == ' ') i++;
  uint64_t unit = 0;
  if (!unit_bytes(text.substr(i), &unit)) return false;
  const auto total = static_cast<unsigned __int128>(whole) * unit * scale +
                     static_cast<unsigned __int128>(fraction) * unit;
  if (total % scale != 0 || total / scale > UINT64_MAX) return false;
  *ret_bytes = uint64_t(total / scale);
  return true;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::pair<std::string_view, uint64_t> units[] = {
      {"TiB", limits::tib}, {"GiB", limits::gib}, {"MiB", limits::mib}, {"KiB", limits::kib}};
  for (const auto& [name, unit] : units)
    if (bytes >= unit && bytes % unit == 0) return std::to_string(bytes / unit) + std::string(name);
  return std::to_string(bytes) + " bytes";
}

std::string nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > 64) return "";
  std::string_view best;
  size_t best_edits = SIZE_MAX;
  for (std::string_view candidate : candidates) {
    const size_t edits = edit_distance(word, candidate);
    if (edits >= best_edits ||
        edits > std::max<size_t>(1, std::max(word.size(), candidate.size()) / 3))
      continue;
    best = candidate;
    best_edits = edits;
  }
  return std::string(best);
}

std::string unknown_key(const std::string& what, std::string_view word,
                        std::span<const std::string_view> known) {
  std::string text = "unknown " + what + ": \"" + printable(word) + "\"";
  const std::string close = nearest(word, known);
  if (!close.empty()) return text + "; did you mean \"" + close + "\"?";
  text += "; known are";
  for (std::string_view name : known) text += " " + std::string(name);
  return text;
}

bool parse_mode(std::string_view text, uint32_t* ret_mode) {
  uint32_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc() || end != text.data() + text.size() || mode > 0777) return false;
  *ret_mode = mode;
  return true;
}

bool parse_endpoint(std::string_view text, std::string* ret_host, uint16_t* ret_port) {
  if (text.empty()) {
    *ret_port = 0;
    return true;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string host(text.substr(0, colon));
  const std::string_view port_text = text.substr(colon + 1);
  unsigned port = 0;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size() || port == 0 ||
      port > 65535)
    return false;
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  unsigned char address[16];
  if (inet_pton(brackets ? AF_INET6 : AF_INET, host.c_str(), address) != 1) return false;
  *ret_host = host;
  *ret_port = uint16_t(port);
  return true;
}

bool is_plain_name(std::string_view text) {
  if (text.empty() || !(is_letter(text[0]) || is_digit(text[0]))) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
  });
}

bool resolve_user(const std::string& name, std::vector<uint32_t>* ret_uids, std::string* error) {
  char buffer[16384];
  struct passwd entry {};
  struct passwd* found = nullptr;
  if (!is_plain_name(name) ||
      getpwnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || !found) {
    *error = ": no user \"" + printable(name) +
             "\" on this machine; create it, or write its number under uids";
    return false;
  }
  ret_uids->push_back(found->pw_uid);
  return true;
}

bool resolve_group(const std::string& name, std::vector<uint32_t>* ret_gids, std::string* error) {
  char buffer[65536];
  struct group entry {};
  struct group* found = nullptr;
  if (!is_plain_name(name) ||
      getgrnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || !found) {
    *error = ": no group \"" + printable(name) +
             "\" on this machine; create it, or write its number under gids";
    return false;
  }
  ret_gids->push_back(found->gr_gid);
  return true;
}

}  // namespace speckv::config
