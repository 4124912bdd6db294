// SPDX-License-Identifier: Apache-2.0
// say.hpp - log lines among the server's own, on stderr: "speckv: ...".
#pragma once

#include <cstdio>
#include <set>
#include <string>

namespace speckv::llama_server {

inline void say(const std::string& line) { std::fprintf(stderr, "speckv: %s\n", line.c_str()); }

// Says each line once in the process's life. Called by the server's one loop.
inline void say_once(const std::string& line) {
  static std::set<std::string> said;
  constexpr size_t kLinesMax = 256;  // lines name paths and errors, not requests
  if (said.size() < kLinesMax && said.insert(line).second) say(line);
}

}  // namespace speckv::llama_server
