// SPDX-License-Identifier: Apache-2.0
// printable.hpp - which words of a stranger may be shown to a person: printable ASCII, and no
// others.
//
// A line of the log, a metric's label and a refusal hold what clients wrote: a newline in it would
// forge a line, an escape would reach a terminal. Whoever parses a client's text asks
// is_printable(); whoever shows a text that no such check has seen shows printable() of it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace speckv {

constexpr bool is_printable(char c) { return c >= ' ' && c <= '~'; }

inline bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_printable(c); });
}

// At most 64 characters of it, '?' for what is none; "..." where something was left out.
inline std::string printable(std::string_view text) {
  constexpr size_t shown_max = 64;
  std::string shown(text.substr(0, shown_max));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return !is_printable(c); }, '?');
  return text.size() > shown_max ? shown + "..." : shown;
}

}  // namespace speckv
