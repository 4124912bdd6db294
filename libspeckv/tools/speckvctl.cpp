// SPDX-License-Identifier: Apache-2.0
// speckvctl.cpp - asks a running speckvd what it is doing, and the kernel for CXL regions: the
// command line, and which command answers it.
//
// One table says which options there are, one which command takes which of them. A command that is
// given another's option is not run: an option that does nothing would be believed.
#include <getopt.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>

#include "tools/ctl.hpp"

namespace {

using speckv::ctl::Options;

constexpr const char* usage =
    "usage: speckvctl [--socket PATH] [--daemon-uid UID] [--json] COMMAND\n"
    "\n"
    "  status                    the daemon, its namespaces, sessions and threads\n"
    "  top [-n TURNS] [-d S]     the same, live, with rates\n"
    "  ls [NAMESPACE] [--limit N]  stored blocks\n"
    "  info [NAMESPACE] KEY      one block: where and how it is stored, every checksum checked\n"
    "  size [NAMESPACE]          hit rates of half to four times the pool, other presets, spill\n"
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
    "All but bench and region ask the daemon, which answers root and its own user only.\n"
    "\n"
    "  --socket PATH   default: $SPECKV_SOCKET, else /run/speckv/speckv.sock\n"
    "  --daemon-uid UID  whose the daemon must be; default: root's, user speckv's or yours\n"
    "  --json          one JSON value instead of text (top: one a turn)\n"
    "  --version, --help\n";

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

bool parse_text(const char* text, std::string* ret) {
  *ret = text;
  return *text != '\0';
}

// By its place in the table; a command's set of options is a mask of these.
enum Opt : uint32_t {
  socket,
  daemon_uid,
  json,
  space,
  preset,
  limit,
  turns,
  interval,
  help,
  version
};

struct OptionEntry {
  const char* name;    // as it is typed
  const char* expect;  // its value; nullptr: it takes none
  bool (*take)(const char* value, Options* ret);
};

constexpr OptionEntry option_table[] = {
    {"--socket", "a path", [](const char* v, Options* r) { return parse_text(v, &r->socket); }},
    {"--daemon-uid", "a uid",
     [](const char* v, Options* r) {
       return parse_number<int32_t>(v, 0, INT32_MAX, &r->daemon_uid);
     }},
    {"--json", nullptr, [](const char*, Options* r) { return r->json = true; }},
    {"--namespace", "a name", [](const char* v, Options* r) { return parse_text(v, &r->space); }},
    {"--preset", "a name", [](const char* v, Options* r) { return parse_text(v, &r->preset); }},
    {"--limit", "a number from 0 to 100000",
     [](const char* v, Options* r) { return parse_number<uint64_t>(v, 0, 100'000, &r->limit); }},
    {"-n", "a number from 1 to 1000000000",
     [](const char* v, Options* r) {
       return parse_number<int64_t>(v, 1, 1'000'000'000, &r->turns);
     }},
    {"-d", "seconds from 0.05 to 3600",
     [](const char* v, Options* r) { return parse_number<double>(v, 0.05, 3600, &r->interval_s); }},
    {"--help", nullptr, [](const char*, Options*) { return true; }},
    {"--version", nullptr, [](const char*, Options*) { return true; }},
};

constexpr int long_base = 256;  // past every letter, and past getopt's 1 for a word
constexpr option long_options[] = {
    {"socket", required_argument, nullptr, long_base + socket},
    {"daemon-uid", required_argument, nullptr, long_base + daemon_uid},
    {"json", no_argument, nullptr, long_base + json},
    {"namespace", required_argument, nullptr, long_base + space},
    {"preset", required_argument, nullptr, long_base + preset},
    {"limit", required_argument, nullptr, long_base + limit},
    {"help", no_argument, nullptr, long_base + help},
    {"version", no_argument, nullptr, long_base + version},
    {nullptr, 0, nullptr, 0},
};

constexpr uint32_t bit(Opt opt) { return 1u << opt; }
constexpr uint32_t asks = bit(socket) | bit(daemon_uid) | bit(json);

struct Command {
  const char* name;
  size_t words_max;  // its own name included
  uint32_t options;
  int (*run)(const Options&);
};

constexpr Command commands[] = {
    {"status", 1, asks, speckv::ctl::show_status},
    {"top", 1, asks | bit(turns) | bit(interval), speckv::ctl::show_top},
    {"ls", 2, asks | bit(limit), speckv::ctl::show_list},
    {"info", 3, asks, speckv::ctl::show_info},
    {"size", 2, asks, speckv::ctl::show_size},
    {"bench", 1, asks | bit(space) | bit(preset), speckv::ctl::run_bench},
    {"doctor", 1, asks, speckv::ctl::run_doctor},
    {"region", 5, bit(json), speckv::ctl::run_region},
};

// "status, top and ls".
std::string takers(uint32_t opt) {
  std::string names;
  size_t left = 0;
  for (const Command& command : commands) left += command.options >> opt & 1;
  for (const Command& command : commands) {
    if (!(command.options >> opt & 1)) continue;
    names += command.name;
    if (--left > 0) names += left == 1 ? " and " : ", ";
  }
  return names;
}

std::string options_of(const Command& command) {
  std::string names;
  for (uint32_t opt = 0; opt < std::size(option_table); opt++)
    if (command.options >> opt & 1) names += std::string(" ") + option_table[opt].name;
  return names;
}

struct Line {
  Options options;
  uint32_t given = 0;  // options, by bit
};

Opt opt_of(int got) {
  if (got >= long_base) return Opt(got - long_base);
  return got == 'n' ? turns : got == 'd' ? interval : help;
}

// Returns: -1 to go on, else the exit status. Options and words may stand in any order.
int parse_line(int count, char** values, Line* ret) {
  constexpr int word = 1, unknown = '?', no_value = ':';
  opterr = 0;
  for (;;) {
    const int at = optind;
    const int got = getopt_long(count, values, "-:n:d:h", long_options, nullptr);
    if (got == -1) break;
    const std::string typed = at < count ? values[at] : "";
    if (got == unknown)  // a long option that is known names itself in optopt
      return complain(optopt >= long_base ? typed + ": this option takes no value"
                                          : "there is no option " + typed);
    if (got == no_value) return complain(typed + " needs a value");
    if (got == word) {
      ret->options.words.emplace_back(optarg);
      continue;
    }
    const Opt opt = opt_of(got);
    if (opt == help) return std::fputs(usage, stdout), 0;
    if (opt == version) return std::puts("speckvctl " SPECKV_VERSION), 0;
    const OptionEntry& entry = option_table[opt];
    if (!entry.take(optarg, &ret->options))
      return complain("\"" + std::string(optarg) + "\" is no value for " + entry.name +
                      ": expected " + entry.expect);
    ret->given |= bit(opt);
  }
  for (int i = optind; i < count; i++) ret->options.words.emplace_back(values[i]);
  return ret->options.words.empty() ? complain("a command is missing") : -1;
}

// Returns: -1 when the command takes all of that.
int check_line(const Command& command, const Line& line) {
  for (uint32_t opt = 0; opt < std::size(option_table); opt++) {
    if (!(line.given >> opt & 1) || (command.options >> opt & 1)) continue;
    return complain(std::string(command.name) + " takes no " + option_table[opt].name +
                    ", which is for " + takers(opt) + "; it takes" + options_of(command));
  }
  const auto& words = line.options.words;
  if (words.size() > command.words_max)
    return complain(words[0] + ": unexpected \"" + words[command.words_max] + "\"");
  return -1;
}

int run(const Command& command, const Options& options) {
  try {
    return command.run(options);
  } catch (const speckv::ctl::Failure& failure) {
    if (options.json)
      std::puts(nlohmann::ordered_json{{"error", failure.text}}
                    .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                    .c_str());
    std::fprintf(stderr, "speckvctl: %s\n", failure.text.c_str());
  } catch (const std::exception& error) {  // an answer without an expected field: another version
    std::fprintf(stderr, "speckvctl: the daemon's answer was not understood: %s\n", error.what());
  }
  return 1;
}

}  // namespace

int main(int count, char** values) {
  Line line;
  const char* from_environment = std::getenv("SPECKV_SOCKET");
  line.options.socket =
      from_environment && *from_environment ? from_environment : "/run/speckv/speckv.sock";
  int done = parse_line(count, values, &line);
  if (done >= 0) return done;
  for (const Command& command : commands) {
    if (line.options.words[0] != command.name) continue;
    done = check_line(command, line);
    return done >= 0 ? done : run(command, line.options);
  }
  return complain("no command \"" + line.options.words[0] + "\"");
}
