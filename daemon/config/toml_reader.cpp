// SPDX-License-Identifier: Apache-2.0
// toml_reader.cpp - one TOML table read key by key; compiles toml++ for the whole daemon.
#define TOML_IMPLEMENTATION
#include "config/toml_reader.hpp"

#include <cmath>

#include "config/config.hpp"
#include "config/values.hpp"

namespace speckv::config {
namespace {

constexpr int errors_max = 50;  // lines; a file with more is not a configuration

std::string_view type_words(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::none:
      return "nothing";
    default:
      return "a date or time";
  }
}

std::string list_of(std::span<const std::string_view> choices) {
  std::string text;
  for (std::string_view choice : choices)
    text += (text.empty() ? "\"" : ", \"") + std::string(choice) + "\"";
  return text;
}

// "1000" and "0.5", not "1000.000000".
std::string plain(double value) {
  char text[32];
  snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

void Errors::add(const toml::source_region& where, const std::string& what) {
  if (++count_ > errors_max) return;
  if (!text_.empty()) text_ += "\n";
  text_ += source_name_ + ":" + std::to_string(where.begin.line) + ":" +
           std::to_string(where.begin.column) + ": ";
  text_ += count_ == errors_max ? "too many errors, the rest is not shown" : what;
}

toml::source_region TableReader::at(std::string_view key) const {
  if (!table_) return {};
  const toml::node* node = table_->get(key);
  return node ? node->source() : table_->source();
}

const toml::node* TableReader::find(std::string_view key) {
  known_.push_back(key);
  return table_ ? table_->get(key) : nullptr;
}

void TableReader::wrong_type(std::string_view key, const toml::node& node,
                             const std::string& expected) {
  fail(key, " is " + std::string(type_words(node)) + ", expected " + expected);
}

bool TableReader::string(std::string_view key, uint32_t bytes_max, std::string* ret) {
  const toml::node* node = find(key);
  if (!node) return false;
  const toml::value<std::string>* text = node->as_string();
  if (!text) {
    wrong_type(key, *node, "a string in quotes");
    return false;
  }
  if (text->get().size() > bytes_max) {
    fail(key, " has " + std::to_string(text->get().size()) + " bytes, at most " +
                  std::to_string(bytes_max));
    return false;
  }
  *ret = text->get();
  return true;
}

bool TableReader::one_of(std::string_view key, std::span<const std::string_view> choices,
                         std::string* ret) {
  std::string text;
  if (!string(key, 256, &text)) return false;
  for (std::string_view choice : choices) {
    if (choice != text) continue;
    *ret = text;
    return true;
  }
  const std::string close = nearest(text, choices);
  fail(key, " = \"" + text + "\" is none of " + list_of(choices) +
                (close.empty() ? "" : "; did you mean \"" + close + "\"?"));
  return false;
}

bool TableReader::size(std::string_view key, uint64_t min, uint64_t max, uint64_t* ret_bytes) {
  const toml::node* node = find(key);
  if (!node) return false;
  uint64_t bytes = 0;
  if (const toml::value<int64_t>* number = node->as_integer()) {
    bytes = number->get() < 0 ? 0 : uint64_t(number->get());
  } else if (const toml::value<std::string>* text = node->as_string()) {
    if (!parse_bytes(text->get(), &bytes)) {
      fail(key, " = \"" + text->get() +
                    "\" is no size: expected bytes as a number, or like \"64MiB\", \"2GiB\"");
      return false;
    }
  } else {
    wrong_type(key, *node, "bytes as a whole number, or a string like \"64MiB\"");
    return false;
  }
  if (bytes < min || bytes > max) {
    fail(key, " must be from " + format_bytes(min) + " to " + format_bytes(max));
    return false;
  }
  *ret_bytes = bytes;
  return true;
}

bool TableReader::number(std::string_view key, double min, double max, double* ret) {
  const toml::node* node = find(key);
  if (!node) return false;
  if (!node->is_number()) {
    wrong_type(key, *node, "a number");
    return false;
  }
  const double value =
      node->is_integer() ? double(node->as_integer()->get()) : node->as_floating_point()->get();
  if (!(value >= min && value <= max)) {
    fail(key, " = " + plain(value) + " must be from " + plain(min) + " to " + plain(max));
    return false;
  }
  *ret = value;
  return true;
}

bool TableReader::flag(std::string_view key, bool* ret) {
  const toml::node* node = find(key);
  if (!node) return false;
  const toml::value<bool>* value = node->as_boolean();
  if (!value) {
    wrong_type(key, *node, "true or false");
    return false;
  }
  *ret = value->get();
  return true;
}

bool TableReader::whole(std::string_view key, int64_t min, int64_t max, int64_t* ret) {
  const toml::node* node = find(key);
  if (!node) return false;
  const toml::value<int64_t>* value = node->as_integer();
  if (!value) {
    wrong_type(key, *node, "a whole number");
    return false;
  }
  if (value->get() < min || value->get() > max) {
    fail(key, " = " + std::to_string(value->get()) + " must be from " + std::to_string(min) +
                  " to " + std::to_string(max));
    return false;
  }
  *ret = value->get();
  return true;
}

const toml::array* TableReader::list(std::string_view key, uint32_t count_max) {
  const toml::node* node = find(key);
  if (!node) return nullptr;
  const toml::array* array = node->as_array();
  if (!array) {
    wrong_type(key, *node, "a list in [ ]");
    return nullptr;
  }
  if (array->size() > count_max) {
    fail(key,
         " has " + std::to_string(array->size()) + " items, at most " + std::to_string(count_max));
    return nullptr;
  }
  return array;
}

bool TableReader::ids(std::string_view key, uint32_t count_max, std::vector<uint32_t>* ret) {
  const toml::array* array = list(key, count_max);
  if (!array) return false;
  bool good = true;
  for (const toml::node& node : *array) {
    const toml::value<int64_t>* value = node.as_integer();
    // 2^32 - 1 is the kernel's "no such id"
    if (value && value->get() >= 0 && value->get() < int64_t(UINT32_MAX)) {
      ret->push_back(uint32_t(value->get()));
      continue;
    }
    errors_->add(node.source(),
                 name_ + " " + std::string(key) + " must hold whole numbers from 0 to 4294967294");
    good = false;
  }
  return good;
}

void TableReader::finish() {
  if (!table_) return;
  for (const auto& [key, node] : *table_) {
    bool known = false;
    for (std::string_view name : known_) known = known || name == key.str();
    if (!known) errors_->add(key.source(), unknown_key("key in " + name_, key.str(), known_));
  }
}

}  // namespace speckv::config
