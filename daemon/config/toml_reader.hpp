// SPDX-License-Identifier: Apache-2.0
// toml_reader.hpp - one TOML table read key by key against its bounds; private to config/.
//
// What it is: each call names a key, its type, its bounds and where the value goes. An absent key
// leaves the default.
//   finish() reports the keys that nobody asked for. Errors are collected with their position, none
//   is thrown.
// Who includes it: config_parse.cpp. toml_reader.cpp alone compiles toml++ itself.
#pragma once

// toml++ 3.3 asserts (or, with NDEBUG, assumes) on input like "[+x]" before it reports it; without
// both it goes on to a proper error. Found by tests/fuzz/config.cpp.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 0
#include <toml++/toml.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace speckv::config {

class Errors {
 public:
  explicit Errors(std::string source_name) : source_name_(std::move(source_name)) {}
  void add(const toml::source_region& where, const std::string& what);
  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  std::string source_name_;
  std::string text_;
  int count_ = 0;
};

class TableReader {
 public:
  // name: as the person wrote it, "[pool]". table may be null: then every key is absent.
  TableReader(const toml::table* table, std::string name, Errors* errors)
      : table_(table), name_(std::move(name)), errors_(errors) {}

  bool has(std::string_view key) const { return table_ && table_->contains(key); }
  // Where the key's value stands; the table itself if the key is absent.
  toml::source_region at(std::string_view key) const;
  void fail(std::string_view key, const std::string& what) {
    errors_->add(at(key), name_ + " " + std::string(key) + what);
  }

  // Each returns true when the key is there and its value was good.
  bool string(std::string_view key, uint32_t bytes_max, std::string* ret);
  bool one_of(std::string_view key, std::span<const std::string_view> choices, std::string* ret);
  bool size(std::string_view key, uint64_t min, uint64_t max, uint64_t* ret_bytes);
  bool number(std::string_view key, double min, double max, double* ret);
  bool flag(std::string_view key, bool* ret);
  template <typename T>
  bool integer(std::string_view key, int64_t min, int64_t max, T* ret) {
    int64_t value = 0;
    if (!whole(key, min, max, &value)) return false;
    *ret = T(value);
    return true;
  }
  bool ids(std::string_view key, uint32_t count_max, std::vector<uint32_t>* ret);
  // ret_each(text, error): resolve one name; fills error when it cannot.
  template <typename Each>
  bool strings(std::string_view key, uint32_t count_max, Each each);

  void finish();

 private:
  const toml::node* find(std::string_view key);
  const toml::array* list(std::string_view key, uint32_t count_max);
  bool whole(std::string_view key, int64_t min, int64_t max, int64_t* ret);
  void wrong_type(std::string_view key, const toml::node& node, const std::string& expected);

  const toml::table* table_;
  std::string name_;
  Errors* errors_;
  std::vector<std::string_view> known_;
};

template <typename Each>
bool TableReader::strings(std::string_view key, uint32_t count_max, Each each) {
  const toml::array* array = list(key, count_max);
  if (!array) return false;
  bool good = true;
  for (const toml::node& node : *array) {
    std::string error;
    const toml::value<std::string>* text = node.as_string();
    if (text && each(text->get(), &error)) continue;
    if (error.empty()) error = " must be a list of strings";
    errors_->add(node.source(), name_ + " " + std::string(key) + error);
    good = false;
  }
  return good;
}

}  // namespace speckv::config
