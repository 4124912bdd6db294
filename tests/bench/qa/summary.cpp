// SPDX-License-Identifier: Apache-2.0
// summary.cpp - table, goals and summary.json; see summary.hpp. The page is report.cpp's.
#include "summary.hpp"

#include <cstdio>
#include <fstream>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

namespace speckv::qa {

namespace {

const ArmResult* find(const Findings& findings, const std::string& name) {
  for (const ArmResult& arm : findings.arms) {
    if (arm.name == name) return &arm;
  }
  return nullptr;
}

std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

std::string quote(const std::string& raw) {
  std::string quoted = "\"";
  for (char c : raw) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
  }
  return quoted + '"';
}

std::string number(double value) { return text("%.6g", value); }

std::string row(const ArmResult& arm, const ArmResult* alone) {
  std::ostringstream line;
  line << std::left << std::setw(25) << arm.name << std::right << std::setw(7)
       << text("%.3f", arm.requests_per_s()) << std::setw(7)
       << (alone == nullptr ? "-" : text("%.2f", arm.requests_per_s() / alone->requests_per_s()))
       << std::setw(8) << text("%.0f", arm.ttft_ms(0.5)) << std::setw(8)
       << text("%.0f", arm.ttft_ms(0.99)) << std::setw(8) << arm.tokens_reused() << std::setw(8)
       << text("%.1f", double(arm.holding.raw_bytes) / (1 << 20)) << std::setw(8)
       << text("%.1f", double(arm.holding.stored_bytes) / (1 << 20)) << std::setw(7)
       << (arm.ratio() == 0 ? "-" : text("%.2f", arm.ratio()));
  if (arm.quality) {
    line << "  " << text("%.5f", arm.quality->kld_mean) << " ± "
         << text("%.5f", arm.quality->kld_se) << "  " << text("%.2f", 100 * arm.quality->top1_same)
         << " ± " << text("%.2f", 100 * arm.quality->top1_se);
  } else {
    line << "  -                  -";
  }
  return line.str();
}

std::string arm_json(const ArmResult& arm) {
  std::ostringstream out;
  const auto quality = [&](double Quality::*member) {
    return arm.quality ? number((*arm.quality).*member) : std::string("null");
  };
  out << "    {\"name\": " << quote(arm.name)
      << ", \"requests_per_s\": " << number(arm.requests_per_s())
      << ", \"ttft_ms_p50\": " << number(arm.ttft_ms(0.5))
      << ", \"ttft_ms_p99\": " << number(arm.ttft_ms(0.99))
      << ", \"tokens_reused\": " << arm.tokens_reused()
      << ", \"raw_bytes\": " << arm.holding.raw_bytes
      << ", \"stored_bytes\": " << arm.holding.stored_bytes
      << ", \"ratio\": " << (arm.ratio() == 0 ? "null" : number(arm.ratio()))
      << ", \"kld_mean\": " << quality(&Quality::kld_mean)
      << ", \"kld_se\": " << quality(&Quality::kld_se)
      << ", \"top1_same\": " << quality(&Quality::top1_same)
      << ", \"top1_se\": " << quality(&Quality::top1_se)
      << ", \"positions\": " << (arm.quality ? arm.quality->positions : 0) << "}";
  return out.str();
}

template <typename T, typename Form>
std::string list(const std::vector<T>& items, Form form) {
  std::string all;
  for (const T& item : items) all += (all.empty() ? "" : ",\n") + form(item);
  return all;
}

void add_goal(Findings* findings, const std::string& preset, const char* against, double goal,
              const std::string& words) {
  const ArmResult* ours = find(*findings, speckv_arm(preset));
  const ArmResult* theirs = find(*findings, against);
  if (ours == nullptr || theirs == nullptr) return;
  findings->goals.push_back(
      {preset + " " + words, ours->requests_per_s() / theirs->requests_per_s(), goal});
}

}  // namespace

std::string speckv_arm(const std::string& preset) { return "speckv " + preset; }

void judge(Findings* findings) {
  for (const char* preset : {"q8", "near-lossless"}) {
    add_goal(findings, preset, kAlone, 3.2, "/ engine alone, requests/s");
    add_goal(findings, preset, kResident, 0.9, "/ engine that holds all, requests/s");
    add_goal(findings, preset, kHostCache, 1.0, "/ engine's own RAM cache, requests/s");
  }
  if (findings->fresh_ratio > 0)
    findings->goals.push_back({"near-lossless / engine alone, requests/s, nothing to reuse",
                               findings->fresh_ratio, 0.97});
}

void print_table(const Findings& findings, const Workload& load) {
  std::printf(
      "\n%u sessions x %u rounds, %u to %u prompt tokens, %u answer tokens, in:out %.1f:1\n",
      load.scale.sessions, load.scale.rounds, load.prompt_tokens(0),
      load.prompt_tokens(load.scale.rounds - 1), load.answer_tokens,
      double(load.input_tokens()) / double(load.output_tokens()));
  std::printf("pool and RAM cache %.1f MiB each, all sessions' KV %.1f MiB; %s\n\n",
              double(findings.pool_bytes) / (1 << 20), double(findings.kv_bytes) / (1 << 20),
              findings.medium.c_str());
  std::printf("%-25s%7s%7s%8s%8s%8s%8s%8s%7s  %-19s  %s\n", "arm", "req/s", "x", "TTFT50", "TTFT99",
              "reused", "raw", "stored", "ratio", "KLD", "same top-1 %");
  std::printf("%-25s%7s%7s%8s%8s%8s%8s%8s\n", "", "", "alone", "ms", "ms", "tokens", "MiB", "MiB");
  const ArmResult* alone = find(findings, kAlone);
  for (const ArmResult& arm : findings.arms) std::printf("%s\n", row(arm, alone).c_str());
  std::printf("\n%s: %s\n", findings.check.passed() ? "right" : "WRONG",
              findings.check.sentence().c_str());
  for (const Goal& goal : findings.goals) {
    std::printf("%s: %s %.2f, goal %.2f\n", goal.reached() ? "reached" : "SHORT", goal.name.c_str(),
                goal.value, goal.goal);
  }
}

void write_quality(const std::string& file, const CheckResult& check,
                   const std::vector<std::pair<std::string, Quality>>& presets) {
  nlohmann::ordered_json told;
  told["library"] = speckv_version();
  told["check"] = {{"passed", check.passed()},
                   {"sequences", check.sequences},
                   {"answers_equal", check.answers_equal},
                   {"bytes_equal", check.bytes_equal},
                   {"control_differs", check.control_differs}};
  for (const auto& [name, quality] : presets)
    told["quality"][name] = {{"kld_mean", quality.kld_mean},
                             {"kld_se", quality.kld_se},
                             {"top1_same", quality.top1_same},
                             {"top1_se", quality.top1_se},
                             {"positions", quality.positions}};
  std::ofstream out(file);
  out << told.dump(2) << '\n';
  if (!out.flush()) throw Failure("cannot write '" + file + "'");
}

void write_summary(const std::string& file, const Findings& findings, const Workload& load) {
  std::ofstream out(file);
  out << "{\n  \"arms\": [\n" << list(findings.arms, arm_json) << "\n  ],\n  \"goals\": [\n";
  out << list(findings.goals, [](const Goal& goal) {
    return "    {\"name\": " + quote(goal.name) + ", \"value\": " + number(goal.value) +
           ", \"goal\": " + number(goal.goal) +
           ", \"reached\": " + (goal.reached() ? "true" : "false") + "}";
  });
  const CheckResult& check = findings.check;
  out << "\n  ],\n  \"check\": {\"passed\": " << (check.passed() ? "true" : "false")
      << ", \"sequences\": " << check.sequences << ", \"answers_equal\": " << check.answers_equal
      << ", \"bytes_equal\": " << check.bytes_equal
      << ", \"control_differs\": " << check.control_differs
      << "},\n  \"setting\": {\"scale\": " << quote(load.name)
      << ", \"model\": " << quote(load.model_file)
      << ", \"quality_model\": " << quote(load.quality_model_file)
      << ", \"cpu\": " << quote(findings.cpu) << ", \"threads\": " << findings.threads
      << ", \"library\": " << quote(findings.library) << ", \"medium\": " << quote(findings.medium)
      << ", \"flash_attention\": " << (load.engine.flash_attention ? "true" : "false")
      << ", \"sessions\": " << load.scale.sessions << ", \"rounds\": " << load.scale.rounds
      << ", \"document_tokens\": " << load.scale.document_tokens
      << ", \"answer_tokens\": " << load.answer_tokens
      << ", \"input_tokens\": " << load.input_tokens()
      << ", \"output_tokens\": " << load.output_tokens()
      << ", \"block_tokens\": " << load.block_tokens << ", \"seed\": " << load.seed
      << ", \"pool_bytes\": " << findings.pool_bytes << ", \"kv_bytes\": " << findings.kv_bytes
      << ", \"documents_loaded_before\": true}\n}\n";
  if (!out.flush()) throw Failure("cannot write '" + file + "'");
}

}  // namespace speckv::qa
