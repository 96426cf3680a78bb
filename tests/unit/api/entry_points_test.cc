#include "common/api/entry_points.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

namespace outboard {
namespace {

void* Address(int number) { return reinterpret_cast<void*>(static_cast<uintptr_t>(number)); }

// cuCopy: two ABIs, the newer with a twin that came later. cuLate: only its twin's older ABI exists. cuMissing: not
// defined.
const EntryPoint kTable[] = {
    {"cuCopy", "cuCopy", 2000, false, Address(1)},          {"cuCopy", "cuCopy_v2", 3020, false, Address(2)},
    {"cuCopy", "cuCopy_v2_ptds", 7000, true, Address(3)},   {"cuLate", "cuLate", 5000, false, Address(4)},
    {"cuLate", "cuLate_ptsz", 5000, true, Address(5)},      {"cuLate", "cuLate_v2", 12000, false, Address(6)},
    {"cuMissing", "cuMissing", 2000, false, Address(7)},    {"cuMissing", "cuMissing_v2", 3020, false, nullptr},
    {"cuMissing", "cuMissing_v3", 4000, false, Address(8)}, {"cuMissing", "cuMissing_v3_ptsz", 7000, true, nullptr},
};

struct Answer {
  CUresult result;
  void* address;
  CUdriverProcAddressQueryResult status;
  bool operator==(const Answer&) const = default;
};

Answer Ask(const char* name, int version, bool per_thread) {
  Answer answer = {CUDA_SUCCESS, Address(99), CU_GET_PROC_ADDRESS_SUCCESS};
  answer.result = FindEntryPointIn(kTable, name, version, per_thread, &answer.address, &answer.status);
  return answer;
}

Answer Found(int number) { return {CUDA_SUCCESS, Address(number), CU_GET_PROC_ADDRESS_SUCCESS}; }
const Answer kUnknown = {CUDA_ERROR_NOT_FOUND, nullptr, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND};
const Answer kTooOld = {CUDA_ERROR_NOT_FOUND, nullptr, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT};

TEST(FindEntryPoint, TakesTheHighestVersionNotAboveTheOneAsked) {
  EXPECT_EQ(Ask("cuCopy", 2000, false), Found(1));
  EXPECT_EQ(Ask("cuCopy", 3010, false), Found(1));
  EXPECT_EQ(Ask("cuCopy", 3020, false), Found(2));
  EXPECT_EQ(Ask("cuCopy", 99000, false), Found(2));
}

TEST(FindEntryPoint, SaysWhenTheVersionIsTooOld) {
  EXPECT_EQ(Ask("cuCopy", 1999, false), kTooOld);
  EXPECT_EQ(Ask("cuLate", 4999, true), kTooOld);
}

TEST(FindEntryPoint, GivesTheTwinOnlyToThoseWhoAsk) {
  EXPECT_EQ(Ask("cuCopy", 7000, false), Found(2));
  EXPECT_EQ(Ask("cuCopy", 7000, true), Found(3));
}

TEST(FindEntryPoint, GivesTheCallItselfWhereThereIsNoTwin) {
  EXPECT_EQ(Ask("cuCopy", 2000, true), Found(1));
  EXPECT_EQ(Ask("cuCopy", 6050, true), Found(2));
  EXPECT_EQ(Ask("cuLate", 12000, true), Found(6));  // not the twin of the older ABI
  EXPECT_EQ(Ask("cuLate", 11080, true), Found(5));
}

TEST(FindEntryPoint, NeverSubstitutesForWhatTheLibraryLacks) {
  EXPECT_EQ(Ask("cuMissing", 2000, false), Found(7));
  EXPECT_EQ(Ask("cuMissing", 3020, false), kUnknown);
  EXPECT_EQ(Ask("cuMissing", 4000, true), Found(8));
  EXPECT_EQ(Ask("cuMissing", 7000, true), kUnknown);
}

TEST(FindEntryPoint, KnowsOnlyWholeBaseNames) {
  for (const char* name : {"", "cu", "cuCop", "cuCopyy", "cuCopy_v2", "cuCopy_v2_ptds", "cuZ", "CUCOPY"}) {
    EXPECT_EQ(Ask(name, 13000, false), kUnknown) << name;
  }
}

TEST(FindEntryPoint, WorksWithoutAStatus) {
  void* address = nullptr;
  EXPECT_EQ(FindEntryPointIn(kTable, "cuCopy", 2000, false, &address, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(address, Address(1));
  EXPECT_EQ(FindEntryPointIn(kTable, "", 0, false, &address, nullptr), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(address, nullptr);
}

TEST(EntryPoints, AreInTheOrderThatTheSearchReliesOn) {
  const auto table = EntryPoints();
  ASSERT_GE(table.size(), 637u);
  for (size_t i = 1; i < table.size(); ++i) {
    const EntryPoint &before = table[i - 1], &row = table[i];
    const std::string_view base = before.base_name, next_base = row.base_name;
    EXPECT_LE(base, next_base);
    if (row.per_thread) {
      EXPECT_EQ(base, next_base);
      EXPECT_FALSE(before.per_thread) << row.symbol_name;
      const std::string symbol = before.symbol_name;
      EXPECT_TRUE(row.symbol_name == symbol + "_ptsz" || row.symbol_name == symbol + "_ptds") << row.symbol_name;
      EXPECT_GE(row.since, before.since) << row.symbol_name;
    } else if (base == next_base) {
      const EntryPoint& older = before.per_thread ? table[i - 2] : before;
      EXPECT_GT(row.since, older.since) << row.symbol_name;
    }
  }
}

TEST(EntryPoints, ListEachSymbolOnce) {
  std::set<std::string_view> seen;
  for (const EntryPoint& row : EntryPoints()) EXPECT_TRUE(seen.insert(row.symbol_name).second) << row.symbol_name;
}

TEST(GetProcAddress, RefusesWhatIsNoQuestion) {
  void* address = Address(99);
  EXPECT_EQ(GetProcAddress(nullptr, &address, 13000, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(GetProcAddress("cuInit", nullptr, 13000, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(GetProcAddress("cuInit", &address, 13000, 3, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(GetProcAddress("cuInit", &address, 13000, cuuint64_t{1} << 32, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(address, Address(99));
}

TEST(GetProcAddress, AnswersTheProbeOfTheRuntime) {
  void* address = Address(99);
  EXPECT_EQ(GetProcAddress("", &address, 0, CU_GET_PROC_ADDRESS_DEFAULT, nullptr), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(address, nullptr);
}

}  // namespace
}  // namespace outboard
