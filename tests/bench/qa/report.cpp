// SPDX-License-Identifier: Apache-2.0
// report.cpp - report.html: one self-contained page, plots as inline SVG, no script and nothing
// fetched.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <sstream>

#include "summary.hpp"

namespace speckv::qa {

namespace {

constexpr char kStyle[] = R"(<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;font-size:13px}
td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}
.wrong,.short{color:#b00020;font-weight:600}.note{color:#666;font-size:13px}
</style>)";

std::string text(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

// Engines are grey, speckv is blue.
std::string colour(const std::string& arm) {
  return arm.rfind("speckv", 0) == 0 ? "#1f6fb2" : "#9a9a9a";
}

using Value = std::function<double(const ArmResult&)>;

// Horizontal bars, one an arm.
std::string bars(const Findings& findings, const std::string& title, const char* format,
                 const Value& value) {
  double top = 0;
  for (const ArmResult& arm : findings.arms) top = std::max(top, value(arm));
  const int step = 24, left = 190, width = 480;
  std::ostringstream svg;
  svg << "<h2>" << title << "</h2>\n<svg viewBox=\"0 0 760 " << findings.arms.size() * step + 6
      << "\" role=\"img\" aria-label=\"" << title << "\">\n";
  int y = 4;
  for (const ArmResult& arm : findings.arms) {
    const double length = top == 0 ? 0 : value(arm) / top * width;
    svg << "<text x=\"" << left - 8 << "\" y=\"" << y + 14 << "\" text-anchor=\"end\">" << arm.name
        << "</text><rect x=\"" << left << "\" y=\"" << y + 2 << "\" width=\""
        << text("%.1f", length) << "\" height=\"16\" fill=\"" << colour(arm.name)
        << "\"/><text x=\"" << text("%.1f", left + length + 6) << "\" y=\"" << y + 14 << "\">"
        << text(format, value(arm)) << "</text>\n";
    y += step;
  }
  svg << "</svg>\n";
  return svg.str();
}

double round_median(const ArmResult& arm, uint32_t round) {
  std::vector<double> all;
  for (const Sample& sample : arm.samples) {
    if (sample.turn.round == round) all.push_back(sample.ttft_ms);
  }
  std::sort(all.begin(), all.end());
  return all.empty() ? 0 : all[all.size() / 2];
}

std::string line_colour(size_t arm) {
  static const char* colours[] = {"#555555", "#b58900", "#2aa198", "#1f6fb2", "#6c3fb2",
                                  "#d33682", "#cb4b16", "#859900", "#268bd2"};
  return colours[arm % (sizeof(colours) / sizeof(colours[0]))];
}

// Median TTFT of each round, a line an arm: how history grows, and who pays for it.
std::string rounds(const Findings& findings, uint32_t count) {
  double top = 1;
  for (const ArmResult& arm : findings.arms) {
    for (uint32_t r = 0; r < count; ++r) top = std::max(top, round_median(arm, r));
  }
  const double left = 60, width = 480, height = 240;
  const auto x = [&](uint32_t r) { return left + width * r / std::max(1u, count - 1); };
  const auto y = [&](double ms) { return 10 + height * (1 - ms / top); };
  std::ostringstream svg;
  svg << "<h2>TTFT by round, median, ms</h2>\n<svg viewBox=\"0 0 760 280\" role=\"img\" "
         "aria-label=\"TTFT by round\">\n";
  for (int tick = 0; tick <= 4; ++tick) {
    const double ms = top * tick / 4;
    svg << "<line x1=\"" << left << "\" x2=\"" << left + width << "\" y1=\"" << y(ms) << "\" y2=\""
        << y(ms) << "\" stroke=\"#e5e5e5\"/><text x=\"" << left - 6 << "\" y=\"" << y(ms) + 4
        << "\" text-anchor=\"end\">" << text("%.0f", ms) << "</text>\n";
  }
  for (uint32_t r = 0; r < count; ++r) {
    svg << "<text x=\"" << x(r) << "\" y=\"268\" text-anchor=\"middle\">" << r + 1 << "</text>\n";
  }
  for (size_t i = 0; i < findings.arms.size(); ++i) {
    const std::string stroke = line_colour(i);
    svg << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << stroke << "\" points=\"";
    for (uint32_t r = 0; r < count; ++r) {
      svg << text("%.1f,", x(r)) << text("%.1f ", y(round_median(findings.arms[i], r)));
    }
    svg << "\"/><text x=\"560\" y=\"" << 22 + 18 * i << "\" fill=\"" << stroke << "\">"
        << findings.arms[i].name << "</text>\n";
  }
  svg << "</svg>\n";
  return svg.str();
}

// What each preset costs against what it saves.
std::string loss_plot(const Findings& findings) {
  double ratio_top = 1, kld_top = 1e-6;
  for (const ArmResult& arm : findings.arms) {
    if (!arm.quality || arm.ratio() == 0) continue;
    ratio_top = std::max(ratio_top, arm.ratio());
    kld_top = std::max(kld_top, arm.quality->kld_mean + arm.quality->kld_se);
  }
  std::ostringstream svg;
  svg << "<h2>Loss against ratio</h2>\n<svg viewBox=\"0 0 760 290\" role=\"img\" "
         "aria-label=\"KL divergence against compression ratio\">\n"
         "<line x1=\"80\" x2=\"600\" y1=\"240\" y2=\"240\" stroke=\"#999\"/>"
         "<line x1=\"80\" x2=\"80\" y1=\"20\" y2=\"240\" stroke=\"#999\"/>"
         "<text x=\"340\" y=\"278\" text-anchor=\"middle\">raw bytes / stored bytes</text>"
         "<text x=\"76\" y=\"14\" text-anchor=\"end\">KLD, nats</text><text x=\"74\" y=\"32\" "
         "text-anchor=\"end\">"
      << text("%.4f", kld_top) << "</text><text x=\"74\" y=\"244\" text-anchor=\"end\">0</text>\n";
  for (const ArmResult& arm : findings.arms) {
    if (!arm.quality || arm.ratio() == 0) continue;
    const double x = 80 + 500 * arm.ratio() / ratio_top;
    const auto y = [&](double kld) { return 240 - 210 * kld / kld_top; };
    const Quality& q = *arm.quality;
    svg << "<line x1=\"" << x << "\" x2=\"" << x << "\" y1=\"" << y(q.kld_mean - q.kld_se)
        << "\" y2=\"" << y(q.kld_mean + q.kld_se) << "\" stroke=\"#1f6fb2\"/><circle cx=\"" << x
        << "\" cy=\"" << y(q.kld_mean) << "\" r=\"4\" fill=\"#1f6fb2\"/><text x=\"" << x + 8
        << "\" y=\"" << y(q.kld_mean) - 6 << "\">" << arm.name << "</text><text x=\"" << x
        << "\" y=\"256\" text-anchor=\"middle\">" << text("%.2f", arm.ratio()) << "</text>\n";
  }
  svg << "</svg>\n";
  return svg.str();
}

std::string table(const Findings& findings) {
  std::ostringstream out;
  out << "<table><tr><th>arm</th><th>requests/s</th><th>TTFT p50 ms</th><th>TTFT p99 ms</th>"
         "<th>tokens reused</th><th>raw MiB</th><th>stored MiB</th><th>ratio</th><th>KLD ± SE</th>"
         "<th>same top-1 ± SE</th></tr>\n";
  for (const ArmResult& arm : findings.arms) {
    out << "<tr><td>" << arm.name << "</td><td>" << text("%.3f", arm.requests_per_s())
        << "</td><td>" << text("%.0f", arm.ttft_ms(0.5)) << "</td><td>"
        << text("%.0f", arm.ttft_ms(0.99)) << "</td><td>" << arm.tokens_reused() << "</td><td>"
        << text("%.1f", double(arm.holding.raw_bytes) / (1 << 20)) << "</td><td>"
        << text("%.1f", double(arm.holding.stored_bytes) / (1 << 20)) << "</td><td>"
        << (arm.ratio() == 0 ? "-" : text("%.2f", arm.ratio())) << "</td>";
    if (arm.quality) {
      const Quality& q = *arm.quality;
      out << "<td>" << text("%.5f", q.kld_mean) << " ± " << text("%.5f", q.kld_se) << "</td><td>"
          << text("%.2f", 100 * q.top1_same) << " ± " << text("%.2f", 100 * q.top1_se)
          << " %</td></tr>\n";
    } else {
      out << "<td>-</td><td>-</td></tr>\n";
    }
  }
  out << "</table>\n";
  return out.str();
}

std::string verdicts(const Findings& findings) {
  std::ostringstream out;
  out << "<p class=\"" << (findings.check.passed() ? "right" : "wrong") << "\">Answers are "
      << (findings.check.passed() ? "right" : "WRONG") << ": " << findings.check.sentence()
      << ".</p>\n<ul>\n";
  for (const Goal& goal : findings.goals) {
    out << "<li" << (goal.reached() ? "" : " class=\"short\"") << ">" << goal.name << ": "
        << text("%.2f", goal.value) << ", goal " << text("%.2f", goal.goal)
        << (goal.reached() ? "" : " (short)") << "</li>\n";
  }
  out << "</ul>\n";
  return out.str();
}

std::string setting(const Findings& findings, const Workload& load) {
  std::ostringstream out;
  out << "<p class=\"note\">" << load.scale.sessions << " sessions, " << load.scale.rounds
      << " rounds, prompts of " << load.prompt_tokens(0) << " to "
      << load.prompt_tokens(load.scale.rounds - 1) << " tokens, answers of " << load.answer_tokens
      << ", input:output "
      << text("%.1f", double(load.input_tokens()) / double(load.output_tokens()))
      << ":1. Every round resends the history. Documents were loaded into every arm before the "
         "clock started. Arms took turns request by request, in shuffled order. Pool and RAM "
         "cache: "
      << text("%.1f", double(findings.pool_bytes) / (1 << 20)) << " MiB each, all sessions' KV "
      << text("%.1f", double(findings.kv_bytes) / (1 << 20)) << " MiB. Setting: " << findings.medium
      << "; " << findings.cpu << ", " << findings.threads << " compute threads; libspeckv "
      << findings.library << "; model " << load.model_file << ", flash attention "
      << (load.engine.flash_attention ? "on" : "off") << "; quality with "
      << load.quality_model_file
      << ". A CPU prefills slowly, which flatters every cache; this says nothing about a "
         "GPU.</p>\n";
  return out.str();
}

}  // namespace

void write_report(const std::string& file, const Findings& findings, const Workload& load) {
  std::ofstream out(file);
  out << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<title>speckv: multi-round QA</title>"
      << kStyle << "</head><body>\n<h1>speckv: multi-round questions over long documents</h1>\n"
      << setting(findings, load) << verdicts(findings) << table(findings)
      << bars(findings, "Requests per second", "%.2f",
              [](const ArmResult& arm) { return arm.requests_per_s(); })
      << bars(findings, "TTFT p50, ms", "%.0f",
              [](const ArmResult& arm) { return arm.ttft_ms(0.5); })
      << bars(findings, "TTFT p99, ms", "%.0f",
              [](const ArmResult& arm) { return arm.ttft_ms(0.99); })
      << bars(findings, "Prompt tokens reused", "%.0f",
              [](const ArmResult& arm) { return double(arm.tokens_reused()); })
      << rounds(findings, load.scale.rounds) << loss_plot(findings) << "</body></html>\n";
  if (!out.flush()) throw Failure("cannot write '" + file + "'");
}

}  // namespace speckv::qa
