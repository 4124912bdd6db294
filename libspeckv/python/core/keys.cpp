// SPDX-License-Identifier: Apache-2.0
// keys.cpp - what needs no session: layouts, key chains, digests.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "array.hpp"
#include "bind.hpp"
#include "speckv/speckv.h"

namespace speckv::python {

namespace {

constexpr size_t digest_bytes = SPECKV_DIGEST_BYTES;
using Digest = uint8_t[digest_bytes];

nb::bytes bytes_of(const Digest& digest) {
  return nb::bytes(reinterpret_cast<const char*>(digest), digest_bytes);
}

const speckv_layout* one_layout(const Array<const speckv_layout>& layout) {
  if (layout.size() != 1) raise_value_error("layout: expected one layout");
  return layout.data();
}

// Raises ValueError with the library's sentence when the layout cannot be.
void layout_check(nb::handle object) {
  const Array<const speckv_layout> layout(object, "layout", Access::read);
  char why[256] = "";
  const int error = speckv_layout_check(one_layout(layout), why, sizeof why);
  if (!error) return;
  raise_value_error(why[0] ? why : std::strerror(-error));
}

// Keys of the whole blocks of a sequence of token ids, one after the other.
void key_chain(nb::handle tokens, uint32_t block_tokens, nb::handle ret_keys,
               const std::optional<nb::bytes>& parent, const nb::bytes& salt) {
  const Array<const int32_t> ids(tokens, "tokens", Access::read);
  const Array<uint8_t[SPECKV_KEY_BYTES]> keys(ret_keys, "ret_keys", Access::write);
  if (block_tokens == 0 || keys.size() != ids.size() / block_tokens)
    raise_value_error("ret_keys: expected one key for each whole block of tokens");
  if (parent && parent->size() != SPECKV_KEY_BYTES)
    raise_value_error("parent: expected a key of 32 bytes");
  const auto* before = parent ? reinterpret_cast<const uint8_t*>(parent->c_str()) : nullptr;
  const void* salt_data = salt.c_str();
  const size_t salt_bytes = salt.size();
  int error = 0;
  {
    const nb::gil_scoped_release free;
    for (size_t i = 0; i < keys.size() && !error; i++) {
      error = speckv_key_chain(before, salt_data, salt_bytes, ids.data() + i * block_tokens,
                               block_tokens, keys.data()[i]);
      before = keys.data()[i];
    }
  }
  checked(error, "speckv_key_chain");
}

// Ids of a layout's keys, or keys of its ids (speckv_block_ids).
void block_ids(nb::handle object, nb::handle keys, nb::handle ret_ids) {
  const Array<const speckv_layout> layout(object, "layout", Access::read);
  const Array<const uint8_t[SPECKV_KEY_BYTES]> names(keys, "keys", Access::read);
  const Array<uint8_t[SPECKV_KEY_BYTES]> ids(ret_ids, "ret_ids", Access::write);
  if (ids.size() < names.size()) raise_value_error("ret_ids: shorter than keys");
  checked(speckv_block_ids(one_layout(layout), names.data(), unsigned(names.size()), ids.data()),
          "speckv_block_ids");
}

nb::bytes file_digest(const std::string& path) {
  Digest digest;
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_file_digest(path.c_str(), digest);
  }
  checked(error, path.c_str());
  return bytes_of(digest);
}

nb::bytes files_digest(const std::vector<std::string>& paths) {
  std::vector<const char*> names;
  for (const std::string& path : paths) names.push_back(path.c_str());
  Digest digest;
  int error = 0;
  {
    const nb::gil_scoped_release free;
    error = speckv_files_digest(names.data(), unsigned(names.size()), digest);
  }
  checked(error, paths.empty() ? "speckv_files_digest" : paths.front().c_str());
  return bytes_of(digest);
}

nb::bytes variant_digest(const std::string& engine, const std::string& kv_format,
                         const std::optional<nb::bytes>& lora) {
  if (lora && lora->size() != digest_bytes) raise_value_error("lora: expected 32 bytes");
  Digest digest;
  const auto* adapter = lora ? reinterpret_cast<const uint8_t*>(lora->c_str()) : nullptr;
  checked(speckv_variant_digest(adapter, engine.c_str(), kv_format.c_str(), digest),
          "speckv_variant_digest");
  return bytes_of(digest);
}

}  // namespace

void bind_keys(nb::module_& module) {
  using namespace nb::literals;
  module.def("layout_check", &layout_check, "layout"_a);
  module.def(
      "block_bytes",
      [](nb::handle object) {
        const Array<const speckv_layout> layout(object, "layout", Access::read);
        return speckv_block_bytes(one_layout(layout));
      },
      "layout"_a);
  module.def(
      "layout_fingerprint",
      [](nb::handle object) {
        const Array<const speckv_layout> layout(object, "layout", Access::read);
        return speckv_layout_fingerprint(one_layout(layout));
      },
      "layout"_a);
  module.def("block_ids", &block_ids, "layout"_a, "keys"_a, "ret_ids"_a);
  module.def("key_chain", &key_chain, "tokens"_a, "block_tokens"_a, "ret_keys"_a,
             "parent"_a = nb::none(), "salt"_a = nb::bytes("", 0));
  module.def("file_digest", &file_digest, "path"_a);
  module.def("files_digest", &files_digest, "paths"_a);
  module.def("variant_digest", &variant_digest, "engine"_a, "kv_format"_a, "lora"_a = nb::none());
  module.def("version", [] { return std::string(speckv_version()); });
}

}  // namespace speckv::python
