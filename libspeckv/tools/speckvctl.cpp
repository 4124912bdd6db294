// SPDX-License-Identifier: Apache-2.0
// speckvctl.cpp - asks a running speckvd what it is doing, and the kernel for CXL regions: the
// command line, and which command answers it.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "tools/ctl.hpp"

namespace {

using speckv::ctl::Options;

constexpr const char* usage =
    "usage: speckvctl [--socket PATH] [--json] COMMAND\n"
    "\n"
    "  status                    the daemon, its namespaces, sessions and threads\n"
    "  top [-n TURNS] [-d S]     the same, live, with rates\n"
    "  ls [NAMESPACE] [--limit N]  stored blocks\n"
    "  info [NAMESPACE] KEY      one block: where and how it is stored, every checksum checked\n"
    "  bench [--namespace NAME] [--preset NAME]\n"
    "                            puts, gets and exists against memcpy; removes its blocks "
    "afterwards\n"
    "  doctor                    what is not as it should be, and what to do\n"
    "  region list               CXL regions and DAX devices, and whose they are\n"
    "  region create [MEMDEV]    a region of a whole card; destroy REGION\n"
    "  region mode numa|dax|speckv [DAX]\n"
    "  region poison [DEVICE]    cxl list -r region0 -L | ...: marks what the card calls bad\n"
    "                            give a DAX device to kmem, to device_dax or to speckv\n"
    "\n"
    "  --socket PATH   default: $SPECKV_SOCKET, else /run/speckv/speckv.sock\n"
    "  --json          one JSON value instead of text (top: one a turn)\n"
    "  --version, --help\n";

struct Command {
  const char* name;
  size_t words_max;  // its own name included
  int (*run)(const Options&);
};

constexpr Command commands[] = {
    {"status", 1, speckv::ctl::show_status}, {"top", 1, speckv::ctl::show_top},
    {"ls", 2, speckv::ctl::show_list},       {"info", 3, speckv::ctl::show_info},
    {"bench", 1, speckv::ctl::run_bench},    {"doctor", 1, speckv::ctl::run_doctor},
    {"region", 5, speckv::ctl::run_region},
};

int complain(const std::string& text) {
  std::fprintf(stderr, "speckvctl: %s\nTry 'speckvctl --help'.\n", text.c_str());
  return 2;
}

template <typename T>
bool parse_number(const char* text, T min, T max, T* ret) {
  const char* end = text + std::strlen(text);
  T value{};
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || !(value >= min && value <= max)) return false;
  *ret = value;
  return true;
}

// Takes one option with its value. Returns: whether there is such an option and its value is good.
bool take_option(const std::string& name, const char* value, Options* ret) {
  if (name == "--socket") return *value && (ret->socket = value, true);
  if (name == "--namespace") return ret->space = value, true;
  if (name == "--preset") return ret->preset = value, true;
  if (name == "--limit") return parse_number<uint64_t>(value, 0, 100'000, &ret->limit);
  if (name == "-n") return parse_number<int64_t>(value, 1, 1'000'000'000, &ret->turns);
  if (name == "-d") return parse_number<double>(value, 0.05, 3600, &ret->interval_s);
  return false;
}

// Returns: -1 to go on, else the exit status.
int parse_arguments(int count, char** values, Options* ret) {
  const char* from_environment = std::getenv("SPECKV_SOCKET");
  ret->socket =
      from_environment && *from_environment ? from_environment : "/run/speckv/speckv.sock";
  for (int i = 1; i < count; i++) {
    const std::string word = values[i];
    if (word == "--help" || word == "-h") return std::fputs(usage, stdout), 0;
    if (word == "--version") return std::puts("speckvctl " SPECKV_VERSION), 0;
    if (word == "--json") {
      ret->json = true;
    } else if (word.size() > 1 && word[0] == '-') {
      if (i + 1 >= count) return complain(word + " needs a value, or is no option");
      if (!take_option(word, values[i + 1], ret))
        return complain("no option " + word + ", or \"" + values[i + 1] + "\" is no value for it");
      i++;
    } else {
      ret->words.push_back(word);
    }
  }
  return ret->words.empty() ? complain("a command is missing") : -1;
}

}  // namespace

int main(int count, char** values) {
  Options options;
  const int done = parse_arguments(count, values, &options);
  if (done >= 0) return done;
  for (const Command& command : commands) {
    if (options.words[0] != command.name) continue;
    if (options.words.size() > command.words_max)
      return complain(options.words[0] + ": unexpected \"" + options.words[command.words_max] +
                      "\"");
    try {
      return command.run(options);
    } catch (const speckv::ctl::Failure& failure) {
      if (options.json)
        std::puts(nlohmann::ordered_json{{"error", failure.text}}
                      .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                      .c_str());
      std::fprintf(stderr, "speckvctl: %s\n", failure.text.c_str());
      return 1;
    } catch (const std::exception& error) {  // an answer without an expected field: another version
      std::fprintf(stderr, "speckvctl: the daemon's answer was not understood: %s\n", error.what());
      return 1;
    }
  }
  return complain("no command \"" + options.words[0] + "\"");
}
