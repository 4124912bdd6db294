// SPDX-License-Identifier: Apache-2.0
// lossy_row_text.hpp - a Markdown table's head, and a row of it: errors only where there are two
// documents, three digits that mean something, and no figures where logits were not finite.
//
// Who calls it: speckv-calibrate --validate and tests/quality.
#pragma once

#include <cstdio>
#include <string>

#include "lossy_statistics.hpp"

namespace speckv::llama {

void print_head(std::FILE* out);
void print_row(std::FILE* out, const std::string& name, double ratio, const Summary& summary);
std::string row_of(const std::string& name, double ratio, const Summary& summary);

}  // namespace speckv::llama
