// SPDX-License-Identifier: Apache-2.0
// zeroed_get.cpp - the control of prompts_test.py: preloaded before the library, it lets every
// speckv_get() bring zeros. Answers that stay the same then prove nothing about what is restored.
#include <dlfcn.h>

#include <cstring>
#include <map>

#include "speckv/speckv.h"

namespace {
std::map<uint32_t, uint32_t> block_tokens;  // by the layout's number; the server has one session
}

extern "C" int speckv_layout_register(speckv_session* session, const speckv_layout* layout,
                                      uint32_t* ret_layout) {
  using Register = int(speckv_session*, const speckv_layout*, uint32_t*);
  static auto* const original =
      reinterpret_cast<Register*>(dlsym(RTLD_NEXT, "speckv_layout_register"));
  const int result = original(session, layout, ret_layout);
  if (result == 0) block_tokens[*ret_layout] = layout->block_tokens;
  return result;
}

extern "C" int speckv_get(speckv_session* session, uint32_t layout, speckv_get_op* ops,
                          unsigned count) {
  using Get = int(speckv_session*, uint32_t, speckv_get_op*, unsigned);
  static auto* const original = reinterpret_cast<Get*>(dlsym(RTLD_NEXT, "speckv_get"));
  const int result = original(session, layout, ops, count);
  const unsigned tokens = block_tokens[layout];
  for (unsigned i = 0; i < count; ++i)
    for (uint32_t side = 0; side < 2 * ops[i].buf.layer_count; ++side) {
      const speckv_view& view = ops[i].buf.views[side];
      const bool by_token = view.channel_stride == 2;  // else V lies by channel, tokens together
      for (unsigned token = 0; token < tokens; ++token) {
        char* at = static_cast<char*>(view.base) + token * view.token_stride;
        std::memset(at, 0, by_token ? size_t(view.token_stride) : 2);
      }
    }
  return result;
}
