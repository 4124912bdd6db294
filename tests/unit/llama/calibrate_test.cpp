// SPDX-License-Identifier: Apache-2.0
// Proves that a model that computes no numbers gets no table and no figures, and that each word
// which speckv-calibrate cannot take is answered with the reason. How: a tiny model whose RoPE base
// is NaN; command lines. Built where there is an engine.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "calibrate_arguments.hpp"
#include "calibrate_progress.hpp"
#include "llama/calibration.hpp"
#include "llama/lossy_text.hpp"
#include "tiny_model.hpp"

namespace speckv::calibrate {
namespace {

TEST(Calibrate, KThatIsNoNumberGivesNoTableAndNoFigures) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const std::string path = testing::TempDir() + "speckv-nan-" + std::to_string(getpid()) + ".gguf";
  quality::TinyModel tiny = quality::tiny_model("llama");
  tiny.theta = NAN;
  quality::write_tiny_model(tiny, std::string(ENGINE_ROOT) + "/models/smollm2-135m-q4_0.gguf",
                            path);
  llama_model* model = llama_model_load_from_file(path.c_str(), llama_model_default_params());
  ASSERT_NE(model, nullptr);
  std::vector<llama_token> tokens(321);
  for (size_t i = 0; i < tokens.size(); i++) tokens[i] = llama_token(1000 + i * 7919 % 20000);
  codec::ChanWeights weights;
  for (bool queries : {true, false}) {
    std::string why;
    EXPECT_FALSE(
        llama::calibrate(model, tokens, {.threads = 1, .queries = queries}, &weights, &why));
    EXPECT_NE(why.find("not finite"), std::string::npos) << why;
  }
  {
    llama::LossyText text(model, {{.name = "q8", .preset = SPECKV_PRESET_Q8}}, 320, 256, 1);
    try {
      EXPECT_FALSE(text.add(tokens)) << "figures of NaN";
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find("not finite"), std::string::npos) << error.what();
    }
  }
  llama_model_free(model);
  std::filesystem::remove(path);
}

TEST(Calibrate, EachWrongWordIsAnsweredWithItsReason) {
  struct Case {
    std::vector<const char*> words;
    const char* reason;
  };
  const std::vector<Case> cases = {
      {{}, "no model is named"},
      {{"m", "t"}, "nothing to do"},
      {{"m", "--out", "o"}, "no text is named"},
      {{"m", "t", "u", "--out", "o"}, "u is a second one"},
      {{"m", "t", "--out"}, "--out needs a file"},
      {{"m", "t", "--out", "o", "--validate", "v"}, "exclude each other"},
      {{"m", "t", "--out", "o", "--tokens", "5"}, "--tokens 5: expected a number from 128"},
      {{"m", "t", "--out", "o", "--tokens", "2k"}, "--tokens 2k"},
      {{"m", "t", "--out", "o", "--threads", "0"}, "--threads 0"},
      {{"m", "t", "--out", "o", "--page-tokens", "48"}, "expected 16, 32 or 64"},
      {{"m", "t", "--out", "o", "--row", "q8"}, "--row goes with --validate"},
      {{"m", "t", "--validate", "v", "--tokens", "256"}, "more than 256"},
      {{"m", "t", "--to-f16", "f"}, "takes no text"},
      {{"m", "t", "--frobnicate"}, "--frobnicate is no option"},
  };
  for (const Case& each : cases) {
    std::vector<char*> words = {const_cast<char*>("speckv-calibrate")};
    for (const char* word : each.words) words.push_back(const_cast<char*>(word));
    Arguments arguments;
    std::string why;
    EXPECT_FALSE(parse(int(words.size()), words.data(), &arguments, &why)) << each.reason;
    EXPECT_NE(why.find(each.reason), std::string::npos) << why;
  }
}

TEST(Calibrate, TimeLeftIsWhatTheRestWillTake) {
  EXPECT_EQ(time_left(10, 0), "");
  EXPECT_EQ(time_left(10, 0.5), ", about 10 s left");
  EXPECT_EQ(time_left(600, 0.25), ", about 30 min left");
}

}  // namespace
}  // namespace speckv::calibrate
