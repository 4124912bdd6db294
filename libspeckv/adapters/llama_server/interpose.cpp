// SPDX-License-Identifier: Apache-2.0
// interpose.cpp - the symbols that a preloaded library takes from the stock llama-server: the two
// methods of its class server_prompt_cache, and calls of llama.h that change what KV means.
//
// Who calls it: the server, through its procedure linkage table. Each function reports or asks, and
// goes on to the original, the next of that name. Never: does work of its own. Another build than
// the pinned one has other classes and passes other structures by value, which cannot even be
// passed on: it is ended with one line before it has loaded anything.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>

#include "engine_watch.hpp"
#include "prompt_cache.hpp"
#include "say.hpp"
#include "server-task.h"

using speckv::llama_server::EngineWatch;
using speckv::llama_server::PromptCache;
using speckv::llama_server::say_once;

namespace {

constexpr int kBuild = 10359;  // whose headers this file is compiled against

template <typename Function>
Function* next(const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found) return reinterpret_cast<Function*>(found);
  std::fprintf(stderr,
               "speckv: this program has no %s; libspeckv_llama_server.so is for "
               "llama-server b%d\n",
               name, kBuild);
  std::abort();  // the caller cannot go on without it
}

// The original of the function that is being defined.
#define SPECKV_NEXT(name) static auto* const original = next<decltype(name)>(#name)

// Who takes a structure of llama.h by value calls this first.
void demand_known_build() {
  auto* number = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "_Z18llama_build_numberv"));
  const int found = number ? number() : 0;
  if (found == kBuild) return;
  std::fprintf(stderr,
               "speckv: this llama-server is build %d, but libspeckv_llama_server.so is for %d: "
               "start it without LD_PRELOAD, or build the library for it\n",
               found, kBuild);
  std::_Exit(1);
}

// With --cache-ram 0 the server has no prompt cache and never asks one.
void warn_of_no_cache() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string words{std::istreambuf_iterator<char>(file), {}};
  const char* variable = std::getenv("LLAMA_ARG_CACHE_RAM");
  using namespace std::string_literals;
  for (const std::string& off : {"\0--cache-ram\0"
                                 "0\0"s,
                                 "\0-cram\0"
                                 "0\0"s})
    if (words.find(off) != std::string::npos) variable = "0";
  if (variable && std::string(variable) == "0")
    say_once(
        "the server was started with --cache-ram 0 and will never ask for a prompt; leave it "
        "out, or give any other number");
}

}  // namespace

// ---- llama.h ----

extern "C" llama_model* llama_model_load_from_file(const char* path, llama_model_params params) {
  SPECKV_NEXT(llama_model_load_from_file);
  demand_known_build();
  llama_model* model = original(path, params);
  if (model) EngineWatch::get().loaded(model, path, params);
  return model;
}

extern "C" llama_context* llama_init_from_model(llama_model* model, llama_context_params params) {
  SPECKV_NEXT(llama_init_from_model);
  demand_known_build();
  llama_context* context = original(model, params);
  if (context) EngineWatch::get().opened(context, model, params);
  warn_of_no_cache();
  return context;
}

extern "C" int32_t llama_set_adapters_lora(llama_context* context, llama_adapter_lora** adapters,
                                           size_t count, float* scales) {
  SPECKV_NEXT(llama_set_adapters_lora);
  EngineWatch::get().loras(context, scales, count);
  return original(context, adapters, count, scales);
}

extern "C" int32_t llama_set_adapter_cvec(llama_context* context, const float* data, size_t count,
                                          int32_t width, int32_t first, int32_t last) {
  SPECKV_NEXT(llama_set_adapter_cvec);
  EngineWatch::get().control_vector(context, data != nullptr);
  return original(context, data, count, width, first, last);
}

extern "C" size_t llama_state_seq_get_size_ext(llama_context* context, llama_seq_id seq,
                                               llama_state_seq_flags flags) {
  SPECKV_NEXT(llama_state_seq_get_size_ext);
  EngineWatch::get().sized(context, seq);
  return original(context, seq, flags);
}

extern "C" size_t llama_state_seq_set_data_ext(llama_context* context, const uint8_t* from,
                                               size_t bytes, llama_seq_id seq,
                                               llama_state_seq_flags flags) {
  SPECKV_NEXT(llama_state_seq_set_data_ext);
  EngineWatch::get().state_set(context, seq, false);
  return original(context, from, bytes, seq, flags);
}

extern "C" size_t llama_state_seq_load_file(llama_context* context, const char* path,
                                            llama_seq_id seq, llama_token* ret_tokens,
                                            size_t capacity, size_t* ret_count) {
  SPECKV_NEXT(llama_state_seq_load_file);
  EngineWatch::get().state_set(context, seq, true);
  return original(context, path, seq, ret_tokens, capacity, ret_count);
}

extern "C" void llama_memory_seq_add(llama_memory_t memory, llama_seq_id seq, llama_pos first,
                                     llama_pos last, llama_pos by) {
  SPECKV_NEXT(llama_memory_seq_add);
  EngineWatch::get().moved(memory, seq, std::max(0, std::min(first, first + by)));
  original(memory, seq, first, last, by);
}

extern "C" void llama_memory_seq_div(llama_memory_t memory, llama_seq_id seq, llama_pos first,
                                     llama_pos last, int by) {
  SPECKV_NEXT(llama_memory_seq_div);
  EngineWatch::get().moved(memory, seq, std::max(0, first / std::max(by, 1)));
  original(memory, seq, first, last, by);
}

extern "C" bool llama_memory_seq_rm(llama_memory_t memory, llama_seq_id seq, llama_pos first,
                                    llama_pos last) {
  SPECKV_NEXT(llama_memory_seq_rm);
  const bool removed = original(memory, seq, first, last);
  if (removed) EngineWatch::get().removed(memory, seq, first, last);
  return removed;
}

extern "C" void llama_memory_seq_cp(llama_memory_t memory, llama_seq_id from, llama_seq_id to,
                                    llama_pos first, llama_pos last) {
  SPECKV_NEXT(llama_memory_seq_cp);
  EngineWatch::get().copied(memory, from, to);
  original(memory, from, to, first, last);
}

extern "C" void llama_memory_clear(llama_memory_t memory, bool data) {
  SPECKV_NEXT(llama_memory_clear);
  EngineWatch::get().cleared(memory);
  original(memory, data);
}

// ---- server_prompt_cache ----

// Methods are functions whose first argument is the object; the names are the compiler's.
#define SPECKV_ALLOC "_ZN19server_prompt_cache5allocERK13server_promptmm"
#define SPECKV_LOAD \
  "_ZN19server_prompt_cache4loadER13server_promptRK13server_tokensP13llama_contextS6_i"

namespace speckv::llama_server {

server_prompt_cache_state* alloc(server_prompt_cache* self, const server_prompt& prompt,
                                 size_t bytes, size_t draft_bytes) asm(SPECKV_ALLOC);
bool load(server_prompt_cache* self, server_prompt& prompt, const server_tokens& wanted,
          llama_context* context, llama_context* draft, int32_t slot) asm(SPECKV_LOAD);

// nullptr: there is nothing that the server should fill. No exception (memory, only) may pass: the
// server's loop has no handler. A load that broke off empties the slot.
server_prompt_cache_state* alloc(server_prompt_cache* self, const server_prompt& prompt,
                                 size_t bytes, size_t draft_bytes) {
  static auto* const original = next<decltype(alloc)>(SPECKV_ALLOC);
  try {
    if (PromptCache::get().save(prompt, draft_bytes != 0)) return nullptr;
  } catch (const std::exception& error) {
    say_once(std::string("a slot was not saved: ") + error.what());
    return nullptr;
  }
  return original(self, prompt, bytes, draft_bytes);
}

bool load(server_prompt_cache* self, server_prompt& prompt, const server_tokens& wanted,
          llama_context* context, llama_context* draft, int32_t slot) {
  static auto* const original = next<decltype(load)>(SPECKV_LOAD);
  try {
    bool ok = true;
    if (PromptCache::get().restore(prompt, wanted, context, draft != nullptr, slot, &ok)) return ok;
  } catch (const std::exception& error) {
    say_once(std::string("a prompt was not restored: ") + error.what());
    return false;
  }
  return original(self, prompt, wanted, context, draft, slot);
}

}  // namespace speckv::llama_server
