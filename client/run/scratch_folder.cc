#include "client/run/scratch_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

namespace outboard::run {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "outboard-run-";

void Remove(const fs::path& folder) {
  std::error_code ignored;  // who is not allowed to remove it leaves it
  fs::remove_all(folder, ignored);
}

bool IsOurs(const fs::path& folder) {
  struct stat found;
  return lstat(folder.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == geteuid();
}

void RemoveUnused(const std::string& base) {
  std::error_code failure;
  for (fs::directory_iterator each(base, failure), end; !failure && each != end; each.increment(failure)) {
    const fs::path folder = each->path();
    if (!folder.filename().string().starts_with(kPrefix) || !IsOurs(folder)) continue;
    // A folder without the file is only just being made.
    const UniqueFd lock(open((folder / "lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) == 0) Remove(folder);
  }
}

// A process that removes the folder when nobody holds its lock any more. -1 when it cannot be had.
pid_t Watch(const std::string& path) {
  const pid_t child = fork();
  if (child != 0) return child;
  setsid();  // signals of the terminal are not for it
  close_range(0, ~0U, 0);
  const int lock = open((path + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  while (flock(lock, LOCK_EX) != 0 && errno == EINTR) {
  }
  Remove(path);
  _exit(0);
}

}  // namespace

Result<ScratchFolder> ScratchFolder::Make(const std::string& base) {
  RemoveUnused(base);
  std::string path = base + "/" + std::string(kPrefix) + "XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {  // with mode 0700
    return Error{"cannot make a folder in " + base + ": " + std::strerror(errno) + "."};
  }
  // The lock is held before others can see the file under its name.
  const std::string unnamed = path + "/lock.new";
  UniqueFd lock(open(unnamed.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!lock || flock(lock.get(), LOCK_EX) != 0 || rename(unnamed.c_str(), (path + "/lock").c_str()) != 0) {
    const Error error{"cannot lock the folder " + path + ": " + std::strerror(errno) + "."};
    Remove(path);
    return error;
  }
  const pid_t watcher = Watch(path);
  return ScratchFolder(std::move(path), std::move(lock), watcher);
}

ScratchFolder::ScratchFolder(std::string path, UniqueFd lock, pid_t watcher)
    : path_(std::move(path)), lock_(std::move(lock)), watcher_(watcher) {}

ScratchFolder::~ScratchFolder() {
  if (!lock_) return;
  Remove(path_);
  if (watcher_ < 0) return;
  kill(watcher_, SIGKILL);
  waitpid(watcher_, nullptr, 0);
}

}  // namespace outboard::run
