// SPDX-License-Identifier: Apache-2.0
// main.cpp - speckv_chaos [--loud] SEED DEATHS: one run of chaos, until the daemon has died so
// often. Exit: 0, nothing was wrong or lost; 77: not without root.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "chaos.hpp"

namespace {

// Its folders on a tmpfs of their own, which can be filled, and which nobody else sees: it goes
// with the last of these processes.
class SmallRoom {
 public:
  SmallRoom() {
    path_ = (std::filesystem::temp_directory_path() / "speckv-chaos-XXXXXX").string();
    if (!mkdtemp(path_.data()) || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("chaos", path_.c_str(), "tmpfs", 0, "size=8m,mode=0755") != 0)
      std::abort();
    setenv("TMPDIR", path_.c_str(), 1);
  }
  ~SmallRoom() {
    umount2(path_.c_str(), MNT_DETACH);
    rmdir(path_.c_str());
  }

 private:
  std::string path_;
};

}  // namespace

int main(int count, char** values) {
  const bool loud = count > 1 && std::strcmp(values[1], "--loud") == 0;
  if (count != 3 + loud) {
    std::fputs("usage: speckv_chaos [--loud] SEED DEATHS\n", stderr);
    return 2;
  }
  if (geteuid() != 0) {
    std::puts("chaos needs root: mounts, limits of other processes, time namespaces");
    return 77;
  }
  const uint64_t seed = std::strtoull(values[1 + loud], nullptr, 0);
  const uint64_t deaths = std::strtoull(values[2 + loud], nullptr, 0);
  const SmallRoom room;
  // In so many the tier does not come round: it is a ring, and what is left of its oldest part is
  // copied only as far as there is time for it.
  constexpr uint64_t deaths_a_tier = 100;
  for (uint64_t died = 0; died < deaths; died += deaths_a_tier) {
    speckv::test::Chaos chaos(seed + 10 * died, loud);
    if (!chaos.run(std::min(deaths - died, deaths_a_tier))) return 1;
  }
  return 0;
}
