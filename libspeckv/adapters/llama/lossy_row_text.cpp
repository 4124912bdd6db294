// SPDX-License-Identifier: Apache-2.0
// lossy_row_text.cpp - the rows of lossy_text.hpp's table. Knows no llama.cpp, so that a test can
// hold the words without an engine.
#include "lossy_row_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace speckv::llama {

namespace {

// Three digits that mean something, as a plain decimal of at least `least` places.
int places_of(double value, int least) {
  if (value == 0) return least;
  return std::clamp(2 - int(std::floor(std::log10(std::abs(value)))), least, 9);
}

std::string number(double value, int places, bool sign = false) {
  char text[64];
  std::snprintf(text, sizeof text, sign ? "%+.*f" : "%.*f", places, value);
  return text;
}

// A mean with its error where one is known.
std::string with_error(double mean, double error, int places, bool known, const char* unit,
                       bool sign = false) {
  std::string text = number(mean, places, sign);
  if (known) text += " ± " + number(error, places);
  return text + unit;
}

}  // namespace

std::string row_of(const std::string& name, double ratio, const Summary& s) {
  std::string row = "| " + name + " | " + number(ratio, 2) + " | ";
  if (s.broken > 0 || !std::isfinite(s.kld) || !std::isfinite(s.ln_ppl)) {
    return row + "not finite at " + std::to_string(s.broken) + " of " +
           std::to_string(s.positions) + " positions | - | - | - |";
  }
  const bool known = s.documents > 1;
  const int places = places_of(s.kld, 5);
  const double ppl = 100 * s.ln_ppl, top1 = 100 * s.top1;
  return row + with_error(s.kld, s.kld_se, places, known, "") + " | " +
         number(s.kld_p99, places_of(s.kld_p99, 4)) + " | " +
         with_error(top1, 100 * s.top1_se, 2, known, " %") + " | " +
         with_error(ppl, 100 * s.ln_ppl_se, std::min(places_of(ppl, 2), 4), known, " %", true) +
         " |";
}

void print_head(std::FILE* out) {
  std::fprintf(out, "| KV | ratio | mean KLD ± SE | 99 %% KLD | same top-1 | Δ ln PPL ± SE |\n");
  std::fprintf(out, "|---|---|---|---|---|---|\n");
}

void print_row(std::FILE* out, const std::string& name, double ratio, const Summary& summary) {
  std::fprintf(out, "%s\n", row_of(name, ratio, summary).c_str());
}

}  // namespace speckv::llama
