// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv-qa: multi-round questions over long documents, with and without speckv, on a
// real engine.
//
//   speckv-qa plan --engine DIR --workload FILE --scale quick|full --out DIR
//       writes DIR/speckvd.toml: one namespace a preset, each as large as the engine's own RAM
//       cache
//   speckv-qa run  the same and --socket PATH
//       checks answers, measures every arm, writes DIR/summary.json and DIR/report.html, prints the
//       table
//   speckv-qa judge  the same
//       checks answers and measures what each preset costs, no arm: DIR/quality.json
//
// Ends with 0, 1 when it could not run, 2 for wrong arguments, 3 when answers are wrong. Called by
// ./run.
#include <malloc.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include "arm_speckv.hpp"
#include "check.hpp"
#include "llama/weights.hpp"
#include "quality.hpp"
#include "run.hpp"
#include "summary.hpp"

namespace speckv::qa {

namespace {

struct Preset {
  const char* name;
  uint32_t id;
};
constexpr Preset kPresets[] = {{"exact", SPECKV_PRESET_EXACT},
                               {"q8", SPECKV_PRESET_Q8},
                               {"near-lossless", SPECKV_PRESET_NEAR_LOSSLESS},
                               {"balanced", SPECKV_PRESET_BALANCED},
                               {"compact", SPECKV_PRESET_COMPACT},
                               {"tight", SPECKV_PRESET_TIGHT}};
constexpr char kCheckSpace[] = "check";
constexpr uint64_t kUnitBytes = 2u << 20;  // namespaces come in whole slabs

using Arguments = std::map<std::string, std::string>;

// Everything both commands need before they part.
struct Stage {
  explicit Stage(const Arguments& arguments)
      : load(read_workload(arguments.at("workload"), arguments.at("scale"))),
        model(arguments.at("engine") + "/models/" + load.model_file),
        pool(load.engine.threads) {
    load_texts(arguments.at("workload"), arguments.at("engine") + "/texts", model, &load);
    // the shared context has a second sequence id to lend (save_tokens)
    const uint32_t tokens = (load.tokens_max() + 511) / 256 * 256;
    shared = std::make_unique<Context>(model, pool, load.engine, 2, tokens, true);
    std::string why;
    if (!llama::probe_shape(shared->get(), &shape, &why)) throw Failure(why);
    kv_bytes = uint64_t(load.scale.sessions) * llama::state_bytes(shape, load.tokens_max());
    pool_bytes = uint64_t(double(kv_bytes) * load.pool_share) / kUnitBytes * kUnitBytes;
    options.block_tokens = load.block_tokens;
    options.page_tokens = load.page_tokens;
  }

  // Presets that this build of libspeckv can store this model's KV with.
  std::vector<Preset> presets() const {
    speckv_layout layout;
    std::string why;
    if (!llama::describe_model(model.get(), shape, load.block_tokens, load.page_tokens, &layout,
                               &why)) {
      throw Failure(why);
    }
    std::vector<Preset> known;
    for (const Preset& preset : kPresets) {
      layout.preset = preset.id;
      if (speckv_layout_check(&layout, nullptr, 0) == 0) known.push_back(preset);
    }
    return known;
  }

  Workload load;
  Model model;
  ThreadPool pool;
  std::unique_ptr<Context> shared;
  llama::StateShape shape;
  uint64_t kv_bytes = 0;
  uint64_t pool_bytes = 0;
  StoreOptions options;
};

int plan(const Arguments& arguments) {
  const Stage stage(arguments);
  const std::string out = arguments.at("out");
  std::ofstream file(out + "/speckvd.toml");
  const uint64_t check_bytes = 64u << 20;
  const std::vector<Preset> presets = stage.presets();
  file
      << "# Written by speckv-qa plan: a namespace for each preset, each as large as the engine's\n"
         "# own RAM cache in the same run.\n[daemon]\nsocket = \""
      << out << "/speckvd.sock\"\nruntime_dir = \"" << out
      << "\"\nmetrics = \"\"\nlog_level = \"warn\"\n\n[pool]\nmedium = \"shm\"\nbytes = "
      << stage.pool_bytes * presets.size() + check_bytes << "\n";
  const auto add = [&](const std::string& name, const char* preset, uint64_t bytes) {
    file << "\n[[namespace]]\nname = \"" << name << "\"\nbytes = " << bytes << "\npreset = \""
         << preset << "\"\n";
  };
  for (const Preset& preset : presets) add(preset.name, preset.name, stage.pool_bytes);
  add(kCheckSpace, "exact", check_bytes);
  if (!file.flush()) throw Failure("cannot write '" + out + "/speckvd.toml'");
  return 0;
}

std::array<uint8_t, SPECKV_DIGEST_BYTES> digest_of(const std::string& file) {
  std::array<uint8_t, SPECKV_DIGEST_BYTES> digest;
  std::string why;
  if (!llama::weights_digest(file, digest.data(), &why)) throw Failure(why);
  return digest;
}

StoreOptions store_options(const Stage& stage, const std::string& space, uint32_t preset) {
  StoreOptions options = stage.options;
  options.namespace_name = space;
  options.preset = preset;
  return options;
}

// Right answers with flash attention on and off: V lies by token, then by channel.
CheckResult check_both(Stage& stage) {
  CheckResult result;
  for (bool flash_attention : {true, false}) {
    EngineOptions engine = stage.load.engine;
    engine.flash_attention = flash_attention;
    Context context(stage.model, stage.pool, engine, 2, 1024, true);
    llama::StateShape shape;
    std::string why;
    if (!llama::probe_shape(context.get(), &shape, &why)) throw Failure(why);
    Store store(store_options(stage, kCheckSpace, SPECKV_PRESET_EXACT), context, shape);
    check_answers(stage.load, context, shape, store, &result);
  }
  return result;
}

// Returns: what each of presets() costs, the first being exact. In the arms' namespaces, after they
// are done.
std::vector<Quality> preset_quality(Stage& stage, const std::string& model_file) {
  const Model model(model_file);
  const Workload& load = stage.load;
  const uint32_t blocks = load.quality_first_block + load.quality_windows;
  Context context(model, stage.pool, load.engine, 2, blocks * load.block_tokens + 256, true);
  llama::StateShape shape;
  std::string why;
  if (!llama::probe_shape(context.get(), &shape, &why)) throw Failure(why);
  std::vector<std::unique_ptr<Store>> stores;
  for (const Preset& preset : stage.presets()) {
    StoreOptions options = store_options(stage, preset.name, preset.id);
    options.weights_digest = digest_of(model_file);
    options.salt += " quality";
    stores.push_back(std::make_unique<Store>(options, context, shape));
  }
  std::vector<Store*> lossy;
  for (size_t i = 1; i < stores.size(); ++i) lossy.push_back(stores[i].get());
  std::vector<Quality> all = measure_quality(load, context, *stores[0], lossy);
  const Quality reference{.top1_same = 1, .positions = all.empty() ? 0 : all[0].positions};
  all.insert(all.begin(), reference);
  return all;
}

std::string fresh_salt() {
  std::random_device random;
  std::string salt(16, '\0');
  for (char& byte : salt) byte = char(random());
  return salt;
}

std::string medium_words(const std::string& socket) {
  const SpaceStatus space = ask_status(socket).begin()->second;
  return "pool on medium " + space.medium + " (DRAM stands in for CXL memory), pages of " +
         std::to_string(space.page_bytes / 1024) + " KiB";
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

int run(const Arguments& arguments) {
  Stage stage(arguments);
  stage.options.socket = arguments.at("socket");
  stage.options.weights_digest =
      digest_of(arguments.at("engine") + "/models/" + stage.load.model_file);
  stage.options.salt = fresh_salt();
  Findings findings;
  findings.cpu = cpu_name();
  findings.library = speckv_version();
  findings.medium = medium_words(stage.options.socket);
  findings.threads = stage.pool.threads();
  findings.pool_bytes = stage.pool_bytes;
  findings.kv_bytes = stage.kv_bytes;

  std::fprintf(stderr, "checking answers\n");
  findings.check = check_both(stage);

  Context all(stage.model, stage.pool, stage.load.engine, stage.load.scale.sessions,
              (stage.load.tokens_max() + 511) / 256 * 256, false);
  Alone alone(kAlone, *stage.shared);
  HostCache host(kHostCache, *stage.shared, stage.shape, stage.pool_bytes);
  Resident resident(kResident, all, stage.shape, stage.load.scale.sessions);
  std::vector<std::unique_ptr<Speckv>> ours;
  for (const Preset& preset : stage.presets()) {
    ours.push_back(std::make_unique<Speckv>(speckv_arm(preset.name), *stage.shared,
                                            store_options(stage, preset.name, preset.id),
                                            stage.shape));
  }
  std::vector<Arm*> arms = {&alone, &host, &resident};
  for (const auto& arm : ours) arms.push_back(arm.get());

  load_documents(stage.load, *stage.shared, arms);
  findings.arms = run_turns(stage.load, arms);
  for (const auto& arm : ours)
    if (arm->name() == speckv_arm("near-lossless"))
      findings.fresh_ratio = fresh_ratio(stage.load, alone, *arm);

  const std::vector<Quality> quality =
      preset_quality(stage, arguments.at("engine") + "/models/" + stage.load.quality_model_file);
  for (size_t i = 0; i < quality.size(); ++i) findings.arms[3 + i].quality = quality[i];

  judge(&findings);
  print_table(findings, stage.load);
  write_summary(arguments.at("out") + "/summary.json", findings, stage.load);
  write_report(arguments.at("out") + "/report.html", findings, stage.load);
  return findings.check.passed() ? 0 : 3;
}

// The answers and the presets' loss alone, for a bench that measures arms itself.
int judge_only(const Arguments& arguments) {
  Stage stage(arguments);
  stage.options.socket = arguments.at("socket");
  stage.options.weights_digest =
      digest_of(arguments.at("engine") + "/models/" + stage.load.model_file);
  stage.options.salt = fresh_salt();
  std::fprintf(stderr, "checking answers in one process\n");
  const CheckResult check = check_both(stage);
  const std::vector<Quality> quality =
      preset_quality(stage, arguments.at("engine") + "/models/" + stage.load.quality_model_file);
  std::vector<std::pair<std::string, Quality>> named;
  const std::vector<Preset> presets = stage.presets();
  for (size_t i = 0; i < quality.size(); ++i) named.emplace_back(presets[i].name, quality[i]);
  write_quality(arguments.at("out") + "/quality.json", check, named);
  return check.passed() ? 0 : 3;
}

int usage() {
  std::fprintf(stderr,
               "usage: speckv-qa plan|run|judge --engine DIR --workload FILE --scale quick|full "
               "--out DIR [--socket PATH]\n");
  return 2;
}

int start(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) return usage();
  Arguments arguments;
  for (int i = 2; i < argc; i += 2) {
    if (std::strncmp(argv[i], "--", 2) != 0) return usage();
    arguments[argv[i] + 2] = argv[i + 1];
  }
  const std::string command = argv[1];
  std::vector<const char*> needed = {"engine", "workload", "scale", "out"};
  if (command != "plan") needed.push_back("socket");
  for (const char* name : needed) {
    if (arguments.count(name) == 0) return usage();
  }
  if (arguments["scale"] != "quick" && arguments["scale"] != "full") return usage();
  if (command == "plan") return plan(arguments);
  if (command == "judge") return judge_only(arguments);
  return command == "run" ? run(arguments) : usage();
}

}  // namespace

}  // namespace speckv::qa

int main(int argc, char** argv) {
  // memory that a dropped state leaves is used again without new page faults: a server's cache
  // would
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  try {
    return speckv::qa::start(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "speckv-qa: %s\n", error.what());
    return 1;
  }
}
