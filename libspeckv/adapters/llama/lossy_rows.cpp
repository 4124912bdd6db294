// SPDX-License-Identifier: Apache-2.0
// lossy_rows.cpp - see lossy_rows.hpp.
#include "lossy_rows.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace speckv::llama {

namespace {

ggml_type cache_type(const std::string& name) {
  for (ggml_type type : {GGML_TYPE_Q8_0, GGML_TYPE_Q5_0, GGML_TYPE_Q4_0})
    if (name == ggml_type_name(type)) return type;
  throw std::runtime_error("ggml=" + name + ": expected q8_0, q5_0 or q4_0");
}

uint32_t whole(const std::string& word, const std::string& value, uint32_t low, uint32_t high) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(value.c_str(), &end, 10);
  if (value.empty() || *end || number < low || number > high)
    throw std::runtime_error(word + ": expected a number from " + std::to_string(low) + " to " +
                             std::to_string(high));
  return uint32_t(number);
}

// "5-25/6:compact": layers 5, 11, 17, 23; "/6" may be left out.
LayerPreset layer_preset(const std::string& word, const std::string& value) {
  LayerPreset layers{0, 0, 1, 0};
  const size_t colon = value.find(':');
  const size_t dash = value.find('-');
  const size_t slash = std::min(value.find('/'), colon);
  if (dash > slash || colon == std::string::npos ||
      !codec::parse_preset(value.substr(colon + 1), &layers.preset))
    throw std::runtime_error(word + ": expected FIRST-LAST:PRESET or FIRST-LAST/STEP:PRESET");
  layers.first = whole(word, value.substr(0, dash), 0, SPECKV_LAYERS_MAX - 1);
  layers.last =
      whole(word, value.substr(dash + 1, slash - dash - 1), layers.first, SPECKV_LAYERS_MAX - 1);
  if (slash < colon)
    layers.step = whole(word, value.substr(slash + 1, colon - slash - 1), 1, SPECKV_LAYERS_MAX);
  return layers;
}

}  // namespace

const codec::ChanWeights* Rows::table(const std::string& path) {
  for (const Known& known : tables_)
    if (known.path == path) return &known.weights;
  tables_.push_back({path, read_table(path, model_path_)});
  return &tables_.back().weights;
}

Variant Rows::parse(const std::string& word) {
  Variant variant;
  std::istringstream parts(word);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t equals = part.find('=');
    const std::string name = part.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
    uint32_t preset = 0;
    if (codec::parse_preset(name, &preset)) {
      variant.preset = preset;
    } else if (name == "ggml") {
      variant.kv_type = cache_type(value);
    } else if (name == "table") {
      variant.weights = table(value);
    } else if (name == "pages") {
      variant.page_tokens = whole(part, value, 32, 64);
    } else if (name == "blocks") {
      variant.block_tokens = whole(part, value, 32, SPECKV_BLOCK_TOKENS_MAX);
    } else if (name == "generations") {
      variant.generations = whole(part, value, 1, 100);
    } else if (name == "layers") {
      variant.layers.push_back(layer_preset(part, value));
    } else if (name == "k" || name == "v") {
      codec::CodecId id;
      if (!codec::parse(value, &id)) throw std::runtime_error(part + ": no such codec");
      (name == "k" ? variant.k : variant.v) = id;
    } else if (name == "noise") {
      variant.noise = whole(part, value, 1, 1u << 20);
    } else if (part == "first=own") {
      variant.first_apart = false;
    } else if (name == "strict") {
      variant.strict = true;
    } else if (name == "name") {
      variant.name = value;
    } else {
      throw std::runtime_error("row " + word + ": what is " + part + "?");
    }
  }
  if (variant.block_tokens % variant.page_tokens)
    throw std::runtime_error("row " + word + ": blocks are whole pages");
  const bool refined = variant.k || variant.v || variant.noise || !variant.first_apart;
  if ((!variant.layers.empty() || refined) && !variant.preset)
    throw std::runtime_error("row " + word + ": of which preset?");
  if (variant.name.empty()) variant.name = word;
  return variant;
}

}  // namespace speckv::llama
