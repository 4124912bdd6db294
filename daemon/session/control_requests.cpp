// SPDX-License-Identifier: Apache-2.0
// control_requests.cpp - see control_requests.hpp.
#include "session/control_requests.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

#include "watch/blocks.hpp"
#include "watch/facts_json.hpp"
#include "watch/metrics.hpp"

namespace speckv {
namespace {

using nlohmann::ordered_json;

constexpr uint64_t ls_limit_default = 100;
constexpr uint64_t ls_limit_max =
    100'000;  // blocks; 30 MiB of text: more is a job for scripts, in parts
constexpr size_t words_max = 4;

ordered_json failed(int error, const std::string& text) {
  return {{"error", text}, {"errno", error}};
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (words.size() < words_max) {
    const size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find(' '), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

// Returns: the number of a namespace; an empty name means the first.
Result<size_t> find_space(const std::vector<watch::SpaceFacts>& spaces, std::string_view name) {
  std::string there;
  for (size_t i = 0; i < spaces.size(); i++) {
    if (name.empty() || spaces[i].name == name) return i;
    there += " " + spaces[i].name;
  }
  return Status(ENOENT, "no namespace \"" + std::string(name) + "\"; there are:" + there);
}

watch::NamespaceFiles files_of(const watch::DaemonView& view, size_t space) {
  return {view.index_file(space), view.pool_file(space)};
}

ordered_json list(const watch::DaemonView& view, const std::vector<std::string_view>& words) {
  const auto spaces = view.spaces();
  const auto space = find_space(spaces, words.size() > 1 ? words[1] : "");
  if (!space.ok()) return failed(space.status().error(), space.status().text());
  uint64_t limit = ls_limit_default;
  if (words.size() > 2) {
    const char* end = words[2].data() + words[2].size();
    const auto read = std::from_chars(words[2].data(), end, limit);
    if (read.ec != std::errc() || read.ptr != end || limit > ls_limit_max)
      return failed(EINVAL, "the limit must be a number from 0 to " + std::to_string(ls_limit_max));
  }
  uint64_t total = 0;
  ordered_json blocks = ordered_json::array();
  for (const auto& block : watch::list_blocks(files_of(view, space.value()), limit, &total))
    blocks.push_back(watch::block_json(block));
  return {
      {"namespace", spaces[space.value()].name}, {"total", total}, {"blocks", std::move(blocks)}};
}

ordered_json info(const watch::DaemonView& view, const std::vector<std::string_view>& words) {
  if (words.size() < 2) return failed(EINVAL, "info needs a key: info [NAMESPACE] KEY");
  const auto spaces = view.spaces();
  const auto space = find_space(spaces, words.size() > 2 ? words[1] : "");
  if (!space.ok()) return failed(space.status().error(), space.status().text());
  const watch::NamespaceFiles files = files_of(view, space.value());
  const auto found = watch::find_blocks(files, words.back());
  if (!found.ok()) return failed(found.status().error(), found.status().text());
  ordered_json answer{{"namespace", spaces[space.value()].name}};
  ordered_json others = ordered_json::array();
  for (const shm::Entry& entry : found.value()) {
    ordered_json block = watch::detail_json(watch::inspect_block(files, entry));
    if (answer.size() == 1) answer.update(block);
    else others.push_back(std::move(block));
  }
  if (!others.empty()) answer["others"] = std::move(others);
  return answer;
}

ordered_json answer(const watch::DaemonView& view, std::string_view request) {
  const std::vector<std::string_view> words = split(request);
  const std::string_view verb = words.empty() ? "" : words[0];
  if (verb == "status") return watch::status_json(view);
  if (verb == "ls" && words.size() <= 3) return list(view, words);
  if (verb == "info" && words.size() <= 3) return info(view, words);
  if (verb == "metrics") return {{"text", watch::metrics_text(view)}};
  return failed(EINVAL,
                "unknown request \"" + std::string(request.substr(0, 100)) +
                    "\": expected status, ls [NAMESPACE [LIMIT]], info [NAMESPACE] KEY or metrics");
}

}  // namespace

std::string answer_control(const watch::DaemonView& view, std::string_view request) {
  // Text of clients (a request is echoed in its error) may be no UTF-8: replace, do not throw.
  return answer(view, request).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace speckv
