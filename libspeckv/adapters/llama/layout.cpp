// SPDX-License-Identifier: Apache-2.0
// layout.cpp - see layout.hpp.
#include "layout.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace speckv::llama {

namespace {

std::string model_value(const llama_model* model, const std::string& key) {
  char text[128];
  return llama_model_meta_val_str(model, key.c_str(), text, sizeof(text)) < 0 ? "" : text;
}

// Families whose converter writes no RoPE base, because they all have the engine's own.
bool has_default_base(const std::string& family) {
  for (const char* known :
       {"gemma", "gemma2", "gptneox", "phi2", "stablelm", "orion", "plamo", "falcon"})
    if (family == known) return true;
  return false;
}

// Pairing and channels; the base stays 0. Returns: false where a token has several positions.
bool take_pairing(const llama_model* model, const std::string& family, speckv_layout* layout,
                  std::string* ret_why) {
  switch (llama_model_rope_type(model)) {
    case LLAMA_ROPE_TYPE_NONE:
      layout->rope = SPECKV_ROPE_NONE;
      return true;
    case LLAMA_ROPE_TYPE_NORM:
      layout->rope = SPECKV_ROPE_INTERLEAVED;
      break;
    case LLAMA_ROPE_TYPE_NEOX:
      layout->rope = SPECKV_ROPE_HALF;
      break;
    default:
      *ret_why = "the model's RoPE has more than one position per token (M-RoPE)";
      return false;
  }
  const std::string dims = model_value(model, family + ".rope.dimension_count");
  layout->rope_dims = uint32_t(std::strtoul(dims.c_str(), nullptr, 10));
  return true;
}

bool describe(const llama_model* model, const StateShape& shape, uint32_t block_tokens,
              uint32_t page_tokens, float base, speckv_layout* ret_layout, std::string* ret_why) {
  *ret_layout = speckv_layout{};
  ret_layout->size = sizeof(*ret_layout);
  ret_layout->dtype = shape.dtype;
  ret_layout->layers = shape.layers;
  ret_layout->kv_heads = shape.kv_heads;
  ret_layout->head_dim = shape.head_dim;
  ret_layout->block_tokens = block_tokens;
  ret_layout->page_tokens = page_tokens;
  ret_layout->world = 1;
  const std::string family = model_value(model, "general.architecture");
  if (!take_pairing(model, family, ret_layout, ret_why)) return false;
  if (ret_layout->rope == SPECKV_ROPE_NONE) return true;
  const std::string theta = model_value(model, family + ".rope.freq_base");
  if (base > 0) {
    ret_layout->rope_theta[0] = base;
  } else if (!theta.empty()) {
    ret_layout->rope_theta[0] = std::strtof(theta.c_str(), nullptr);
  } else if (has_default_base(family)) {
    ret_layout->rope_theta[0] = 10000.0F;
  } else {
    *ret_why = "the model file does not say its RoPE base (" + family +
               ".rope.freq_base), so how its K is turned is unknown; convert the model again";
    return false;
  }
  return true;
}

// What the context shows of its parameters must be what the caller says they were.
bool is_of(const llama_context* context, const Opening& opening, const StateShape& shape,
           std::string* ret_why) {
  const llama_context_params& params = opening.context;
  const ggml_type type = shape.dtype == SPECKV_DTYPE_BF16 ? GGML_TYPE_BF16 : GGML_TYPE_F16;
  const uint32_t streams = params.kv_unified ? 1 : llama_n_seq_max(context);
  const auto flash = params.flash_attn_type;
  const bool fits = params.type_k == type && params.type_v == type && shape.streams == streams &&
                    (params.n_ctx == 0 || params.n_ctx <= llama_n_ctx(context)) &&
                    !(flash == LLAMA_FLASH_ATTN_TYPE_ENABLED && shape.v_transposed) &&
                    !(flash == LLAMA_FLASH_ATTN_TYPE_DISABLED && !shape.v_transposed);
  if (!fits) {
    *ret_why =
        "the parameters given are not those that this context was opened with (KV types, flash "
        "attention, n_ctx or unified KV differ); pass the ones that llama_init_from_model() got";
  }
  return fits;
}

// One string of everything, floats by their bits: equal strings, equal KV.
class Words {
 public:
  void add(const char* name, const std::string& value) {
    text_ += name;
    text_ += '=' + std::to_string(value.size()) + ':' + value + ';';
  }
  void add(const char* name, double value) {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%a", value);
    add(name, std::string(digits));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void add_overrides(const llama_model_kv_override* each, Words* words) {
  for (; each && each->key[0] != 0; ++each) {
    words->add("override", std::string(each->key, strnlen(each->key, sizeof each->key)));
    switch (each->tag) {
      case LLAMA_KV_OVERRIDE_TYPE_INT:
        words->add("int", std::to_string(each->val_i64));
        break;
      case LLAMA_KV_OVERRIDE_TYPE_FLOAT:
        words->add("float", each->val_f64);
        break;
      case LLAMA_KV_OVERRIDE_TYPE_BOOL:
        words->add("bool", std::string(each->val_bool ? "1" : "0"));
        break;
      case LLAMA_KV_OVERRIDE_TYPE_STR:
        words->add("text", std::string(each->val_str, strnlen(each->val_str, 128)));
        break;
    }
  }
}

// An override of the file's base counts where the context names none of its own.
float base_of(const llama_model* model, const Opening& opening) {
  if (opening.context.rope_freq_base != 0) return opening.context.rope_freq_base;
  const std::string key = model_value(model, "general.architecture") + ".rope.freq_base";
  for (const auto* each = opening.model.kv_overrides; each && each->key[0] != 0; ++each)
    if (key == each->key && each->tag == LLAMA_KV_OVERRIDE_TYPE_FLOAT) return float(each->val_f64);
  return 0;
}

void add_rope(const llama_context* context, const Opening& opening, Words* words) {
  const llama_context_params& params = opening.context;
  const llama_model* model = llama_get_model(context);
  const float scale = params.rope_freq_scale;
  words->add("scale", double(scale != 0 ? scale : llama_model_rope_freq_scale_train(model)));
  words->add("scaling", std::to_string(int(params.rope_scaling_type)));
  // negative: the model's own
  for (float yarn : {params.yarn_ext_factor, params.yarn_attn_factor, params.yarn_beta_fast,
                     params.yarn_beta_slow})
    words->add("yarn", yarn < 0 ? -1.0 : double(yarn));
  words->add("yarn context", std::to_string(params.yarn_orig_ctx));
  // Models with two lists of factors take the long one where a sequence may pass this length.
  const std::string family = model_value(model, "general.architecture");
  const std::string trained = model_value(model, family + ".rope.scaling.original_context_length");
  const auto tokens = uint32_t(std::strtoul(trained.c_str(), nullptr, 10));
  words->add("long", std::string(tokens && llama_n_ctx_seq(context) > tokens ? "1" : "0"));
}

bool add_loras(const std::vector<Lora>& loras, Words* words, std::string* ret_why) {
  for (const Lora& lora : loras) {
    uint8_t digest[SPECKV_DIGEST_BYTES];
    const int error = speckv_file_digest(lora.path.c_str(), digest);
    if (error != 0) {
      *ret_why = "LoRA adapter " + lora.path + ": " + std::strerror(-error) +
                 "; its KV cannot be told from the model's own";
      return false;
    }
    words->add("lora", std::string(reinterpret_cast<const char*>(digest), sizeof digest));
    words->add("at", double(lora.scale));
  }
  return true;
}

}  // namespace

bool describe_model(const llama_model* model, const StateShape& shape, uint32_t block_tokens,
                    uint32_t page_tokens, speckv_layout* ret_layout, std::string* ret_why) {
  return describe(model, shape, block_tokens, page_tokens, 0, ret_layout, ret_why);
}

bool describe_layout(const llama_context* context, const Opening& opening, const StateShape& shape,
                     uint32_t block_tokens, uint32_t page_tokens, speckv_layout* ret_layout,
                     std::string* ret_why) {
  if (opening.control_vector) {
    *ret_why = "a control vector changes the KV of equal tokens; clear it, or store nothing";
    return false;
  }
  if (opening.context.ctx_type != LLAMA_CONTEXT_TYPE_DEFAULT) {
    *ret_why = "the context is one for drafts (MTP); its KV is not the model's own";
    return false;
  }
  const llama_model* model = llama_get_model(context);
  if (!is_of(context, opening, shape, ret_why) ||
      !describe(model, shape, block_tokens, page_tokens, base_of(model, opening), ret_layout,
                ret_why))
    return false;
  Words words;
  words.add("v", std::string(shape.v_transposed ? "by channel" : "by token"));
  add_rope(context, opening, &words);
  add_overrides(opening.model.kv_overrides, &words);
  if (!add_loras(opening.loras, &words, ret_why)) return false;
  const int error = speckv_variant_digest(nullptr, opening.engine.c_str(), words.text().c_str(),
                                          ret_layout->variant_digest);
  if (error != 0) *ret_why = std::string("speckv_variant_digest: ") + std::strerror(-error);
  return error == 0;
}

}  // namespace speckv::llama
