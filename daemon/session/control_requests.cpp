// SPDX-License-Identifier: Apache-2.0
// control_requests.cpp - see control_requests.hpp.
#include "session/control_requests.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
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
  return {view.index_file(space), view.pool_file(space), view.near_file(space)};
}

std::string text_of(const ordered_json& json) {
  // Text of clients (a request is echoed in its error) may be no UTF-8: replace, do not throw.
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

class Whole : public Answer {
 public:
  explicit Whole(const ordered_json& json) : text_(text_of(json)) {}
  bool step(std::string* ret_text) override {
    *ret_text += text_;
    return false;
  }

 private:
  const std::string text_;
};

class List : public Answer {
 public:
  List(const watch::NamespaceFiles& files, const std::string& space, uint64_t limit)
      : lister_(files, limit), space_(space) {}
  bool step(std::string* ret_text) override {
    if (parts_++ == 0) *ret_text += "{\"namespace\":" + text_of(space_) + ",\"blocks\":[";
    std::vector<watch::BlockSummary> blocks;
    const bool more = lister_.step(&blocks);
    for (const watch::BlockSummary& block : blocks) {
      if (shown_++ > 0) *ret_text += ',';
      *ret_text += text_of(watch::block_json(block));
    }
    if (!more) *ret_text += "],\"total\":" + std::to_string(lister_.total()) + "}";
    return more;
  }

 private:
  watch::BlockLister lister_;
  const ordered_json space_;
  uint64_t parts_ = 0, shown_ = 0;
};

class Info : public Answer {
 public:
  Info(const watch::NamespaceFiles& files, const std::string& space, std::string_view key)
      : files_(files), finder_(files, key), answer_{{"namespace", space}} {}
  bool step(std::string* ret_text) override {
    if (finding_) {
      finding_ = finder_.step();
      if (finding_) return true;
      const auto found = finder_.found();
      if (!found.ok()) {
        *ret_text += text_of(failed(found.status().error(), found.status().text()));
        return false;
      }
      for (const shm::Entry& entry : found.value()) blocks_.push_back(entry);
      return true;
    }
    if (!inspector_) inspector_.emplace(files_, blocks_[inspected_]);
    if (inspector_->step()) return true;
    ordered_json block = watch::detail_json(inspector_->detail());
    inspector_.reset();
    if (inspected_ == 0) answer_.update(block);
    else others_.push_back(std::move(block));
    if (++inspected_ < blocks_.size()) return true;
    if (!others_.empty()) answer_["others"] = std::move(others_);
    *ret_text += text_of(answer_);
    return false;
  }

 private:
  const watch::NamespaceFiles files_;
  watch::BlockFinder finder_;
  bool finding_ = true;
  std::vector<shm::Entry> blocks_;
  size_t inspected_ = 0;
  std::optional<watch::BlockInspector> inspector_;
  ordered_json answer_, others_ = ordered_json::array();
};

std::unique_ptr<Answer> whole(const ordered_json& json) { return std::make_unique<Whole>(json); }

std::unique_ptr<Answer> list(const watch::DaemonView& view,
                             const std::vector<std::string_view>& words) {
  const auto spaces = view.spaces();
  const auto space = find_space(spaces, words.size() > 1 ? words[1] : "");
  if (!space.ok()) return whole(failed(space.status().error(), space.status().text()));
  uint64_t limit = ls_limit_default;
  if (words.size() > 2) {
    const char* end = words[2].data() + words[2].size();
    const auto read = std::from_chars(words[2].data(), end, limit);
    if (read.ec != std::errc() || read.ptr != end || limit > ls_limit_max)
      return whole(
          failed(EINVAL, "the limit must be a number from 0 to " + std::to_string(ls_limit_max)));
  }
  return std::make_unique<List>(files_of(view, space.value()), spaces[space.value()].name, limit);
}

std::unique_ptr<Answer> info(const watch::DaemonView& view,
                             const std::vector<std::string_view>& words) {
  if (words.size() < 2) return whole(failed(EINVAL, "info needs a key: info [NAMESPACE] KEY"));
  const auto spaces = view.spaces();
  const auto space = find_space(spaces, words.size() > 2 ? words[1] : "");
  if (!space.ok()) return whole(failed(space.status().error(), space.status().text()));
  return std::make_unique<Info>(files_of(view, space.value()), spaces[space.value()].name,
                                words.back());
}

}  // namespace

std::unique_ptr<Answer> answer_control(const watch::DaemonView& view, std::string_view request) {
  const std::vector<std::string_view> words = split(request);
  const std::string_view verb = words.empty() ? "" : words[0];
  if (verb == "status") return whole(watch::status_json(view));
  if (verb == "ls" && words.size() <= 3) return list(view, words);
  if (verb == "info" && words.size() <= 3) return info(view, words);
  if (verb == "metrics") return whole({{"text", watch::metrics_text(view)}});
  return whole(failed(
      EINVAL, "unknown request \"" + std::string(request.substr(0, 100)) +
                  "\": expected status, ls [NAMESPACE [LIMIT]], info [NAMESPACE] KEY or metrics"));
}

std::string text_of(Answer& answer) {
  std::string text;
  while (answer.step(&text)) {
  }
  return text;
}

}  // namespace speckv
