// SPDX-License-Identifier: Apache-2.0
// doctor_judge.cpp - see doctor.hpp. One function a check; none asks anybody.
#include <algorithm>
#include <cstdio>

#include "tools/ctl.hpp"
#include "tools/doctor.hpp"

namespace speckv::ctl {
namespace {

using nlohmann::ordered_json;
using Findings = std::vector<Finding>;

constexpr double near_limit = 0.9;       // of a quota
constexpr double stalled_ms_max = 5000;  // as /healthz and the watchdog have it
constexpr double waste_max = 0.02;       // of a pool
constexpr double failed_max = 0.01;      // of puts
constexpr double near_failed_max = 0.2;  // of blocks brought near: some leave the pool meanwhile
constexpr double huge_page_bytes = 2 << 20;

double number(const ordered_json& object, const char* field) {
  return object.at(field).get<double>();
}
bool has(const ordered_json& object, const char* field) { return object.contains(field); }
std::string word(const ordered_json& object, const char* field) {
  return has(object, field) ? object.at(field).get<std::string>() : "";
}

void add(Findings* ret, bool good, const std::string& check, const std::string& text,
         const std::string& advice, State otherwise = State::advice) {
  ret->push_back({check, good ? State::good : otherwise, text, good ? "" : advice});
}

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[200];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

void check_isolation(const ordered_json& daemon, Findings* ret) {
  const std::string kind = word(daemon, "isolation_kind");
  const bool whole = kind == "exports" || kind == "mount";
  const std::string advice =
      kind == "device"
          ? "everyone who may open the device sees all of it: one tenant only; \"extent\" (the "
            "driver) or \"shm\" keep tenants apart"
          : "processes of the daemon's uid could write: run it as root or give it CAP_SYS_ADMIN "
            "(the unit file does), with medium \"shm\", or use medium \"extent\"";
  add(ret, whole, "isolation", word(daemon, "isolation"), advice);
}

void check_restart(const ordered_json& daemon, Findings* ret) {
  const bool survives = daemon.at("survives_daemon").get<bool>();
  add(ret, survives, "restart",
      survives ? "blocks outlive the daemon" : "blocks end with the daemon",
      "use medium \"shm\" (with CAP_SYS_ADMIN), \"extent\" (under systemd or speckvd-keeper) or "
      "\"devdax\"");
}

void check_engine(const ordered_json& daemon, Findings* ret) {
  const std::string isa = word(daemon, "codec_isa");
  add(ret, isa != "scalar" && isa != "EMU128", "codec", isa,
      "no vector instructions in use: expect a tenth of the speed");
  if (daemon.at("emulated").get<bool>())
    add(ret, false, "emulation", word(daemon, "medium"),
        "the medium is throttled: figures of it are emulated; remove emulated_... for production");
  if (!has(daemon, "layouts_substituted") || number(daemon, "layouts_substituted") == 0) return;
  add(ret, false, "head sizes",
      format("%.0f registrations of heads that their preset does not take",
             number(daemon, "layouts_substituted")),
      "they are stored by q8 (of lossless: exact), at its ratio: presets take multiples of 16 up "
      "to 256");
}

// Memory of a tmpfs or memfd can be swapped out: a hit would then read a disk.
void check_swap(const ordered_json& daemon, const Machine& machine, Findings* ret) {
  const std::string kind = word(daemon, "medium_kind");
  if (kind == "devdax" || kind == "extent") return;
  add(ret, !machine.swap, "swap", machine.swap ? "on" : "off",
      "the pool's pages can be swapped out: swapoff, or keep enough memory free");
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& each : words) all += (all.empty() ? "" : ", ") + each;
  return all;
}

// Where the driver is used, or was meant to be: each kernel that may boot next needs its module.
void check_driver(const ordered_json& daemon, const Machine& machine, Findings* ret) {
  const bool used = word(daemon, "medium_kind") == "extent" || machine.module_loaded;
  if (!used && machine.with_module.empty()) return;
  std::vector<std::string> without;
  std::set_difference(machine.kernels.begin(), machine.kernels.end(), machine.with_module.begin(),
                      machine.with_module.end(), std::back_inserter(without));
  add(ret, without.empty(), "driver",
      without.empty() ? "speckv.ko is installed for every kernel in /lib/modules"
                      : "no speckv.ko for " + joined(without),
      "booted, such a kernel has no /dev/speckv0: `dkms autoinstall -k KERNEL` says why it was "
      "left out; its DAX layout may not be known yet (docs/driver.md)");
  if (machine.secure_boot != Machine::SecureBoot::on) return;
  add(ret, machine.module_loaded, "Secure Boot",
      machine.module_loaded ? "on, and speckv.ko was taken" : "on, and speckv.ko is not loaded",
      "only signed modules load: `mokutil --import /var/lib/dkms/mok.pub`, once, and reboot");
}

void check_descriptors(const ordered_json& daemon, Findings* ret) {
  if (!has(daemon, "fds_max")) return;
  const double limit = number(daemon, "fds_max"), wanted = number(daemon, "fds_wanted");
  add(ret, wanted <= limit, "descriptors",
      format("%.0f open, at most %.0f, all limits need %.0f", number(daemon, "fds"), limit, wanted),
      "sessions are refused before sessions_max: raise LimitNOFILE, or lower sessions_max");
}

void check_memory(const ordered_json& daemon, Findings* ret) {
  if (!has(daemon, "memory_limit_bytes") || number(daemon, "memory_limit_bytes") == 0) return;
  const double limit = number(daemon, "memory_limit_bytes");
  const double most = number(daemon, "memory_at_most_bytes");
  add(ret, most <= limit, "memory limit",
      human_bytes(limit) + " of the control group, " + human_bytes(most) + " at most wanted",
      "beyond it the kernel kills the daemon without a word: raise MemoryMax, or lower bytes and "
      "arenas_bytes_max");
}

// Memory of the driver's device that a client gave back, or lost, while somebody has it pinned.
void check_pins(const ordered_json& daemon, Findings* ret) {
  if (!has(daemon, "pinned_bytes") || number(daemon, "pinned_bytes") == 0) return;
  std::string who;
  if (number(daemon, "pinner_bytes") > 0)
    who = format("; process %.0f of uid %.0f has ", number(daemon, "pinner_pid"),
                 number(daemon, "pinner_uid")) +
          human_bytes(number(daemon, "pinner_bytes"));
  add(ret, false, "pinned memory",
      human_bytes(number(daemon, "pinned_bytes")) + " freed and still pinned" + who,
      "no pool can have it until the pins are gone: end that process (RDMA, io_uring buffers and "
      "pipes pin pages)");
}

void check_threads(const ordered_json& status, Findings* ret) {
  for (const ordered_json& thread : status.at("threads")) {
    if (!has(thread, "stalled_ms")) continue;
    const double age = number(thread, "stalled_ms");
    add(ret, age < stalled_ms_max, "data thread " + thread.at("shard").dump(),
        age < stalled_ms_max ? "turns" : "has not turned for " + human_time(age / 1e3),
        "its clients wait: /proc/PID/task/*/wchan says for what; only a restart helps, and keeps "
        "the blocks",
        State::fault);
  }
}

// The codec engine of each data thread that has one, and one that is wanted and not there.
void check_engines(const ordered_json& status, Findings* ret) {
  const ordered_json& daemon = status.at("daemon");
  bool any = false;
  for (const ordered_json& thread : status.at("threads")) {
    if (!has(thread, "engine") || word(thread.at("engine"), "state") == "none") continue;
    any = true;
    const ordered_json& engine = thread.at("engine");
    const bool live = word(engine, "state") == "live";
    const std::string numbers =
        format("%.0f segments encoded, %.0f compared, %.0f wrong answers, %.0f late",
               number(engine, "encoded_segments"), number(engine, "checked_segments"),
               number(engine, "lies"), number(engine, "late"));
    add(ret, live, "codec engine of thread " + thread.at("shard").dump(),
        live ? numbers : "set aside: " + word(engine, "reason") + "; " + numbers,
        "the cpu encodes meanwhile, and it is tried again by itself; "
        "/sys/bus/pci/drivers/speckv/*/speckv has the driver's view; one that is dead there: "
        "unbind it and bind it anew");
    if (number(engine, "lies") > 0 && live)
      add(ret, false, "answers of the codec engine", numbers,
          "it lied before: set check_one_in = 1 until it is known why");
  }
  if (!any && has(daemon, "engine_wanted") && word(daemon, "engine_wanted") == "device")
    add(ret, false, "codec engine", "[engine] kind = device, and the driver has none",
        "docs/driver.md: is it in /sys/bus/pci/drivers/speckv? then restart speckvd");
  for (const ordered_json& space : status.at("namespaces"))
    if (has(space, "given_up_slots") && number(space, "given_up_slots") > 0)
      add(ret, false, "slots of " + word(space, "name"),
          format("%.0f are out of use: a codec engine may still write there",
                 number(space, "given_up_slots")),
          "unbind that engine, then restart speckvd: it keeps the blocks");
}

// One quota: what is used, its limit, what it refused.
void check_quota(const ordered_json& object, const std::string& owner, const char* what,
                 const char* used, const char* limit, const char* refused, Findings* ret) {
  if (!has(object, used) || !has(object, limit)) return;
  const double most = number(object, limit), now = number(object, used);
  const double no = refused && has(object, refused) ? number(object, refused) : 0;
  if (most <= 0 || (now < near_limit * most && no == 0)) return;
  const bool bytes = std::string_view(limit).find("bytes") != std::string_view::npos;
  const auto show = [bytes](double value) {
    return bytes ? human_bytes(value) : human_count(value);
  };
  add(ret, false, std::string(what) + owner,
      show(now) + " of " + show(most) + (no > 0 ? format(", %.0f times refused", no) : ""),
      std::string("raise ") + limit + " if that is right; `speckvctl status` says who has them");
}

void check_quotas(const ordered_json& status, Findings* ret) {
  const ordered_json& daemon = status.at("daemon");
  check_quota(daemon, "", "arenas", "arenas_bytes", "arenas_bytes_max", nullptr, ret);
  check_quota(daemon, "", "layouts", "layouts", "layouts_max", nullptr, ret);
  check_quota(daemon, "", "widths", "widths_bytes", "widths_bytes_max", nullptr, ret);
  check_quota(daemon, "", "connections", "waiting", "connections_max", nullptr, ret);
  check_quota(daemon, "", "scrapers", "scrapers", "metrics_connections_max", nullptr, ret);
  check_quota(daemon, "", "holds", "held_blocks", "holds_max", nullptr, ret);
  const ordered_json open = {{"sessions", status.at("sessions").size()},
                             {"sessions_max", daemon.at("sessions_max")}};
  check_quota(open, "", "sessions", "sessions", "sessions_max", nullptr, ret);
  if (has(daemon, "client_fds"))  // fds_max is the process's own there
    check_quota({{"fds", daemon.at("client_fds")}, {"fds_max", daemon.at("client_fds_max")}}, "",
                "descriptors of clients", "fds", "fds_max", nullptr, ret);
  for (const ordered_json& space : status.at("namespaces")) {
    const std::string of = " of " + word(space, "name");
    check_quota(space, of, "sessions", "sessions", "sessions_max", "sessions_refused", ret);
    check_quota(space, of, "arenas", "arenas_bytes", "arenas_bytes_max", "arenas_refused", ret);
    check_quota(space, of, "layouts", "layouts", "layouts_max", "layouts_refused", ret);
    check_quota(space, of, "widths", "widths_bytes", "widths_bytes_max", nullptr, ret);
    check_quota(space, of, "holds", "held_blocks", "holds_max", "holds_refused", ret);
    check_quota(space, of, "descriptors", "fds", "fds_max", "fds_refused", ret);
    check_quota(space, of, "prefetches", "prefetches_under_way", "prefetch_keys_max",
                "prefetch_over_limit", ret);
    check_quota(space, of, "retained", "retained_bytes", "retained_bytes_max", "retain_refused",
                ret);
  }
  if (has(daemon, "shut_out") && number(daemon, "shut_out") > 0)
    add(ret, false, "door",
        format("%.0f users shut out, %.0f connections cannot be closed", number(daemon, "shut_out"),
               number(daemon, "unclosed")),
        "their clients send descriptors along, which Linux refuses since 6.16: the log says who");
  if (has(daemon, "log_lines_left_out") && number(daemon, "log_lines_left_out") > 0)
    add(ret, false, "log", format("%.0f lines left out", number(daemon, "log_lines_left_out")),
        "clients cause lines faster than they are written: those that were say who");
}

void check_pages(const ordered_json& space, Findings* ret) {
  const double bytes = number(space, "pool_page_bytes");
  add(ret, bytes >= huge_page_bytes, "pages of " + word(space, "name"), human_bytes(bytes),
      "no 2 MiB pages: memory was fragmented when the pool was made, or "
      "/sys/kernel/mm/transparent_hugepage/shmem_enabled says deny, or huge_pages = false");
}

void check_room(const ordered_json& space, Findings* ret) {
  const double blocks = number(space, "blocks"), entries = number(space, "index_entries");
  const bool short_index =
      blocks > 0.95 * entries && number(space, "free_units") > 0.05 * number(space, "units");
  add(ret, !short_index, "index of " + word(space, "name"),
      format("%.0f blocks, room for %.0f", blocks, entries),
      "the index is full while the pool is not: raise index_entries");
  add(ret, number(space, "waste") <= waste_max, "waste of " + word(space, "name"),
      format("%.2f %% of the pool", 100 * number(space, "waste")),
      "slot sizes fit 2 MiB badly: another block_tokens may fit better");
}

void check_troubles(const ordered_json& space, Findings* ret) {
  const double failed = number(space, "failed_blocks"), written = number(space, "written_blocks");
  add(ret, failed <= failed_max * written, "puts of " + word(space, "name"),
      format("%.0f failed, %.0f written", failed, written),
      "the pool was full of held blocks, or clients sent what they may not: see the log");
  if (number(space, "refused_segments") > 0)
    add(ret, false, "codec of " + word(space, "name"),
        format("%.0f segments stored raw", number(space, "refused_segments")),
        "their values were NaN, Inf or out of range: check the model's KV, or use preset "
        "\"exact\"");
  if (has(space, "bounded_segments") && number(space, "bounded_segments") > 0)
    add(ret, false, "bound of " + word(space, "name"),
        format("%.0f segments stored by q8", number(space, "bounded_segments")),
        "a token was so loud that near-lossless would have spoilt others: right as it is, at q8's "
        "ratio; if they are many, use preset \"q8\"");
  if (has(space, "lost_blocks") && number(space, "lost_blocks") > 0)
    add(ret, false, "memory of " + word(space, "name"),
        format("%.0f blocks lost", number(space, "lost_blocks")),
        "poison, or a device that went: see the kernel's log and `cxl list -L`");
}

void check_clients(const ordered_json& status, Findings* ret) {
  for (const ordered_json& session : status.at("sessions"))
    if (number(session, "dropped_completions") > 0)
      add(ret, false, "session " + session.at("id").dump(),
          session.at("dropped_completions").dump() + " completions dropped",
          "pid " + session.at("pid").dump() + " does not reap: a fault of that program");
  const ordered_json& daemon = status.at("daemon");
  if (number(daemon, "malformed_messages") > 0)
    add(ret, false, "messages", daemon.at("malformed_messages").dump() + " malformed",
        "something else than libspeckv talks to the socket");
}

// Memory above the pool, where there is some.
void check_near(const ordered_json& space, Findings* ret) {
  if (!has(space, "near") || space.at("near").is_null()) return;
  const ordered_json& near = space.at("near");
  const std::string check = "near memory of " + word(space, "name");
  const bool off = number(near, "blind_sessions") > 0;
  add(ret, !off, check,
      off ? format("off: %.0f sessions cannot read it", number(near, "blind_sessions"))
          : format("%.0f blocks stand decoded", number(near, "blocks")),
      "a libspeckv from before wire 1.3 is in use: install the daemon's, or set near_bytes = 0");
  if (number(near, "failed_blocks") > near_failed_max * number(near, "brought_blocks"))
    add(ret, false, check,
        format("%.0f blocks were decoded in vain", number(near, "failed_blocks")),
        "they left the pool meanwhile, or do not fit: raise near_after_hits or near_bytes");
}

// The tier below the pool, where there is one.
void check_spill(const ordered_json& space, Findings* ret) {
  if (!has(space, "spill") || space.at("spill").is_null()) return;
  const ordered_json& spill = space.at("spill");
  const std::string check = "spill of " + word(space, "name");
  const bool reads = number(spill, "read_breaker") == 0,
             writes = number(spill, "write_breaker") == 0;
  add(ret, reads && writes, check,
      word(spill, "path") + (!reads    ? " does not answer"
                             : !writes ? " takes no writes"
                                       : " answers"),
      "what it has is a miss until it does; look at the kernel's log and at the disk's health",
      State::fault);
  if (number(spill, "damaged_blocks") > 0)
    add(ret, false, check, format("%.0f blocks came back damaged", number(spill, "damaged_blocks")),
        "they were misses; after a loss of power some are to be expected, else the disk errs");
  if (number(spill, "unwritten_blocks") > failed_max * number(spill, "demoted_blocks"))
    add(ret, false, check,
        format("%.0f blocks were evicted before they were written",
               number(spill, "unwritten_blocks")),
        "puts come faster than the disk writes, or it failed: a larger pool, or a faster disk");
  if (number(spill, "dropped_blocks") > 0)
    add(ret, false, check, format("its map had no room for %.0f", number(spill, "dropped_blocks")),
        "raise spill_entries");
}

// What is read from there by guess.
void check_guesses(const ordered_json& space, Findings* ret) {
  if (!has(space, "guesses") || space.at("guesses").is_null()) return;
  for (const auto& [source, guesses] : space.at("guesses").items())
    if (number(guesses, "off") > 0)
      add(ret, false, "speculation of " + word(space, "name"),
          source + format(" is off: %.0f of its last %.0f blocks were read",
                          number(guesses, "off_useful"), number(guesses, "off_seen")),
          source == "hint" ? "clients say when they are back and are not: see speckv_hint(3)"
                           : "demand goes on, and it tries again by itself: nothing to do");
}

}  // namespace

std::vector<Finding> judge(const ordered_json& status, const Machine& machine) {
  const ordered_json& daemon = status.at("daemon");
  Findings findings;
  add(&findings, true, "daemon", "speckvd " + word(daemon, "version"), "");
  check_isolation(daemon, &findings);
  check_restart(daemon, &findings);
  check_engine(daemon, &findings);
  check_swap(daemon, machine, &findings);
  check_driver(daemon, machine, &findings);
  check_descriptors(daemon, &findings);
  check_memory(daemon, &findings);
  check_pins(daemon, &findings);
  check_threads(status, &findings);
  check_engines(status, &findings);
  for (const ordered_json& space : status.at("namespaces")) {
    check_pages(space, &findings);
    check_room(space, &findings);
    check_troubles(space, &findings);
    check_near(space, &findings);
    check_spill(space, &findings);
    check_guesses(space, &findings);
  }
  check_quotas(status, &findings);
  check_clients(status, &findings);
  return findings;
}

}  // namespace speckv::ctl
