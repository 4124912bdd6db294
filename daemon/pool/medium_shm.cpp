// SPDX-License-Identifier: Apache-2.0
// medium_shm.cpp - files on a tmpfs mount of our own, handed out through a read-only clone of that
// mount.
//
//   <path>   tmpfs, source "speckv", mode 0700, size= what the files need, huge=always,
//   mpol=bind:<node> clone    open_tree(CLONE) + mount_setattr(RDONLY): attached nowhere;
//   descriptors opened through it cannot be made
//            writable, not even by root through /proc/self/fd (EROFS). The inodes are the same.
//
// The mount and its files outlive the daemon; the next one finds the mount by its source and keeps
// files of the right size. Every file is allocated in full before anyone sees it: a hole could be
// filled by a reader's touch. Without CAP_SYS_ADMIN (or on kernels before 5.12) it falls back to
// memfd and says why.
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "pool/mapped_region.hpp"
#include "shm/atomics.hpp"
#include "shm/index.hpp"

namespace speckv::pool {
namespace {

constexpr uint64_t huge_bytes = 2u << 20;
constexpr const char* mount_source = "speckv";
constexpr const char* lock_name = ".lock";

int open_tree_clone(const char* path) {
  return int(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

int set_read_only(int tree) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                        MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME;
  attributes.attr_clr = MOUNT_ATTR__ATIME;
  return int(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
}

struct MountFacts {
  bool mounted = false;  // something is mounted exactly there
  bool ours = false;     // and it is a tmpfs with our source
};

// A path as mountinfo writes it: blanks, tabs, line ends and backslashes are three octal digits.
std::string decoded(const std::string& field) {
  std::string path;
  for (size_t i = 0; i < field.size(); i++) {
    const bool octal = field[i] == '\\' && i + 3 < field.size() &&
                       field.find_first_not_of("01234567", i + 1) > i + 3;
    path += octal ? char(std::stoi(field.substr(i + 1, 3), nullptr, 8)) : field[i];
    i += octal ? 3 : 0;
  }
  return path;
}

// What /proc/self/mountinfo says of a path; the last line that names it is the one on top.
MountFacts find_mount(const std::string& path) {
  MountFacts facts;
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, word, type, source;
    words >> id >> parent >> device >> root >> point;
    if (decoded(point) != path) continue;
    while (words >> word && word != "-") {
    }
    words >> type >> source;
    facts = {true, type == "tmpfs" && source == mount_source};
  }
  return facts;
}

Status make_mount_point(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return Status::from_errno("creating " + path + " for the pool's mount");
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return {ENOTDIR,
            path + " is not a directory: [pool] path must name an empty one for the pool's mount"};
  return {};
}

bool no_right(int error) { return error == EPERM || error == EACCES || error == ENOSYS; }

// A file of ours: a pool, an index, near memory, or one that a daemon ended in the middle of
// making.
bool is_region_file(const std::string& name) {
  return name.ends_with(".pool") || name.ends_with(".index") || name.ends_with(".near") ||
         name.starts_with(".new.");
}

// For clients that have it mapped. wipe: they find nothing in it any more, either.
void retire_index(int file, uint64_t bytes, bool wipe) {
  const size_t mapped = wipe ? bytes : shm::index_header_bytes;
  void* head = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (head == MAP_FAILED) return;
  shm::store_release(static_cast<shm::IndexHeader*>(head)->retired, 1);
  if (wipe)
    std::memset(static_cast<std::byte*>(head) + shm::index_header_bytes, 0,
                bytes - shm::index_header_bytes);
  munmap(head, mapped);
}

// Unlinks it; an index is marked as retired first. wipe: whoever has it mapped sees zeros from now
// on. Returns: bytes that went back.
uint64_t drop_file(int directory, const std::string& name, bool wipe) {
  const Fd file(openat(directory, name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  const bool there = file.valid() && fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode);
  const auto bytes = there ? uint64_t(info.st_size) : 0;
  uint64_t gone = 0;
  if (there && name.ends_with(".index")) {
    if (bytes >= shm::index_header_bytes) retire_index(file.get(), bytes, wipe);
  } else if (there && wipe && bytes &&
             fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(bytes)) ==
                 0) {
    gone = bytes;
  }
  unlinkat(directory, name.c_str(), 0);
  return gone;
}

class ShmMedium : public Medium {
 public:
  ShmMedium(const MediumOptions& options, std::string path)
      : options_(options), path_(std::move(path)), huge_mount_(options.huge_pages) {}

  // Returns: EPERM or ENOSYS when this process may not mount or clone; the caller falls back.
  Status open();

  Result<std::unique_ptr<Region>> open_region(const std::string& name, uint64_t bytes,
                                              bool fresh) override;
  Result<std::unique_ptr<Region>> open_near(const std::string& name, uint64_t bytes) override;
  Result<std::unique_ptr<Region>> open_session(uint64_t bytes) override {
    return make_session_region(bytes, {options_.huge_pages, options_.numa_node, false});
  }
  bool peek(const std::string& name, uint64_t* ret_bytes, std::span<std::byte> ret_head) override;
  void drop(const std::string& name) override { drop_file(directory_.get(), name, false); }
  void revoke(const std::string& name) override {
    revoked_bytes_ += drop_file(directory_.get(), name, true);
  }
  std::vector<std::string> keep_only(std::span<const std::string> region_names) override;
  std::string describe() const override;
  const char* kind() const override { return "shm"; }
  const char* isolation_kind() const override { return "mount"; }
  std::string isolation() const override { return "by read-only mount"; }
  bool survives_daemon() const override { return true; }

 private:
  Status mount_or_find();
  int mount_tmpfs(uint64_t bytes, unsigned long flags);
  Status make_room(uint64_t bytes, int numa_node);
  Result<Fd> reuse(const std::string& name, uint64_t bytes);
  Result<Fd> create(const std::string& name, uint64_t bytes, bool keep_old);
  Result<Fd> create_empty(const std::string& name, uint64_t bytes);
  Status rename_new(const std::string& name);

  MediumOptions options_;
  std::string path_;
  bool huge_mount_;
  bool mapped_ = false;
  bool huge_ = true;
  uint64_t revoked_bytes_ = 0;  // files that are mapped still may have them again
  Fd directory_, clone_, lock_;
};

// bytes: the mount's size limit; never 0, which would mean no limit.
int ShmMedium::mount_tmpfs(uint64_t bytes, unsigned long flags) {
  flags |= MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
  std::string data = "mode=0700,size=" + std::to_string(bytes);
  if (options_.numa_node >= 0) data += ",mpol=bind:" + std::to_string(options_.numa_node);
  const std::string huge = huge_mount_ ? ",huge=always" : "";
  if (::mount(mount_source, path_.c_str(), "tmpfs", flags, (data + huge).c_str()) == 0) return 0;
  if (errno != EINVAL || !huge_mount_) return -1;
  huge_mount_ = false;  // a kernel without transparent huge pages
  return ::mount(mount_source, path_.c_str(), "tmpfs", flags, data.c_str());
}

Status ShmMedium::mount_or_find() {
  Status status = make_mount_point(path_);
  if (!status.ok()) return status;
  std::error_code ignored;
  path_ = std::filesystem::canonical(path_, ignored).string();
  const MountFacts facts = find_mount(path_);
  if (facts.ours) return {};
  if (facts.mounted)
    return {EBUSY, path_ +
                       " is a mount of something else: give [pool] path an empty directory, or "
                       "mount a tmpfs " +
                       "with source \"" + mount_source + "\" there"};
  if (!std::filesystem::is_empty(path_, ignored))
    return {
        ENOTEMPTY,
        path_ + " has files in it that a mount would hide: give [pool] path an empty directory"};
  if (mount_tmpfs(huge_bytes, 0) != 0) return Status::from_errno("mounting a tmpfs at " + path_);
  ::mount(nullptr, path_.c_str(), nullptr, MS_PRIVATE, nullptr);  // no copies in other namespaces
  return {};
}

Status ShmMedium::open() {
  Status status = mount_or_find();
  if (!status.ok()) return status;
  directory_ = Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_.valid()) return Status::from_errno("opening " + path_);
  lock_ = Fd(openat(directory_.get(), lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return Status::from_errno("creating " + path_ + "/" + lock_name);
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    return {EBUSY, "the pool at " + path_ +
                       " is in use by another speckvd: stop it, or give this one its own " +
                       "[pool] path"};
  clone_ = Fd(open_tree_clone(path_.c_str()));
  if (!clone_.valid()) return Status::from_errno("cloning the mount at " + path_);
  if (set_read_only(clone_.get()) != 0)
    return Status::from_errno("making the clone of " + path_ + " read-only");
  return {};
}

// Sets the mount's limit to what is used now (old inodes that clients still hold included) plus
// `bytes`, and what a client's touch may take again: it must not end by SIGBUS.
Status ShmMedium::make_room(uint64_t bytes, int numa_node) {
  const Status memory = check_memory(bytes, numa_node);
  if (!memory.ok()) return memory;
  struct statfs facts {};
  if (fstatfs(directory_.get(), &facts) != 0) return Status::from_errno("statfs " + path_);
  const uint64_t used = uint64_t(facts.f_blocks - facts.f_bfree) * uint64_t(facts.f_bsize);
  const uint64_t wanted =
      used + revoked_bytes_ + (bytes + huge_bytes - 1) / huge_bytes * huge_bytes + huge_bytes;
  if (mount_tmpfs(wanted, MS_REMOUNT) != 0)
    return Status::from_errno("setting the size of the tmpfs at " + path_);
  return {};
}

// Returns: an invalid Fd when there is no such file of this size.
Result<Fd> ShmMedium::reuse(const std::string& name, uint64_t bytes) {
  Fd file(openat(directory_.get(), name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) {
    if (errno == ENOENT) return Fd();
    return Status::from_errno("opening " + path_ + "/" + name);
  }
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return Status::from_errno("fstat " + path_ + "/" + name);
  if (!S_ISREG(info.st_mode) || uint64_t(info.st_size) != bytes) return Fd();
  const uint64_t there = uint64_t(info.st_blocks) * 512;
  if (there < bytes) {  // a daemon that ended while it allocated
    const Status room = make_room(bytes - there, options_.numa_node);
    if (!room.ok()) return room;
  }
  return file;
}

bool ShmMedium::peek(const std::string& name, uint64_t* ret_bytes, std::span<std::byte> ret_head) {
  const Fd file(openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0) return false;
  *ret_bytes = uint64_t(info.st_size);
  std::fill(ret_head.begin(), ret_head.end(), std::byte{0});
  return pread(file.get(), ret_head.data(), ret_head.size(), 0) >= 0;
}

// A namespace that the configuration does not name any more has no owner: its KV must not stay in
// memory where nobody sees it, nor in the maps of those who could read it.
std::vector<std::string> ShmMedium::keep_only(std::span<const std::string> region_names) {
  std::vector<std::string> told;
  std::vector<std::pair<std::string, uint64_t>> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    const std::string file = entry.path().filename().string();
    const std::string pool = entry.path().stem().string() + ".pool";
    if (!is_region_file(file) ||
        (!file.starts_with(".new.") &&
         std::find(region_names.begin(), region_names.end(), pool) != region_names.end()))
      continue;
    files.emplace_back(file, entry.is_regular_file(error) ? entry.file_size(error) : 0);
  }
  std::sort(files.begin(), files.end());  // a.index, a.near, a.pool
  for (const auto& [file, bytes] : files) {
    revoke(file);
    told.push_back(path_ + "/" + file + " of " + std::to_string(bytes >> 20) +
                   " MiB was removed: it belongs to no namespace of the configuration");
  }
  return told;
}

std::string temporary_name(const std::string& name) { return ".new." + name; }

// A file of this size under a name of its own, with nothing in it.
Result<Fd> ShmMedium::create_empty(const std::string& name, uint64_t bytes) {
  const std::string temporary = temporary_name(name);
  Fd file(openat(directory_.get(), temporary.c_str(),
                 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return Status::from_errno("creating " + path_ + "/" + name);
  if (ftruncate(file.get(), off_t(bytes)) == 0) return file;
  const Status status = Status::from_errno("sizing " + path_ + "/" + name);
  unlinkat(directory_.get(), temporary.c_str(), 0);
  return status;
}

Status ShmMedium::rename_new(const std::string& name) {
  const std::string temporary = temporary_name(name);
  if (renameat(directory_.get(), temporary.c_str(), directory_.get(), name.c_str()) == 0) return {};
  return Status::from_errno("renaming " + temporary + " to " + path_ + "/" + name);
}

// A new file under a name of its own, allocated in full, then renamed: nobody ever sees half of it.
// keep_old: the old inode lives until the rename, else it is unlinked first, so that both need not
// fit.
Result<Fd> ShmMedium::create(const std::string& name, uint64_t bytes, bool keep_old) {
  unlinkat(directory_.get(), temporary_name(name).c_str(), 0);  // of a daemon that ended half-way
  if (!keep_old) unlinkat(directory_.get(), name.c_str(), 0);
  const Status room = make_room(bytes, options_.numa_node);
  if (!room.ok()) return room;
  auto file = create_empty(name, bytes);
  if (!file.ok()) return file;
  int failed;
  while ((failed = posix_fallocate(file.value().get(), 0, off_t(bytes))) == EINTR) {
  }
  if (failed) {
    unlinkat(directory_.get(), temporary_name(name).c_str(), 0);
    return Status(failed, "allocating " + std::to_string(bytes) + " bytes for " + path_ + "/" +
                              name + ": " + std::strerror(failed) +
                              "; make the namespace smaller or free memory");
  }
  const Status renamed = rename_new(name);
  if (!renamed.ok()) return renamed;
  return file;
}

// Mapped, and so bound to its node, before a page of it is there: the mount's own policy would put
// it beside the pool.
Result<std::unique_ptr<Region>> ShmMedium::open_near(const std::string& name, uint64_t bytes) {
  const Status named = check_region_name(name);
  if (!named.ok()) return named;
  unlinkat(directory_.get(), temporary_name(name).c_str(), 0);
  unlinkat(directory_.get(), name.c_str(), 0);
  const Status room = make_room(bytes, options_.near_numa_node);
  if (!room.ok()) return room;
  auto file = create_empty(name, bytes);
  if (!file.ok()) return file.status();
  const Status renamed = rename_new(name);
  if (!renamed.ok()) return renamed;
  Fd client(openat(clone_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!client.valid()) return Status::from_errno("opening " + path_ + "/" + name + " read-only");
  auto region = MappedRegion::map(std::move(file.value()), std::move(client), bytes, false,
                                  near_options(options_));
  if (!region.ok()) return region.status();
  return std::unique_ptr<Region>(std::move(region.value()));
}

Result<std::unique_ptr<Region>> ShmMedium::open_region(const std::string& name, uint64_t bytes,
                                                       bool fresh) {
  const Status named = check_region_name(name);
  if (!named.ok()) return named;
  Fd file;
  if (!fresh) {
    auto old = reuse(name, bytes);
    if (!old.ok()) return old.status();
    file = std::move(old.value());
  }
  const bool existed = file.valid();
  if (!existed) {
    auto made = create(name, bytes, fresh);
    if (!made.ok()) return made.status();
    file = std::move(made.value());
  }
  Fd client(openat(clone_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!client.valid()) return Status::from_errno("opening " + path_ + "/" + name + " read-only");
  auto region = MappedRegion::map(std::move(file), std::move(client), bytes, existed,
                                  {options_.huge_pages, options_.numa_node, existed});
  if (!region.ok()) return region.status();
  if (bytes >= huge_bytes) {
    huge_ = huge_ && region.value()->page_bytes() == huge_bytes;
    mapped_ = true;
  }
  return std::unique_ptr<Region>(std::move(region.value()));
}

std::string ShmMedium::describe() const {
  std::string text = "shm, tmpfs at " + path_;
  if (mapped_) text += huge_ ? ", 2 MiB pages" : ", 4 KiB pages";
  if (options_.numa_node >= 0) text += ", node " + std::to_string(options_.numa_node);
  return text + describe_emulation(options_);
}

}  // namespace

bool is_our_mount(const std::string& path) {
  std::error_code error;
  const std::string real = std::filesystem::canonical(path, error).string();
  return !error && find_mount(real).ours;
}

void drop_our_mount(const std::string& path) {
  if (!is_our_mount(path)) return;
  const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd lock(
      openat(directory.get(), lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid() || flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const std::string file = entry.path().filename().string();
    if (is_region_file(file)) drop_file(directory.get(), file, true);
  }
  umount2(path.c_str(), MNT_DETACH);
}

Result<std::unique_ptr<Medium>> make_shm(const MediumOptions& options) {
  if (options.path.empty())
    return Status(EINVAL, "medium \"shm\" needs a path for its mount: set [pool] path");
  auto medium = std::make_unique<ShmMedium>(options, options.path);
  const Status status = medium->open();
  if (status.ok()) return std::unique_ptr<Medium>(std::move(medium));
  if (!no_right(status.error())) return status;
  return make_memfd(options, status.text() + "; CAP_SYS_ADMIN and Linux 5.12 are needed");
}

}  // namespace speckv::pool
