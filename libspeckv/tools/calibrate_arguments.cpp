// SPDX-License-Identifier: Apache-2.0
// calibrate_arguments.cpp - see calibrate_arguments.hpp.
#include "calibrate_arguments.hpp"

#include <cstdlib>

namespace speckv::calibrate {

const char* const kUsage =
    "usage: speckv-calibrate MODEL.gguf TEXT --out TABLE.chan [--no-queries] [--tokens N]\n"
    "                        [--page-tokens N] [--threads N]\n"
    "       speckv-calibrate MODEL.gguf --validate TABLE.chan TEXT... [--row WORDS]...\n"
    "                        [--page-tokens N] [--tokens N] [--threads N]\n"
    "       speckv-calibrate MODEL.gguf --to-f16 OUT.gguf\n"
    "Measures E[q^2] and K's residual variance on the first N (2048) tokens of TEXT;\n"
    "--no-queries: the variance alone. --validate: what each preset costs on the first N tokens\n"
    "of each TEXT, beside the fp16-KV run of the same weights. --to-f16: the same model with F16\n"
    "weights, on which presets can be told apart. Words of --row: speckv-calibrate(1).\n";

namespace {

class Parser {
 public:
  Parser(int count, char** words, Arguments* ret, std::string* why)
      : words_(words + 1, words + count), ret_(*ret), why_(*why) {}

  bool parse() {
    for (; at_ < words_.size(); ++at_)
      if (!word(words_[at_])) return false;
    return ret_.help || whole();
  }

 private:
  bool fail(const std::string& why) {
    why_ = why;
    return false;
  }

  bool word(const std::string& name) {
    if (name.rfind("--", 0) != 0) {
      if (ret_.model.empty()) ret_.model = name;
      else ret_.texts.push_back(name);
      return true;
    }
    if (name == "--help") return ret_.help = true;
    if (name == "--no-queries") return !(ret_.options.queries = false);
    if (name == "--out") return value(name, "a file", &ret_.out);
    if (name == "--validate") return value(name, "a table", &ret_.table);
    if (name == "--to-f16") return value(name, "a file", &ret_.to_f16);
    if (name == "--row") return value(name, "words, as in speckv-calibrate(1)", &add_row());
    if (name == "--tokens") return number(name, 128, 1 << 20, &ret_.options.tokens_max);
    if (name == "--threads") {
      uint32_t threads = 0;
      if (!number(name, 1, 256, &threads)) return false;
      ret_.options.threads = int(threads);
      return true;
    }
    if (name == "--page-tokens") {
      if (!number(name, 16, 64, &ret_.options.page_tokens)) return false;
      const uint32_t n = ret_.options.page_tokens;
      return (n & (n - 1)) == 0 || fail(name + " " + std::to_string(n) + ": expected 16, 32 or 64");
    }
    return fail(name + " is no option");
  }

  std::string& add_row() { return ret_.rows.emplace_back(); }

  bool value(const std::string& name, const char* what, std::string* ret) {
    if (at_ + 1 >= words_.size()) return fail(name + " needs " + what + " after it");
    *ret = words_[++at_];
    return true;
  }

  bool number(const std::string& name, long low, long high, uint32_t* ret) {
    std::string text;
    if (!value(name, "a number", &text)) return false;
    char* end = nullptr;
    const long found = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end || found < low || found > high)
      return fail(name + " " + text + ": expected a number from " + std::to_string(low) + " to " +
                  std::to_string(high));
    *ret = uint32_t(found);
    return true;
  }

  // What stands alone in each word, and what belongs together.
  bool whole() {
    const int modes = !ret_.out.empty() + !ret_.table.empty() + !ret_.to_f16.empty();
    if (ret_.model.empty()) return fail("no model is named: give MODEL.gguf first");
    if (modes != 1)
      return fail(modes == 0 ? "nothing to do: give --out (measure), --validate or --to-f16"
                             : "--out, --validate and --to-f16 exclude each other");
    if (!ret_.rows.empty() && ret_.table.empty()) return fail("--row goes with --validate");
    if (!ret_.to_f16.empty())
      return ret_.texts.empty() || fail("--to-f16 takes no text: " + ret_.texts[0]);
    if (ret_.texts.empty()) return fail("no text is named: give TEXT after the model");
    if (ret_.table.empty())
      return ret_.texts.size() == 1 || fail("--out measures one text; " + ret_.texts[1] +
                                            " is a second one (put them into one file)");
    if (ret_.options.tokens_max <= kSkippedTokens)
      return fail("--validate needs more than " + std::to_string(kSkippedTokens) +
                  " --tokens: earlier positions are not counted");
    return true;
  }

  std::vector<std::string> words_;
  Arguments& ret_;
  std::string& why_;
  size_t at_ = 0;
};

}  // namespace

bool parse(int count, char** words, Arguments* ret, std::string* ret_why) {
  return Parser(count, words, ret, ret_why).parse();
}

}  // namespace speckv::calibrate
