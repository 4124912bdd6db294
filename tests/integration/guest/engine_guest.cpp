// SPDX-License-Identifier: Apache-2.0
#include "engine_guest.hpp"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

namespace speckv::test {

bool device_is_told(const std::string& line) {
  const int port = open("/dev/ttyS2", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (port < 0) return false;
  termios raw{};
  tcgetattr(port, &raw);
  cfmakeraw(&raw);
  tcsetattr(port, TCSANOW, &raw);
  const std::string words = line + "\n";
  std::string answer;
  char c = 0;
  if (write(port, words.data(), words.size()) == ssize_t(words.size()))
    while (read(port, &c, 1) == 1 && c != '\n') answer += c;
  close(port);
  return answer.rfind("ok", 0) == 0;
}

DaemonOptions engine_daemon(const char* kind, uint32_t deadline_ms) {
  return extent_daemon("64MiB", std::string("kind = \"") + kind + "\"\ncheck_one_in = 1\n" +
                                    "deadline_ms = " + std::to_string(deadline_ms) + "\n");
}

bool EngineStory::reads_like(const EngineStory& other) const {
  for (size_t i = 0; i < std::size(engine_presets); i++)
    for (uint64_t number = 0; number < blocks; number++)
      if (sums[i][number] != other.sums[i][number]) return false;
  return blocks == other.blocks;
}

namespace {

int put_and_read(const std::string& path, EngineStory* story) {
  for (size_t i = 0; i < std::size(engine_presets); i++) {
    RealClient client(path, "default", engine_presets[i]);
    if (client.opened() != 0) return 1;
    const uint64_t first = i * engine_blocks_max;
    for (uint64_t number = 0; number < story->blocks; number++)
      story->stored += client.put(first + number) == 0;
    for (uint64_t number = 0; number < story->blocks; number++) {
      const int result = client.get(first + number);
      if (result != 0 && result != 1) continue;  // 1: these presets lose a little
      story->read++;
      story->sums[i][number] = client.block().sum();
    }
  }
  return 0;
}

}  // namespace

EngineStory* tell_engine_story(const std::string& socket_path, uint64_t blocks) {
  auto* story = static_cast<EngineStory*>(shared_memory(sizeof(EngineStory)));
  story->blocks = blocks;
  run_as(uid_one, [&] { return put_and_read(socket_path, story); });
  return story;
}

}  // namespace speckv::test
