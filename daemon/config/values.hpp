// SPDX-License-Identifier: Apache-2.0
// values.hpp - how single configuration values are read from text; private to config/. Pure but for
// the user database.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace speckv::config {

// "0660" to 0660; octal, at most 0777.
bool parse_mode(std::string_view text, uint32_t* ret_mode);
// "127.0.0.1:9108" or "[::1]:9108"; "" gives port 0. Addresses only, no names: nothing here asks a
// resolver.
bool parse_endpoint(std::string_view text, std::string* ret_host, uint16_t* ret_port);
// Letters, digits, '-', '_', '.'; begins with a letter or digit.
bool is_plain_name(std::string_view text);
// Append the id of a user or group. false: error says which name is unknown, worded to follow the
// key.
bool resolve_user(const std::string& name, std::vector<uint32_t>* ret_uids, std::string* error);
bool resolve_group(const std::string& name, std::vector<uint32_t>* ret_gids, std::string* error);
// "unknown <what> `word`; did you mean `near`?" or, when nothing is near, the list of the known
// ones.
std::string unknown_key(const std::string& what, std::string_view word,
                        std::span<const std::string_view> known);

}  // namespace speckv::config
