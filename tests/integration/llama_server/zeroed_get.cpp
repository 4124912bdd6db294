// SPDX-License-Identifier: Apache-2.0
// zeroed_get.cpp - the control of prompts_test.py: preloaded before the library, it lets every
// speckv_get() bring zeros. Answers that stay the same then prove nothing about what is restored.
#include <dlfcn.h>

#include <cstring>

#include "speckv/speckv.h"

extern "C" int speckv_get(speckv_session* session, uint32_t layout, speckv_get_op* ops,
                          unsigned count) {
  using Get = int(speckv_session*, uint32_t, speckv_get_op*, unsigned);
  static auto* const original = reinterpret_cast<Get*>(dlsym(RTLD_NEXT, "speckv_get"));
  const int result = original(session, layout, ops, count);
  constexpr unsigned kTokens = 64;  // of the library's blocks
  for (unsigned i = 0; i < count; ++i)
    for (uint32_t side = 0; side < 2 * ops[i].buf.layer_count; ++side) {
      const speckv_view& view = ops[i].buf.views[side];
      const bool by_token = view.channel_stride == 2;  // else V lies by channel, tokens together
      for (unsigned token = 0; token < kTokens; ++token) {
        char* at = static_cast<char*>(view.base) + token * view.token_stride;
        std::memset(at, 0, by_token ? size_t(view.token_stride) : 2);
      }
    }
  return result;
}
