#include "server/softgpu/device/device_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/free_addresses.h"

namespace outboard::softgpu {
namespace {

constexpr uint64_t kBlockMiB = 1 << 20;

class DeviceMemoryTest : public testing::Test {
 protected:
  DeviceMemoryTest() {
    std::string path = testing::TempDir() + "device_memory_XXXXXX";
    root_ = mkdtemp(path.data()) == nullptr ? "" : path;
    config_.directory = root_;
    config_.memory_bytes = kBlockMiB;
  }
  ~DeviceMemoryTest() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<DeviceMemory> Attach(unsigned ordinal = 0) const {
    Result<std::unique_ptr<DeviceMemory>> memory = DeviceMemory::Attach(config_, ordinal);
    EXPECT_TRUE(memory.ok()) << memory.error().message;
    return memory ? std::move(*memory) : nullptr;
  }

  std::string AttachError(unsigned ordinal = 0) const {
    const Result<std::unique_ptr<DeviceMemory>> memory = DeviceMemory::Attach(config_, ordinal);
    return memory ? "" : memory.error().message;
  }

  std::string root_;  // of this test alone; removed after it
  Config config_;
};

// A child process that runs `body` and then waits to be killed or told to end.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) {
    int ready[2], end[2];
    if (pipe2(ready, O_CLOEXEC) != 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(ready[0]);
      close(end[1]);
      const auto say_ready = [&] { return write(ready[1], "", 1) == 1; };
      const auto wait_for_end = [&] {
        char byte;
        return read(end[0], &byte, 1) >= 0;
      };
      _exit(body(say_ready, wait_for_end) ? 0 : 1);
    }
    close(ready[1]);
    close(end[0]);
    ready_ = ready[0];
    end_ = end[1];
  }
  ~Child() {
    if (pid_ > 0) Kill();
    close(ready_);
    close(end_);
  }

  bool WaitReady() {
    char byte;
    return read(ready_, &byte, 1) == 1;
  }
  void Kill() {
    kill(pid_, SIGKILL);
    Reap();
  }
  // True when the body returned true.
  bool End() { return Status() == 0; }
  // Tells the child to end, if it has not ended by itself, and waits for it.
  int Status() {
    (void)send(end_, "", 1, MSG_NOSIGNAL);
    return Reap();
  }
  void KillWithoutReaping() {
    kill(pid_, SIGKILL);
    siginfo_t info;
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

 private:
  int Reap() {
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

  pid_t pid_;
  int ready_, end_;
};

TEST_F(DeviceMemoryTest, MakesTheFolderAndTheObject) {
  config_.directory += "/below";
  const auto memory = Attach();
  struct stat status;
  ASSERT_EQ(stat(config_.directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((config_.directory + "/gpu0").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(memory->facts().memory_bytes, kBlockMiB);
  EXPECT_EQ(memory->facts().sm_count, 4u);
  EXPECT_EQ(memory->FreeBytes(), kBlockMiB);
  EXPECT_EQ(memory->base() % 4096, 0u);
}

TEST_F(DeviceMemoryTest, FactsAreReadableAsText) {
  Attach();
  std::ifstream file(config_.directory + "/gpu0");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "outboard software GPU memory, layout 2");
  std::getline(file, line);
  EXPECT_EQ(line, "memory 1048576 bytes");
  std::getline(file, line);
  EXPECT_EQ(line, "multiprocessors 4");
  std::getline(file, line);
  EXPECT_EQ(line.substr(0, 9), "uuid GPU-");
  EXPECT_EQ(line.size(), 45u);
}

TEST_F(DeviceMemoryTest, TheObjectKeepsItsFacts) {
  const auto first = Attach();
  config_.memory_bytes = 4 * kBlockMiB;
  config_.sm_count = 9;
  const auto second = Attach();
  EXPECT_EQ(second->facts().memory_bytes, kBlockMiB);
  EXPECT_EQ(second->facts().sm_count, 4u);
  EXPECT_EQ(second->facts().uuid, first->facts().uuid);
  EXPECT_NE(Attach(1)->facts().uuid, first->facts().uuid);
  EXPECT_EQ(Attach(1)->facts().memory_bytes, 4 * kBlockMiB);
}

TEST_F(DeviceMemoryTest, RefusesForeignFiles) {
  const std::string path = config_.directory + "/gpu0";
  const std::string expected =
      path + " is not a device memory that this version understands; remove it when no program uses it.";
  std::ofstream(path) << "something else";
  EXPECT_EQ(AttachError(), expected);
  std::filesystem::remove(path);
  Attach();
  {
    std::fstream file(path);
    file.seekp(0);
    file << "outboard software GPU memory, layout 9\n";
  }
  EXPECT_EQ(AttachError(), expected);
  std::filesystem::remove(path);
  Attach();
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4096);
  EXPECT_EQ(AttachError(), expected);
  std::filesystem::remove(path);
  std::filesystem::create_symlink("elsewhere", path);
  EXPECT_NE(AttachError(), "");
  EXPECT_FALSE(std::filesystem::exists(config_.directory + "/elsewhere"));
}

TEST_F(DeviceMemoryTest, RefusesFoldersThatAreLinksOrSomeoneElses) {
  const std::string real = config_.directory + "/real", link = config_.directory + "/link";
  ASSERT_EQ(mkdir(real.c_str(), 0700), 0);
  ASSERT_EQ(symlink(real.c_str(), link.c_str()), 0);
  config_.directory = link;
  EXPECT_EQ(AttachError(), "Cannot use " + link + " for device memory: it is a link or a file, and must be a folder.");
  config_.directory = real;
  if (geteuid() == 0 && chown(real.c_str(), 12345, 12345) == 0) {
    EXPECT_EQ(AttachError(), "Cannot use " + real +
                                 " for device memory: it belongs to user 12345, and must belong to user 0 or root.");
  }
  config_.directory = root_ + "/none/below";
  EXPECT_EQ(AttachError(), "Cannot make the folder " + config_.directory + ": No such file or directory.");
}

TEST_F(DeviceMemoryTest, RefusesImpossibleDevices) {
  EXPECT_EQ(AttachError(64), "There is no device 64; the last possible one is 63.");
  config_.memory_bytes = 511;
  EXPECT_NE(AttachError(), "");
  config_.memory_bytes = kMaxSoftGpuMemory + 512;
  EXPECT_NE(AttachError(), "");
  EXPECT_FALSE(std::filesystem::exists(config_.directory + "/gpu0"));
}

TEST_F(DeviceMemoryTest, LargeMemoryTakesNoSpaceUntilItIsAllocated) {
  config_.memory_bytes = uint64_t{80} << 30;
  const auto memory = Attach();
  struct stat status;
  ASSERT_EQ(stat((config_.directory + "/gpu0").c_str(), &status), 0);
  EXPECT_LT(static_cast<uint64_t>(status.st_blocks) * 512, 4 * kBlockMiB);
  const std::optional<uint64_t> address = memory->Allocate(3 * kBlockMiB);
  ASSERT_TRUE(address.has_value());
  std::memset(memory->ToHost(*address), 0x5a, 3 * kBlockMiB);
  EXPECT_EQ(memory->FreeBytes(), (uint64_t{80} << 30) - 3 * kBlockMiB);
}

TEST_F(DeviceMemoryTest, FillsToTheLastGranuleAndRecovers) {
  const auto memory = Attach();
  std::vector<uint64_t> addresses;
  while (const std::optional<uint64_t> address = memory->Allocate(1)) addresses.push_back(*address);
  EXPECT_EQ(addresses.size(), kBlockMiB / 512);
  EXPECT_EQ(memory->FreeBytes(), 0u);
  for (const uint64_t address : addresses) {
    ASSERT_EQ(address % 512, 0u);
    std::memset(memory->ToHost(address), 1, 512);
  }
  EXPECT_TRUE(memory->Free(addresses[77]));
  EXPECT_EQ(memory->Allocate(513), std::nullopt);
  EXPECT_EQ(memory->Allocate(512), addresses[77]);
  for (const uint64_t address : addresses) EXPECT_TRUE(memory->Free(address));
  EXPECT_TRUE(memory->Allocate(kBlockMiB).has_value());
}

TEST_F(DeviceMemoryTest, RefusesWhatCannotFit) {
  const auto memory = Attach();
  EXPECT_EQ(memory->Allocate(0), std::nullopt);
  EXPECT_EQ(memory->Allocate(kBlockMiB + 1), std::nullopt);
  EXPECT_EQ(memory->Allocate(UINT64_MAX), std::nullopt);
  EXPECT_EQ(memory->FreeBytes(), kBlockMiB);
}

TEST_F(DeviceMemoryTest, FreeWantsTheStartOfAnAllocationOfItsOwn) {
  const auto memory = Attach(), other = Attach();
  const uint64_t address = *memory->Allocate(2000);
  EXPECT_FALSE(memory->Free(address + 512));
  EXPECT_FALSE(memory->Free(0));
  EXPECT_FALSE(other->Free(address - memory->base() + other->base()));
  EXPECT_TRUE(memory->Free(address));
  EXPECT_FALSE(memory->Free(address));
}

TEST_F(DeviceMemoryTest, FindGivesTheExactSizeAndExtentsTheRounded) {
  const auto memory = Attach();
  const uint64_t address = *memory->Allocate(1000);
  for (const uint64_t inside : {address, address + 1, address + 999}) {
    const std::optional<Extent> found = memory->Find(inside);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->begin, address);
    EXPECT_EQ(found->end, address + 1000);
    EXPECT_EQ(found->host, memory->ToHost(address));
  }
  EXPECT_FALSE(memory->Find(address + 1000).has_value());
  EXPECT_FALSE(memory->Find(address - 1).has_value());
  const auto extents = memory->Extents();
  ASSERT_EQ(extents->size(), 1u);
  EXPECT_EQ(extents->front().begin, address);
  EXPECT_EQ(extents->front().end, address + 1024);
  EXPECT_EQ(memory->ToHost(memory->base() - 1), nullptr);
  EXPECT_EQ(memory->ToHost(memory->base() + kBlockMiB), nullptr);
}

TEST_F(DeviceMemoryTest, SnapshotsOfExtentsDoNotChange) {
  const auto memory = Attach();
  const uint64_t first = *memory->Allocate(512);
  const auto before = memory->Extents();
  EXPECT_EQ(memory->Extents(), before);
  const uint64_t second = *memory->Allocate(512);
  const auto both = memory->Extents();
  EXPECT_TRUE(memory->Free(first));
  EXPECT_EQ(before->size(), 1u);
  EXPECT_EQ(before->front().begin, first);
  ASSERT_EQ(both->size(), 2u);
  EXPECT_LE((*both)[0].end, (*both)[1].begin);
  ASSERT_EQ(memory->Extents()->size(), 1u);
  EXPECT_EQ(memory->Extents()->front().begin, second);
}

TEST_F(DeviceMemoryTest, RandomUseKeepsContentsApart) {
  config_.memory_bytes = 8 * kBlockMiB;
  for (const uint64_t chaos : {0, 5}) {
    config_.chaos = chaos;
    const auto memory = Attach();
    std::mt19937_64 random(11);
    struct Entry {
      uint64_t bytes;
      uint8_t fill;
    };
    std::map<uint64_t, Entry> model;
    uint64_t used = 0;
    for (int step = 0; step < 4000; ++step) {
      if (model.empty() || random() % 100 < 55) {
        const uint64_t bytes = 1 + random() % (random() % 8 == 0 ? 300'000 : 3000);
        const std::optional<uint64_t> address = memory->Allocate(bytes);
        if (!address) continue;
        const uint8_t fill = static_cast<uint8_t>(random());
        std::memset(memory->ToHost(*address), fill, bytes);
        ASSERT_TRUE(model.emplace(*address, Entry{bytes, fill}).second);
        used += (bytes + 511) / 512 * 512;
      } else {
        auto victim = model.begin();
        std::advance(victim, random() % model.size());
        const auto [bytes, fill] = victim->second;
        const std::byte* host = memory->ToHost(victim->first);
        for (uint64_t i = 0; i < bytes; ++i) ASSERT_EQ(host[i], std::byte{fill});
        ASSERT_TRUE(memory->Free(victim->first));
        model.erase(victim);
        used -= (bytes + 511) / 512 * 512;
      }
      ASSERT_TRUE(step % 64 != 0 || memory->FreeBytes() == 8 * kBlockMiB - used);
    }
    EXPECT_EQ(memory->Extents()->size(), model.size());
  }
}

TEST_F(DeviceMemoryTest, ChaosMovesAddressesByTheSeed) {
  const auto offsets = [&](uint64_t seed) {
    config_.chaos = seed;
    const auto memory = Attach();
    std::vector<uint64_t> found;
    for (int i = 0; i < 8; ++i) found.push_back(*memory->Allocate(4096) - memory->base());
    return found;
  };
  EXPECT_EQ(offsets(1), offsets(1));
  EXPECT_NE(offsets(1), offsets(2));
  EXPECT_NE(offsets(1), offsets(0));
}

TEST_F(DeviceMemoryTest, TheArenaLiesWhereItIsAskedFor) {
  const uint64_t free_address = fakes::FreeAddresses(uint64_t{1} << 30);
  config_.arena_base = free_address - kMaxSoftGpuMemory;
  const auto memory = Attach(1);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory->base(), free_address);
  const std::string error = AttachError(1);
  EXPECT_NE(error.find("SOFTGPU_ARENA must name a free range"), std::string::npos) << error;
}

TEST_F(DeviceMemoryTest, ResidueStays) {
  uint64_t offset;
  {
    const auto memory = Attach();
    const uint64_t address = *memory->Allocate(6);
    offset = address - memory->base();
    std::memcpy(memory->ToHost(address), "secret", 6);
    EXPECT_TRUE(memory->Free(address));
    EXPECT_EQ(std::memcmp(memory->ToHost(address), "secret", 6), 0);
  }
  const auto memory = Attach();
  const uint64_t all = *memory->Allocate(kBlockMiB);
  EXPECT_EQ(std::memcmp(memory->ToHost(all + offset), "secret", 6), 0);
}

TEST_F(DeviceMemoryTest, AnEarlierBootsOwnersAreGoneAndItsResidueStays) {
  const std::string path = config_.directory + "/gpu0";
  const auto memory = Attach();
  const uint64_t address = *memory->Allocate(kBlockMiB);
  std::memcpy(memory->ToHost(address), "secret", 6);

  std::string boot_id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot_id);
  std::fstream file(path);
  std::string head(4096, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const size_t place = head.find(boot_id);
  ASSERT_NE(place, std::string::npos);
  file.seekp(static_cast<std::streamoff>(place));
  file << "another";
  file.close();

  const auto after = Attach();
  EXPECT_EQ(after->facts().uuid, memory->facts().uuid);
  const std::optional<uint64_t> all = after->Allocate(kBlockMiB);
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(std::memcmp(after->ToHost(*all), "secret", 6), 0);
}

TEST_F(DeviceMemoryTest, DestructionReturnsTheAllocations) {
  const auto watcher = Attach();
  {
    const auto memory = Attach();
    ASSERT_TRUE(memory->Allocate(700'000).has_value());
    ASSERT_TRUE(memory->Allocate(100'000).has_value());
    EXPECT_LT(watcher->FreeBytes(), 300'000u);
  }
  EXPECT_EQ(watcher->FreeBytes(), kBlockMiB);
}

TEST_F(DeviceMemoryTest, TouchingADeviceAddressOnTheHostFaults) {
  const auto memory = Attach();
  const uint64_t address = *memory->Allocate(512);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    *reinterpret_cast<volatile char*>(address) = 1;
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST_F(DeviceMemoryTest, ProcessesShareOneDevice) {
  Child child([&](auto say_ready, auto wait_for_end) {
    const auto memory = Attach();
    const std::optional<uint64_t> address = memory->Allocate(600'000);
    return address && say_ready() && wait_for_end() && memory->Free(*address);
  });
  ASSERT_TRUE(child.WaitReady());
  const auto memory = Attach();
  EXPECT_EQ(memory->FreeBytes(), kBlockMiB - 600'064);
  EXPECT_EQ(memory->Allocate(600'000), std::nullopt);
  EXPECT_TRUE(memory->Extents()->empty());
  EXPECT_TRUE(child.End());
  EXPECT_TRUE(memory->Allocate(600'000).has_value());
}

TEST_F(DeviceMemoryTest, ManyProcessesMakeTheObjectAtOnce) {
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(std::make_unique<Child>([&](auto say_ready, auto wait_for_end) {
      const auto memory = Attach();
      return memory != nullptr && memory->Allocate(kBlockMiB / 8).has_value() && say_ready() && wait_for_end();
    }));
  }
  for (const auto& child : children) EXPECT_TRUE(child->WaitReady());
  EXPECT_EQ(Attach()->FreeBytes(), 0u);
  for (const auto& child : children) EXPECT_TRUE(child->End());
}

TEST_F(DeviceMemoryTest, TakesBackFromAKilledOwner) {
  for (const bool reaped : {true, false}) {
    Child child([&](auto say_ready, auto wait_for_end) {
      const auto memory = Attach();
      return memory->Allocate(kBlockMiB).has_value() && say_ready() && wait_for_end();
    });
    const auto memory = Attach();
    ASSERT_TRUE(child.WaitReady());
    ASSERT_EQ(memory->Allocate(512), std::nullopt);
    if (reaped) {
      child.Kill();
    } else {
      child.KillWithoutReaping();
    }
    EXPECT_TRUE(memory->Allocate(kBlockMiB).has_value());
  }
}

TEST_F(DeviceMemoryTest, SharedMemoryIsOnePieceForAllWhoHaveItOpen) {
  const auto maker = Attach(), user = Attach();
  const uint64_t before = maker->FreeBytes();
  const uint64_t made = *maker->Allocate(1000);
  const auto shared = maker->Share(made + 999);
  ASSERT_TRUE(shared);
  EXPECT_EQ(maker->Share(made + 1000), std::nullopt);
  EXPECT_TRUE(maker->IsOwn(*shared));
  const auto opened = user->Open(*shared);
  ASSERT_TRUE(opened);
  EXPECT_EQ(*opened - user->base(), made - maker->base());
  EXPECT_EQ(user->Open(*shared), opened) << "it is open already";
  EXPECT_EQ(user->Find(*opened)->end - user->Find(*opened)->begin, 1000u);
  EXPECT_EQ(user->Extents()->size(), 1u);
  std::memset(maker->ToHost(made), 7, 1000);
  EXPECT_EQ(user->ToHost(*opened)[999], std::byte{7});
  // Who made it frees it: it is not free yet, and nobody else can open it by another number.
  EXPECT_TRUE(maker->Free(made));
  EXPECT_EQ(maker->FreeBytes(), before - 1024);
  EXPECT_TRUE(user->Free(*opened));
  EXPECT_EQ(user->FreeBytes(), before - 1024) << "it was opened twice";
  EXPECT_TRUE(user->Free(*opened));
  EXPECT_EQ(user->FreeBytes(), before);
  EXPECT_EQ(user->Open(*shared), std::nullopt);
}

TEST_F(DeviceMemoryTest, WhatIsSharedCountsAsWritten) {
  config_.checks.uninitialised = true;
  const auto maker = Attach();
  const uint64_t made = *maker->Allocate(1000);
  const uint8_t* const written = maker->Written(maker->ToHost(made));
  EXPECT_EQ(written[999], 0);
  ASSERT_TRUE(maker->Share(made + 5));
  EXPECT_EQ(written[0], 1);
  EXPECT_EQ(written[999], 1);
}

TEST_F(DeviceMemoryTest, OpensNothingButWhatWasShared) {
  const auto maker = Attach(), user = Attach();
  const uint64_t made = *maker->Allocate(1000);
  SharedAllocation shared = *maker->Share(made);
  const auto with = [&](auto change) {
    SharedAllocation other = shared;
    change(&other);
    return user->Open(other);
  };
  EXPECT_EQ(with([](auto* other) { ++other->share; }), std::nullopt);
  EXPECT_EQ(with([](auto* other) { other->share = 0; }), std::nullopt);
  EXPECT_EQ(with([](auto* other) { other->block = UINT32_MAX; }), std::nullopt);
  EXPECT_EQ(with([](auto* other) { other->bytes = 2000; }), std::nullopt);
  EXPECT_EQ(user->Extents()->size(), 0u);
  EXPECT_TRUE(maker->Free(made));
  ASSERT_TRUE(maker->Allocate(1000));
  EXPECT_EQ(user->Open(shared), std::nullopt) << "other memory lies there";
}

TEST_F(DeviceMemoryTest, WhatAKilledProcessHasSharedStaysWithWhoHasItOpen) {
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  Child child([&](auto say_ready, auto wait_for_end) {
    const auto memory = Attach();
    const auto shared = memory->Share(*memory->Allocate(kBlockMiB / 2));
    return write(pipe_ends[1], &*shared, sizeof *shared) == sizeof *shared && say_ready() && wait_for_end();
  });
  const auto memory = Attach();
  ASSERT_TRUE(child.WaitReady());
  SharedAllocation shared;
  ASSERT_EQ(read(pipe_ends[0], &shared, sizeof shared), static_cast<ssize_t>(sizeof shared));
  EXPECT_FALSE(memory->IsOwn(shared));
  const auto opened = memory->Open(shared);
  ASSERT_TRUE(opened);
  child.Kill();
  EXPECT_EQ(memory->FreeBytes(), kBlockMiB / 2);
  EXPECT_EQ(memory->Allocate(kBlockMiB / 2 + 512), std::nullopt);
  EXPECT_TRUE(memory->Free(*opened));
  EXPECT_EQ(memory->FreeBytes(), kBlockMiB);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST_F(DeviceMemoryTest, FreeBytesCountsAKilledOwnersMemory) {
  Child child([&](auto say_ready, auto wait_for_end) {
    const auto memory = Attach();
    return memory->Allocate(kBlockMiB).has_value() && say_ready() && wait_for_end();
  });
  ASSERT_TRUE(child.WaitReady());
  const auto memory = Attach();
  EXPECT_EQ(memory->FreeBytes(), 0u);
  child.Kill();
  EXPECT_EQ(memory->FreeBytes(), kBlockMiB);
}

TEST_F(DeviceMemoryTest, AForkedChildHasNothingAndTakesNothingAway) {
  auto memory = Attach();
  const uint64_t address = *memory->Allocate(1000);
  const pid_t child = fork();
  if (child == 0) {
    const bool nothing =
        !memory->Free(address) && !memory->Allocate(512) && !memory->Find(address) && memory->Extents()->empty();
    memory.reset();
    _exit(nothing ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Attach()->FreeBytes(), kBlockMiB - 1024);
  EXPECT_TRUE(memory->Free(address));
}

TEST_F(DeviceMemoryTest, SurvivesProcessesKilledAtWork) {
  const auto memory = Attach();
  const uint64_t mine = *memory->Allocate(4096);
  std::memset(memory->ToHost(mine), 0x77, 4096);
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    const uint64_t seed = random(), calls = random() % 500;
    Child child([&](auto say_ready, auto) {
      const auto own = Attach();
      std::mt19937_64 choose(seed);
      std::vector<uint64_t> addresses;
      for (uint64_t call = 0;; ++call) {
        if (call == calls && !say_ready()) return false;
        if (!addresses.empty() && choose() % 2 == 0) {
          std::swap(addresses[choose() % addresses.size()], addresses.back());
          if (!own->Free(addresses.back())) return false;
          addresses.pop_back();
        } else if (const std::optional<uint64_t> address = own->Allocate(1 + choose() % 5000)) {
          addresses.push_back(*address);
        }
      }
    });
    ASSERT_TRUE(child.WaitReady());
    child.Kill();
    ASSERT_EQ(memory->FreeBytes(), kBlockMiB - 4096) << "round " << round;
  }
  const std::byte* host = memory->ToHost(mine);
  for (int i = 0; i < 4096; ++i) ASSERT_EQ(host[i], std::byte{0x77});
  EXPECT_TRUE(memory->Free(mine));
  EXPECT_TRUE(memory->Allocate(kBlockMiB).has_value());
}

#if !defined(__SANITIZE_THREAD__)  // whose instructions take minutes
TEST_F(DeviceMemoryTest, SurvivesAProcessKilledAnywhereInAllocate) {
  const auto memory = Attach();
  bool completed = false;
  for (int instructions = 100; !completed; instructions += 17 + instructions / 12) {
    const pid_t child = fork();
    if (child == 0) {
      const auto own = Attach();
      own->Allocate(4096);
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(77);
      raise(SIGSTOP);
      own->Allocate(4096);
      raise(SIGUSR2);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) GTEST_SKIP() << "ptrace is not allowed here";
    for (int i = 0; i < instructions && !completed; ++i) {
      ASSERT_EQ(ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr), 0);
      waitpid(child, &status, 0);
      ASSERT_TRUE(WIFSTOPPED(status));
      completed = WSTOPSIG(status) == SIGUSR2;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ASSERT_EQ(memory->FreeBytes(), kBlockMiB) << "after " << instructions << " instructions";
    const std::optional<uint64_t> all = memory->Allocate(kBlockMiB);
    ASSERT_TRUE(all && memory->Free(*all)) << "after " << instructions << " instructions";
  }
}
#endif

void WriteText(const char* path, const std::string& text) { std::ofstream(path) << text; }

// For this process alone; root can, and others where user namespaces are allowed.
bool MountSmallFilesystem(const std::string& path) {
  const std::string user = std::to_string(geteuid()), group = std::to_string(getegid());
  if (geteuid() == 0) {
    if (unshare(CLONE_NEWNS) != 0) return false;
  } else {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    WriteText("/proc/self/setgroups", "deny");
    WriteText("/proc/self/uid_map", "0 " + user + " 1");
    WriteText("/proc/self/gid_map", "0 " + group + " 1");
  }
  return mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", path.c_str(), "tmpfs", 0, "size=8m") == 0;
}

TEST_F(DeviceMemoryTest, AFullFilesystemIsOutOfMemory) {
  config_.memory_bytes = 64 * kBlockMiB;
  Child child([&](auto, auto) {
    if (!MountSmallFilesystem(config_.directory)) _exit(77);
    const auto memory = Attach();
    if (memory == nullptr || memory->Allocate(16 * kBlockMiB)) return false;
    std::vector<uint64_t> addresses;
    while (const std::optional<uint64_t> address = memory->Allocate(kBlockMiB)) {
      std::memset(memory->ToHost(*address), 1, kBlockMiB);
      addresses.push_back(*address);
    }
    if (addresses.size() < 6 || addresses.size() > 7) return false;
    for (const uint64_t address : addresses) memory->Free(address);

    // The space of freed memory is found again, wherever it lies: here below a block that stays.
    const std::optional<uint64_t> low = memory->Allocate(3 * kBlockMiB), stays = memory->Allocate(3 * kBlockMiB);
    if (!low || !stays || !memory->Free(*low)) return false;
    const std::optional<uint64_t> large = memory->Allocate(4 * kBlockMiB);
    if (!large) return false;
    std::memset(memory->ToHost(*large), 2, 4 * kBlockMiB);
    std::memset(memory->ToHost(*stays), 3, 3 * kBlockMiB);
    return memory->FreeBytes() == 57 * kBlockMiB && !memory->Allocate(4 * kBlockMiB);
  });
  const int status = child.Status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "mounting is not allowed here";
  EXPECT_EQ(status, 0);
}

TEST_F(DeviceMemoryTest, ThreadsShareOneObject) {
  config_.memory_bytes = 16 * kBlockMiB;
  const auto memory = Attach();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 500; ++i) {
        const uint64_t bytes = 1 + random() % 9000;
        const std::optional<uint64_t> address = memory->Allocate(bytes);
        ASSERT_TRUE(address.has_value());
        std::memset(memory->ToHost(*address), t, bytes);
        ASSERT_EQ(memory->Find(*address)->end, *address + bytes);
        memory->Extents();
        for (uint64_t b = 0; b < bytes; ++b) ASSERT_EQ(memory->ToHost(*address)[b], std::byte(t));
        ASSERT_TRUE(memory->Free(*address));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory->FreeBytes(), 16 * kBlockMiB);
}

}  // namespace
}  // namespace outboard::softgpu
