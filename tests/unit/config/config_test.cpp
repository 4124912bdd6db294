// SPDX-License-Identifier: Apache-2.0
// config_test.cpp - a good file gives exactly what it says; every kind of mistake gives its line
// and a way out.
//
// How: small texts through parse_config() with a fixed list of policies and presets; each error is
// compared whole, so that a worse sentence is seen.
#include "config/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace speckv::config {
namespace {

const KnownNames& known() {
  static const KnownNames names{{"lru", "s3fifo"},
                                "lru",
                                "s3fifo",
                                {{"exact", 1}, {"q8", 2}, {"near-lossless", 3}},
                                "near-lossless"};
  return names;
}

Config good(std::string_view text) {
  Result<Config> parsed = parse_config(text, "t.toml", known());
  EXPECT_TRUE(parsed.ok()) << parsed.status().text();
  return parsed.ok() ? parsed.value() : Config{};
}

std::string error_of(std::string_view text) {
  const Result<Config> parsed = parse_config(text, "t.toml", known());
  if (parsed.ok()) return "(accepted)";
  EXPECT_EQ(parsed.status().error(), EINVAL);
  return parsed.status().text();
}

TEST(Config, default_policy_follows_the_data_threads) {
  EXPECT_EQ(good("[daemon]\ndata_threads = 1").namespaces[0].policy, "lru");
  EXPECT_EQ(good("[daemon]\ndata_threads = 2").namespaces[0].policy, "s3fifo");
  const Config both = good(
      "[daemon]\ndata_threads = 2\n[[namespace]]\nname = \"a\"\npolicy = \"lru\"\n"
      "[[namespace]]\nname = \"b\"");
  EXPECT_EQ(both.namespaces[0].policy, "lru") << "what is written stands";
  EXPECT_EQ(both.namespaces[1].policy, "s3fifo");
  EXPECT_EQ(known_names().policy_default, "continuation");
  EXPECT_EQ(known_names().policy_spread, "lru");
}

TEST(Config, empty_text_is_one_default_namespace) {
  const Config config = good("");
  ASSERT_EQ(config.namespaces.size(), 1u);
  EXPECT_EQ(config.namespaces[0].name, "default");
  EXPECT_EQ(config.namespaces[0].bytes, 256u << 20);
  EXPECT_EQ(config.namespaces[0].policy, "lru");
  EXPECT_EQ(config.namespaces[0].preset, "near-lossless");
  EXPECT_EQ(config.namespaces[0].preset_id, 3u);
  EXPECT_EQ(config.namespaces[0].index_entries, 4096u);
  EXPECT_EQ(config.daemon.metrics_port, 9108);
  const Config built_in = default_config(known());
  EXPECT_EQ(built_in.namespaces[0].bytes, config.namespaces[0].bytes);
  EXPECT_EQ(built_in.namespaces[0].index_entries, config.namespaces[0].index_entries);
  EXPECT_EQ(built_in.pool.bytes, config.pool.bytes);
}

TEST(Config, every_key_arrives_where_it_belongs) {
  const Config config = good(R"(
[daemon]
socket = "/tmp/s.sock"
socket_mode = "0600"
runtime_dir = "/tmp/rt"
data_threads = 3
encode_threads = 4
log_level = "debug"
metrics = "[::1]:80"
[pool]
medium = "devdax"
path = "/dev/dax0.0"
bytes = "2GiB"
numa_node = 1
huge_pages = false
emulated_gb_s = 12.5
emulated_ns = 250
[session]
arena_bytes = "2MiB"
arena_bytes_max = "4 MiB"
arenas_bytes_max = 16777216
sessions_max = 7
hold_ms_max = 5
holds_max = 9
[[namespace]]
name = "a-1"
bytes = "1.5GiB"
index_entries = 5000
policy = "s3fifo"
preset = "q8"
uids = [1, 2]
gids = [3]
users = ["root"]
groups = ["root"]
)");
  EXPECT_EQ(config.daemon.socket, "/tmp/s.sock");
  EXPECT_EQ(config.daemon.socket_mode, 0600u);
  EXPECT_EQ(config.daemon.runtime_dir, "/tmp/rt");
  EXPECT_EQ(config.daemon.data_threads, 3u);
  EXPECT_EQ(config.daemon.encode_threads, std::optional<uint32_t>(4));
  EXPECT_EQ(config.daemon.log_level, "debug");
  EXPECT_EQ(config.daemon.metrics_host, "::1");
  EXPECT_EQ(config.daemon.metrics_port, 80);
  EXPECT_EQ(config.pool.medium.kind, "devdax");
  EXPECT_EQ(config.pool.medium.path, "/dev/dax0.0");
  EXPECT_EQ(config.pool.bytes, 2ull << 30);
  EXPECT_EQ(config.pool.medium.numa_node, 1);
  EXPECT_FALSE(config.pool.medium.huge_pages);
  EXPECT_EQ(config.pool.medium.emulated_gb_s, 12.5);
  EXPECT_EQ(config.pool.medium.emulated_ns, 250u);
  EXPECT_EQ(config.session.arena_bytes, 2u << 20);
  EXPECT_EQ(config.session.arena_bytes_max, 4u << 20);
  EXPECT_EQ(config.session.arenas_bytes_max, 16u << 20);
  EXPECT_EQ(config.session.sessions_max, 7u);
  EXPECT_EQ(config.session.hold_ms_max, 5u);
  EXPECT_EQ(config.session.holds_max, 9u);
  ASSERT_EQ(config.namespaces.size(), 1u);
  const NamespaceConfig& space = config.namespaces[0];
  EXPECT_EQ(space.name, "a-1");
  EXPECT_EQ(space.bytes, 1536ull << 20);
  EXPECT_EQ(space.index_entries, 5000u);
  EXPECT_EQ(space.policy, "s3fifo");
  EXPECT_EQ(space.preset_id, 2u);
  EXPECT_EQ(space.uids, (std::vector<uint32_t>{1, 2, 0}));
  EXPECT_EQ(space.gids, (std::vector<uint32_t>{3, 0}));
}

TEST(Config, limits_of_clients_arrive_where_they_belong) {
  const Config config = good(R"(
[daemon]
metrics_connections_max = 3
[session]
holds_max = 9
fds_max = 500
connections_max = 40
connections_of_uid_max = 4
hello_ms_max = 700
log_lines_max = 100
)");
  EXPECT_EQ(config.daemon.metrics_connections_max, 3u);
  EXPECT_EQ(config.session.fds_max, 500u);
  EXPECT_EQ(config.session.connections_max, 40u);
  EXPECT_EQ(config.session.connections_of_uid_max, 4u);
  EXPECT_EQ(config.session.hello_ms_max, 700u);
  EXPECT_EQ(config.session.log_lines_max, 100u);
  EXPECT_EQ(config.namespaces[0].holds_max, 9u);
  EXPECT_EQ(config.namespaces[0].fds_max, 500u);
  EXPECT_EQ(config.namespaces[0].log_lines_max, 30u);
}

TEST(Config, namespaces_without_bytes_share_what_is_left) {
  const Config config = good(R"(
[pool]
bytes = "1GiB"
[[namespace]]
name = "a"
bytes = "512MiB"
[[namespace]]
name = "b"
[[namespace]]
name = "c"
)");
  EXPECT_EQ(config.namespaces[0].bytes, 512u << 20);
  EXPECT_EQ(config.namespaces[1].bytes, 256u << 20);
  EXPECT_EQ(config.namespaces[2].bytes, 256u << 20);
}

TEST(Config, what_clients_may_have_is_shared_and_adds_up) {
  const Config open = good("[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"b\"");
  EXPECT_EQ(open.session.holds_max, 8192u);
  EXPECT_EQ(open.namespaces[1].holds_max, 4096u);
  EXPECT_EQ(open.session.fds_max, 64u * 6 + 1024);
  EXPECT_EQ(open.namespaces[1].fds_max, 32u * 6 + 512);
  const Config written = good(
      "[daemon]\ndata_threads = 3\n[session]\nholds_max = 7\nsessions_max = 10\n"
      "[[namespace]]\nname = \"a\"\nholds_max = 0\nfds_max = 8\n[[namespace]]\nname = \"b\"");
  EXPECT_EQ(written.namespaces[0].holds_max, 0u);
  EXPECT_EQ(written.namespaces[1].holds_max, 3u);
  EXPECT_EQ(written.namespaces[0].fds_max, 8u);
  EXPECT_EQ(written.session.fds_max, 10u * 8 + 1024);
  const Config summed = good("[[namespace]]\nname = \"a\"\nholds_max = 5");
  EXPECT_EQ(summed.session.holds_max, 5u);
}

TEST(Config, socket_follows_runtime_dir) {
  EXPECT_EQ(good("[daemon]\nruntime_dir = \"/tmp/x\"").daemon.socket, "/tmp/x/speckv.sock");
  EXPECT_EQ(good("[daemon]\nmetrics = \"\"").daemon.metrics_port, 0);
}

struct Mistake {
  const char* text;
  const char* error;
};

class ConfigMistakes : public ::testing::TestWithParam<Mistake> {};

TEST(Config, an_engine_of_the_driver) {
  const Config plain = good("");
  EXPECT_EQ(plain.engine.kind, "auto");
  EXPECT_FALSE(may_have_device(plain)) << "shm has none";
  const Config config = good(R"(
[pool]
medium = "extent"
path = "/dev/speckv0"
[engine]
kind = "device"
check_one_in = 1
deadline_ms = 50
staging_bytes = "8MiB"
)");
  EXPECT_EQ(config.engine.kind, "device");
  EXPECT_EQ(config.engine.check_one_in, 1u);
  EXPECT_EQ(config.engine.deadline_ms, 50u);
  EXPECT_EQ(config.engine.staging_bytes, 8u << 20);
  EXPECT_EQ(engine_memory_bytes(config), 16u << 20) << "staging, and what is compared with it";
  EXPECT_EQ(engine_memory_bytes(plain), 0u);
  EXPECT_NE(describe(config).find("device, 1 of 1 segments checked, answers within 50 ms, 8MiB of "
                                  "staging"),
            std::string::npos)
      << describe(config);
}

TEST_P(ConfigMistakes, says_where_what_and_how) {
  EXPECT_EQ(error_of(GetParam().text), GetParam().error);
}

const Mistake mistakes[] = {
    {"[daemon]\ndata_treads = 2",
     "t.toml:2:1: unknown key in [daemon]: \"data_treads\"; did you mean \"data_threads\"?"},
    {"[pol]\n", "t.toml:1:2: unknown section: \"pol\"; did you mean \"pool\"?"},
    {"[engine]\nkind = \"device\"",
     "t.toml:2:8: [engine] kind = \"device\" needs [pool] medium = \"extent\": a codec engine "
     "reaches the driver's extents alone"},
    {"[engine]\nstaging_bytes = \"5MiB\"",
     "t.toml:2:17: [engine] staging_bytes must be a multiple of 2MiB: a command has so much"},
    {"[engine]\nkind = \"gpu\"",
     "t.toml:2:8: [engine] kind = \"gpu\" is none of \"auto\", \"cpu\", \"device\"; did you mean "
     "\"cpu\"?"},
    {"[session]\nzzz = 1",
     "t.toml:2:1: unknown key in [session]: \"zzz\"; known are arena_bytes_max arena_bytes "
     "arenas_bytes_max "
     "sessions_max hold_ms_max holds_max layouts_max widths_bytes_max fds_max connections_max "
     "connections_of_uid_max hello_ms_max log_lines_max prefetch_bytes_s"},
    {"[session]\nholds_max = 5\n[[namespace]]\nname = \"a\"\nholds_max = 6",
     "t.toml:5:13: [[namespace]] holds_max = 6 must be from 0 to 5"},
    {"[[namespace]]\nname = \"a\"\nspill_path = \"/x\"",
     "t.toml:3:14: [[namespace]] spill_path needs spill_bytes: how much of the file or device to "
     "use"},
    {"[[namespace]]\nname = \"a\"\nspill_bytes = \"1GiB\"",
     "t.toml:3:15: [[namespace]] spill_bytes has no meaning without spill_path: name the file or "
     "device"},
    {"[[namespace]]\nname = \"a\"\nspill_write_bytes_s = \"1GiB\"",
     "t.toml:3:23: [[namespace]] spill_write_bytes_s has no meaning without spill_path: name the "
     "file or device"},
    {"[[namespace]]\nname = \"a\"\nspill_path = \"/x\"\nspill_bytes = \"1GiB\"\n"
     "spill_write_bytes_s = 0",
     "t.toml:5:23: [[namespace]] spill_write_bytes_s must be from 1MiB to 64TiB"},
    {"[[namespace]]\nname = \"a\"\nprefetch_bytes_s = \"1MiB\"\nprefetch_bytes_s_min = \"2MiB\"",
     "t.toml:4:24: [[namespace]] prefetch_bytes_s_min is more than prefetch_bytes_s, 1MiB: what is "
     "guaranteed is a part of that"},
    {"[session]\nprefetch_bytes_s = \"3MiB\"\n[[namespace]]\nname = \"a\"\n"
     "prefetch_bytes_s_min = \"2MiB\"\n[[namespace]]\nname = \"b\"\nprefetch_bytes_s_min = "
     "\"2MiB\"",
     "t.toml:1:1: the namespaces are guaranteed prefetch_bytes_s_min of 4MiB a second together, "
     "more than [session] prefetch_bytes_s = 3MiB: raise it or guarantee less"},
    {"[[namespace]]\nname = \"a\"\nspill_path = \"/x\"\nspill_bytes = 0",
     "t.toml:4:15: [[namespace]] spill_bytes must be from 32MiB to 256TiB"},
    {"[[namespace]]\nname = \"a\"\nspeculation = true",
     "t.toml:3:15: [[namespace]] speculation has no meaning without spill_path: there is no tier "
     "to read ahead from"},
    {"[[namespace]]\nname = \"a\"\nspeculation_bytes_s = 5",
     "t.toml:3:23: [[namespace]] speculation_bytes_s has no meaning without spill_path: there is "
     "no tier to read ahead from"},
    {"[daemon]\ndata_threads = 2\n[[namespace]]\nname = \"a\"\nspill_path = \"/x\"\n"
     "spill_bytes = \"1GiB\"\nspeculation = true",
     "t.toml:7:15: [[namespace]] speculation = true needs data_threads = 1: with more, a "
     "sequence's blocks lie apart and nobody knows which comes next"},
    {"[[namespace]]\nname = \"a\"\nspill_path = \"/x\"\nspill_bytes = \"1GiB\"\n"
     "speculation = \"on\"",
     "t.toml:5:15: [[namespace]] speculation is a string, expected true or false"},
    {"[daemon]\ndata_threads = 4\n[session]\nfds_max = 8",
     "t.toml:4:11: [session] fds_max = 8 must be from 9 to 1048576"},
    {"[session]\nconnections_max = 20\nconnections_of_uid_max = 13",
     "t.toml:3:26: [session] connections_of_uid_max = 13 must be from 1 to 12"},
    {"[daemon]\ndata_threads = \"two\"",
     "t.toml:2:16: [daemon] data_threads is a string, expected a whole number"},
    {"[daemon]\nencode_threads = 257",
     "t.toml:2:18: [daemon] encode_threads = 257 must be from 0 to 256"},
    {"[daemon]\ndata_threads = 65", "t.toml:2:16: [daemon] data_threads = 65 must be from 1 to 64"},
    {"[daemon]\nlog_level = \"inof\"",
     "t.toml:2:13: [daemon] log_level = \"inof\" is none of \"trace\", \"debug\", \"info\", "
     "\"warn\", \"error\", "
     "\"off\"; did you mean \"info\"?"},
    {"[daemon]\nsocket = \"speckv.sock\"",
     "t.toml:2:10: [daemon] socket = \"speckv.sock\" must be an absolute path"},
    {"[daemon]\nsocket_mode = \"0888\"",
     "t.toml:2:15: [daemon] socket_mode = \"0888\" is no mode: expected octal digits up to "
     "\"0777\", as \"0660\""},
    {"[daemon]\nmetrics = \"localhost:1\"",
     "t.toml:2:11: [daemon] metrics = \"localhost:1\" is no address: expected \"127.0.0.1:9108\", "
     "\"[::1]:9108\", or "
     "\"\" for none"},
    {"[pool]\nbytes = \"2GB\"",
     "t.toml:2:9: [pool] bytes = \"2GB\" is no size: expected bytes as a number, or like "
     "\"64MiB\", \"2GiB\""},
    {"[pool]\nbytes = 4096", "t.toml:2:9: [pool] bytes must be from 8MiB to 64TiB"},
    {"[pool]\nbytes = -1", "t.toml:2:9: [pool] bytes must be from 8MiB to 64TiB"},
    {"[pool]\nhuge_pages = 1",
     "t.toml:2:14: [pool] huge_pages is a whole number, expected true or false"},
    {"[pool]\nemulated_gb_s = nan",
     "t.toml:2:17: [pool] emulated_gb_s = nan must be from 0 to 10000"},
    {"[pool]\nmedium = \"devdax\"",
     "t.toml:1:1: [pool] path is missing: medium = \"devdax\" needs the device, as path = "
     "\"/dev/dax0.0\""},
    {"[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"a\"",
     "t.toml:3:1: [[namespace]] \"a\" is there twice: rename or merge one"},
    {"[[namespace]]\nbytes = \"8MiB\"",
     "t.toml:1:1: [[namespace]] name is missing: every namespace needs one"},
    {"[[namespace]]\nname = \"../x\"",
     "t.toml:2:8: [[namespace]] name = \"../x\" must be made of a-z, A-Z, 0-9, '-', '_' and '.', "
     "and begin with a "
     "letter or digit: it names files"},
    {"[namespace]\nname = \"a\"",
     "t.toml:1:1: namespace must be written as [[namespace]], with two brackets, once for each"},
    {"[[namespace]]\nname = \"a\"\npolicy = \"lur\"",
     "t.toml:3:10: [[namespace]] policy = \"lur\" is none of \"lru\", \"s3fifo\"; did you mean "
     "\"lru\"?"},
    {"[[namespace]]\nname = \"a\"\npreset = \"q9\"",
     "t.toml:3:10: [[namespace]] preset = \"q9\" is none of \"exact\", \"q8\", \"near-lossless\"; "
     "did you mean \"q8\"?"},
    {"[[namespace]]\nname = \"a\"\nusers = [\"no-such-user-here\"]",
     "t.toml:3:10: [[namespace]] users: no user \"no-such-user-here\" on this machine; create it, "
     "or write its number "
     "under uids"},
    {"[[namespace]]\nname = \"a\"\nuids = [-1]",
     "t.toml:3:9: [[namespace]] uids must hold whole numbers from 0 to 4294967294"},
    {"[pool]\nbytes = \"16MiB\"\n[[namespace]]\nname = \"a\"\nbytes = \"32MiB\"",
     "t.toml:1:1: the namespaces want 32MiB, more than [pool] bytes = 16MiB: raise it or give them "
     "less"},
    {"[session]\narena_bytes = \"8MiB\"\narena_bytes_max = \"4MiB\"",
     "t.toml:2:15: [session] arena_bytes = 8MiB is more than arena_bytes_max, 4MiB"},
    {"[pool]\nmedium = \"devdax\"\npath = \"/dev/dax0.0\"\n[[namespace]]\nname = "
     "\"a\"\n[[namespace]]\nname = \"b\"",
     "t.toml:4:1: medium = \"devdax\" has no isolation between clients, so it takes one namespace, "
     "not 2"},
};
INSTANTIATE_TEST_SUITE_P(All, ConfigMistakes, ::testing::ValuesIn(mistakes));

TEST(Config, broken_toml_has_its_place) {
  const std::string error = error_of("[daemon]\nsocket = \n");
  EXPECT_EQ(error.rfind("t.toml:2:", 0), 0u) << error;
  EXPECT_NE(error.find("no valid TOML"), std::string::npos) << error;
}

TEST(Config, characters_that_break_the_toml_reader_are_errors) {
  EXPECT_NE(error_of("[+x]").find("no valid TOML"), std::string::npos);
  EXPECT_EQ(error_of("[daemon]\nlog_level = [\u0162\n"),
            "t.toml:2:14: a character that is not ASCII; only comments may hold such");
  EXPECT_EQ(error_of("[daemon]\nsocket = \"/#\u00e4\""),
            "t.toml:2:13: a character that is not ASCII; only comments may hold such");
  EXPECT_EQ(good("# \u00e4\n[daemon]\nsocket = \"/a\" # \u0162 \"").daemon.socket, "/a");
  EXPECT_EQ(good("[daemon]\nsocket = \"/a\\\\\" # \u0162").daemon.socket, "/a\\");
}

TEST(Config, all_mistakes_are_told_at_once) {
  const std::string error = error_of("[daemon]\ndata_threads = 0\n[pool]\nmedum = \"shm\"");
  EXPECT_EQ(error,
            "t.toml:2:16: [daemon] data_threads = 0 must be from 1 to 64\n"
            "t.toml:4:1: unknown key in [pool]: \"medum\"; did you mean \"medium\"?");
}

TEST(Config, sizes) {
  uint64_t bytes = 0;
  EXPECT_TRUE(parse_bytes("64MiB", &bytes));
  EXPECT_EQ(bytes, 64u << 20);
  EXPECT_TRUE(parse_bytes("0.5KiB", &bytes));
  EXPECT_EQ(bytes, 512u);
  EXPECT_TRUE(parse_bytes("18446744073709551615", &bytes));
  EXPECT_EQ(bytes, UINT64_MAX);
  for (const char* bad : {"", "MiB", "1.KiB", ".5KiB", "1.0001KiB", "-1", "1e9",
                          "18446744073709551616", "17179869184GiB", "1 MiB ", "0x10", "64mib"})
    EXPECT_FALSE(parse_bytes(bad, &bytes)) << bad;
  EXPECT_EQ(format_bytes(3u << 20), "3MiB");
  EXPECT_EQ(format_bytes(1000), "1000 bytes");
  EXPECT_EQ(format_bytes(0), "0 bytes");
}

TEST(Config, who_may_connect) {
  NamespaceConfig space;
  EXPECT_TRUE(may_connect(space, 7, {}, 7));
  EXPECT_TRUE(may_connect(space, 0, {}, 7));
  EXPECT_FALSE(may_connect(space, 8, {}, 7));
  space.uids = {8};
  space.gids = {100};
  const gid_t groups[] = {5, 100};
  EXPECT_TRUE(may_connect(space, 8, {}, 7));
  EXPECT_FALSE(may_connect(space, 7, {}, 7))
      << "a list replaces the default, for the daemon's uid too";
  EXPECT_FALSE(may_connect(space, 0, {}, 7));
  EXPECT_TRUE(may_connect(space, 9, groups, 7));
  space.anyone = true;
  EXPECT_TRUE(may_connect(space, 9, {}, 7));
}

TEST(Config, speculation_is_on_where_it_can_be) {
  const std::string tier =
      "[[namespace]]\nname = \"a\"\nspill_path = \"/x\"\nspill_bytes = \"1GiB\"\n";
  const auto space_of = [](const std::string& text) {
    const Result<Config> config = parse_config(text, "t.toml", known());
    EXPECT_TRUE(config.ok()) << config.status().text();
    return config.value().namespaces.at(0);
  };
  const NamespaceConfig as_is = space_of(tier);
  EXPECT_TRUE(as_is.speculation);
  EXPECT_EQ(as_is.speculation_bytes_s, limits::prefetch_bytes_s_default / 2);
  EXPECT_EQ(speculation_memory_bytes(as_is), (as_is.index_entries + as_is.spill_entries + 2) * 88);
  EXPECT_EQ(space_of(tier + "prefetch_bytes_s = 100").speculation_bytes_s, 50u);
  EXPECT_FALSE(space_of(tier + "speculation = false").speculation);
  EXPECT_FALSE(space_of(tier + "speculation_bytes_s = 0").speculation);
  EXPECT_FALSE(space_of("[daemon]\ndata_threads = 2\n" + tier).speculation);
  EXPECT_FALSE(space_of("[[namespace]]\nname = \"a\"").speculation);
  EXPECT_EQ(
      spill_memory_bytes(as_is, 1) - spill_memory_bytes(space_of(tier + "speculation = false"), 1),
      speculation_memory_bytes(as_is));
  const Result<Config> config = parse_config(tier, "t.toml", known());
  EXPECT_NE(describe(config.value()).find("reads ahead by guess, 512MiB a second"),
            std::string::npos)
      << describe(config.value());
}

TEST(Config, files_that_are_none) {
  EXPECT_EQ(load_config("/no/such/file.toml", known()).status().error(), ENOENT);
  EXPECT_EQ(load_config("/dev/zero", known()).status().error(), EINVAL);
  EXPECT_EQ(load_config("/tmp", known()).status().error(), EINVAL);
}

TEST(Config, file_and_description) {
  const std::string path =
      ::testing::TempDir() + "speckv_config_" + std::to_string(getpid()) + ".toml";
  std::ofstream(path) << "[[namespace]]\nname = \"tenant\"\nbytes = \"64MiB\"\nuids = [1000]\n";
  const Result<Config> config = load_config(path, known());
  std::remove(path.c_str());
  ASSERT_TRUE(config.ok()) << config.status().text();
  const std::string text = describe(config.value());
  EXPECT_NE(text.find("[[namespace]] tenant"), std::string::npos) << text;
  EXPECT_NE(text.find("uids 1000"), std::string::npos) << text;
  EXPECT_NE(text.find("memory at most"), std::string::npos) << text;
  EXPECT_GT(memory_bytes_max(config.value()), 64u << 20);
}

}  // namespace
}  // namespace speckv::config
