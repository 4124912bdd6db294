// SPDX-License-Identifier: Apache-2.0
#include "src/model_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace speckv::lib {
namespace {

// Reads a file front to back through a small buffer; ok() is false once anything was missing.
class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {
    struct stat status;
    left_ = fstat(fd, &status) == 0 && status.st_size > 0 ? uint64_t(status.st_size) : 0;
  }
  bool ok() const { return ok_; }
  template <typename Number>
  Number number() {
    Number value{};
    bytes(&value, sizeof value);
    return value;
  }
  // Returns: a text of at most `most` bytes; a longer one is passed over and told as "".
  std::string text(uint64_t most) {
    const auto length = number<uint64_t>();
    if (length > most) return skip(length), "";
    std::string value(size_t(length), '\0');
    bytes(value.data(), value.size());
    return ok_ ? value : "";
  }
  void skip(uint64_t count) {
    const uint64_t buffered = end_ - at_;
    if (count <= buffered) return void(at_ += size_t(count));
    count -= buffered;
    at_ = end_ = 0;
    if (count > left_ || lseek(fd_, off_t(count), SEEK_CUR) < 0) return void(ok_ = false);
    left_ -= count;
  }

 private:
  void bytes(void* to, size_t count) {
    auto* out = static_cast<char*>(to);
    while (ok_ && count) {
      if (at_ == end_) refill();
      const size_t some = std::min(count, end_ - at_);
      std::memcpy(out, buffer_ + at_, some);
      out += some, at_ += some, count -= some;
    }
  }
  void refill() {
    const ssize_t got = read(fd_, buffer_, sizeof buffer_);
    at_ = 0, end_ = got > 0 ? size_t(got) : 0;
    ok_ = got > 0 && size_t(got) <= left_;
    left_ -= ok_ ? size_t(got) : 0;
  }

  int fd_;
  uint64_t left_;  // of the file, behind the buffer
  char buffer_[64 << 10];
  size_t at_ = 0, end_ = 0;
  bool ok_ = true;
};

enum GgufType : uint32_t { gguf_uint16 = 2, gguf_string = 8, gguf_array = 9, gguf_types = 13 };
// Bytes of a value, 0: not of one size.
constexpr uint8_t gguf_bytes[gguf_types] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

// Passes over a value, or an array of `count`. Arrays of arrays do not exist in practice and end
// it.
bool skip_values(Reader& reader, uint32_t type, uint64_t count) {
  if (type >= gguf_types || type == gguf_array) return false;
  if (gguf_bytes[type]) {
    if (count > UINT64_MAX / 8) return false;
    reader.skip(count * gguf_bytes[type]);
    return reader.ok();
  }
  while (count-- > 0 && reader.ok()) reader.skip(reader.number<uint64_t>());
  return reader.ok();
}

// "NAME-00002-of-00004.EXT": llama.cpp's and Hugging Face's way of naming parts.
struct PartName {
  std::string prefix, extension;
  uint32_t number = 0, count = 0;
};

bool parse_part(const std::string& path, PartName* ret_part) {
  const size_t dot = path.rfind('.');
  constexpr size_t numbers = sizeof "-00001-of-00002" - 1;
  if (dot == std::string::npos || dot < numbers) return false;
  const std::string middle = path.substr(dot - numbers, numbers);
  int end = 0;
  if (std::sscanf(middle.c_str(), "-%5u-of-%5u%n", &ret_part->number, &ret_part->count, &end) !=
          2 ||
      end != int(numbers))
    return false;
  ret_part->prefix = path.substr(0, dot - numbers);
  ret_part->extension = path.substr(dot);
  return ret_part->number >= 1 && ret_part->number <= ret_part->count;
}

int parts_of(const PartName& part, std::vector<std::string>* ret_files) {
  if (part.count > model_files_max) return -EBADMSG;
  for (uint32_t number = 1; number <= part.count; number++) {
    char middle[40];
    std::snprintf(middle, sizeof middle, "-%05u-of-%05u", number, part.count);
    ret_files->push_back(part.prefix + middle + part.extension);
  }
  return 0;
}

int read_whole(int fd, std::string* ret_text) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (status.st_size < 0 || uint64_t(status.st_size) > model_index_bytes_max) return -EBADMSG;
  ret_text->resize(size_t(status.st_size));
  for (size_t at = 0; at < ret_text->size();) {
    const ssize_t got = read(fd, ret_text->data() + at, ret_text->size() - at);
    if (got <= 0) return got < 0 ? -errno : -EBADMSG;
    at += size_t(got);
  }
  return 0;
}

bool ends_in(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

// The files that an index names: each string in it that ends in .safetensors, sorted, beside it.
int files_of_index(const std::string& path, const std::string& text,
                   std::vector<std::string>* ret_files) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  for (size_t at = text.find('"'); at != std::string::npos; at = text.find('"', at)) {
    size_t end = at + 1;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) return -EBADMSG;
    const std::string_view name(text.data() + at + 1, end - at - 1);
    at = end + 1;
    if (!ends_in(name, ".safetensors")) continue;
    if (name.find_first_of("/\\") != std::string_view::npos) return -EBADMSG;
    const std::string file = folder + std::string(name);
    if (std::find(ret_files->begin(), ret_files->end(), file) != ret_files->end()) continue;
    if (ret_files->size() == model_files_max) return -EBADMSG;
    ret_files->push_back(file);
  }
  std::sort(ret_files->begin(), ret_files->end());
  return ret_files->empty() ? -EBADMSG : 0;
}

int files_of(const std::string& path, int fd, std::vector<std::string>* ret_files) {
  if (ends_in(path, ".safetensors.index.json")) {
    std::string text;
    const int result = read_whole(fd, &text);
    return result == 0 ? files_of_index(path, text, ret_files) : result;
  }
  PartName part;
  const bool named = parse_part(path, &part);
  const uint32_t said = gguf_split_count(fd);  // 0: no GGUF, the name alone counts
  if (said > 1 && (!named || said != part.count)) return -EBADMSG;
  if (named && part.count > 1 && said != 1 &&
      (said > 1 || part.extension == ".safetensors" || part.extension == ".gguf"))
    return parts_of(part, ret_files);
  ret_files->push_back(path);
  return 0;
}

}  // namespace

uint32_t gguf_split_count(int fd) {
  Reader reader(fd);
  constexpr uint32_t magic = 0x46554747;  // "GGUF"
  if (reader.number<uint32_t>() != magic || !reader.ok()) return 0;
  const auto version = reader.number<uint32_t>();
  reader.number<uint64_t>();  // tensors
  const auto pairs = reader.number<uint64_t>();
  if (version < 2 || version > 3) return 0;
  for (uint64_t i = 0; i < pairs && reader.ok(); i++) {
    const std::string key = reader.text(256);
    auto type = reader.number<uint32_t>();
    if (key == "split.count" && type == gguf_uint16) {
      const auto count = reader.number<uint16_t>();
      return reader.ok() ? std::max<uint32_t>(count, 1) : 0;
    }
    uint64_t count = 1;
    if (type == gguf_array) {
      type = reader.number<uint32_t>();
      count = reader.number<uint64_t>();
    }
    if (!skip_values(reader, type, count)) return 0;
  }
  return reader.ok() ? 1 : 0;
}

int model_files(const std::string& path, std::vector<std::string>* ret_files) {
  ret_files->clear();
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int result = files_of(path, fd, ret_files);
  close(fd);
  return result;
}

}  // namespace speckv::lib
