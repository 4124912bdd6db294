// SPDX-License-Identifier: Apache-2.0
// engine_watch.hpp - what the server did with llama.cpp that changes KV and that llama.h does not
// tell afterwards: which file a model came from, what contexts were opened with, adapters, and
// tokens whose positions were moved.
//
// Who calls it: interpose.cpp reports, prompt_cache asks. Never: calls the server. Threading: the
// server loads and decodes on different threads, so every call takes one lock; none holds it while
// llama.cpp runs.
#pragma once

#include <climits>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "llama.h"
#include "llama/layout.hpp"

namespace speckv::llama_server {

// A context as it was opened; `why` is empty where its KV may be stored at all.
struct Opened {
  std::string model_path;
  llama::Opening opening;
  std::vector<llama_model_kv_override> overrides;  // opening.model.kv_overrides points here
  std::string why;
  uint64_t number = 0;  // of the opening: a later context may have the same address
};

// What llama_state_seq_get_size_ext() was asked of last: a save tells its slot in no other way.
struct Sized {
  llama_context* context = nullptr;
  llama_seq_id seq = -1;
};

class EngineWatch {
 public:
  static EngineWatch& get();

  // ---- reports ----
  void loaded(const llama_model* model, const char* path, const llama_model_params& params);
  void opened(const llama_context* context, const llama_model* model,
              const llama_context_params& params);
  void loras(const llama_context* context, const float* scales, size_t count);
  void control_vector(const llama_context* context, bool active);
  void sized(llama_context* context, llama_seq_id seq);
  // Positions from `first` on were moved, or were computed after ones that were.
  void moved(llama_memory_t memory, llama_seq_id seq, llama_pos first);
  void removed(llama_memory_t memory, llama_seq_id seq, llama_pos first, llama_pos last);
  void copied(llama_memory_t memory, llama_seq_id from, llama_seq_id to);
  void cleared(llama_memory_t memory);
  // The server itself wrote a state into the sequence: one of its own prompt cache, or of a file,
  // whose past nobody knows.
  void state_set(const llama_context* context, llama_seq_id seq, bool of_file);

  // ---- questions ----
  Sized last_sized();
  // Returns: false where this library has not seen the context being opened.
  bool find(const llama_context* context, Opened* ret_opened);
  // How many leading positions of the sequence are as they were computed.
  llama_pos unmoved(llama_memory_t memory, llama_seq_id seq);

 private:
  struct Model {
    std::string path;
    llama_model_params params;
    std::vector<llama_model_kv_override> overrides;
  };
  std::mutex lock_;
  std::map<const llama_model*, Model> models_;
  std::map<const llama_context*, Opened> contexts_;
  std::map<std::pair<llama_memory_t, llama_seq_id>, llama_pos> moved_;
  bool ever_moved_ = false;  // so that the server's own cache may hold such states
  Sized sized_;
  uint64_t openings_ = 0;
};

}  // namespace speckv::llama_server
