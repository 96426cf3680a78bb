#include "common/interop/tables.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/interop/interop.h"
#include "common/interop/validity.h"

#if OUTBOARD_RUNTIME_INTEROP

namespace outboard::interop {
namespace {

const auto kTableContext = reinterpret_cast<CUcontext>(0xdead000000001000);
const auto kPrimary = reinterpret_cast<CUcontext>(0xdead000000002000);
const auto kModule = reinterpret_cast<CUmodule>(0xdead000000003000);
const auto kTableStream = reinterpret_cast<CUstream>(0xdead000000004000);
const std::vector<CUfunction> kFunctions = {reinterpret_cast<CUfunction>(0x51), reinterpret_cast<CUfunction>(0x52)};

class FakeHost : public Host {
 public:
  CUresult CurrentContext(CUcontext* context) override {
    *context = current;
    return CUDA_SUCCESS;
  }
  CUresult PrimaryContext(CUdevice device, CUcontext* context) override {
    if (device != 1) return CUDA_ERROR_INVALID_DEVICE;
    *context = kPrimary;
    return CUDA_SUCCESS;
  }
  CUresult ContextId(CUcontext context, unsigned long long* id) override {
    if (context != kTableContext) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *id = 7;
    return CUDA_SUCCESS;
  }
  CUresult StreamId(CUcontext context, CUstream stream, unsigned long long* id) override {
    if (context != kTableContext) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *id = stream == kTableStream ? 70 : stream == CU_STREAM_LEGACY ? 71 : stream == CU_STREAM_PER_THREAD ? 72 : 0;
    return CUDA_SUCCESS;
  }
  CUresult ModuleFunctions(CUmodule module, std::vector<CUfunction>* functions) override {
    if (module != kModule) return CUDA_ERROR_INVALID_HANDLE;
    *functions = kFunctions;
    return CUDA_SUCCESS;
  }
  int DriverVersion() override { return 13000; }
  std::vector<DeviceIdentity> Devices() override { return devices; }

  CUcontext current = kTableContext;
  std::vector<DeviceIdentity> devices = {{kToolsTls, 0, 3, 0}};
};

using Table = const void* const*;

class TablesTest : public testing::Test {
 protected:
  TablesTest() { Install(&host_); }
  ~TablesTest() override { Install(nullptr); }

  Table Get(const CUuuid& id) {
    const void* table = nullptr;
    EXPECT_EQ(ExportTable(&table, &id), CUDA_SUCCESS) << UuidText(id);
    return static_cast<Table>(table);
  }

  template <class Result = CUresult, class... Arguments>
  static Result Call(Table table, int slot, Arguments... arguments) {
    return reinterpret_cast<Result (*)(Arguments...)>(const_cast<void*>(table[slot]))(arguments...);
  }

  FakeHost host_;
};

TEST_F(TablesTest, SayTheirSizeInSlotZero) {
  const std::pair<const CUuuid&, size_t> slots[] = {{kCudartInterface, 13}, {kToolsRuntimeCallbackHooks, 7},
                                                    {kToolsTls, 4},         {kContextChecks, 4},
                                                    {kIntegrityCheck, 3},   {kToolsContext, 52},
                                                    {kToolsModule, 8},      {kUnnamed, 5}};
  for (const auto& [id, count] : slots) {
    const Table table = Get(id);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(table[0]), count * sizeof(void*)) << UuidText(id);
    for (size_t slot = 1; slot < count; ++slot) EXPECT_NE(table[slot], nullptr) << UuidText(id) << " slot " << slot;
    EXPECT_EQ(Get(id), table) << "a table keeps its address";
  }
}

TEST_F(TablesTest, AreFoundByTheirUuidAlone) {
  const CUuuid unknown = ParseUuid("00112233-4455-6677-8899-AABBCCDDEEFF");
  EXPECT_EQ(UuidText(unknown), "00112233-4455-6677-8899-AABBCCDDEEFF");
  int anything = 0;
  const void* table = &anything;
  testing::internal::CaptureStderr();
  EXPECT_EQ(ExportTable(&table, &unknown), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(table, nullptr);
  EXPECT_EQ(ExportTable(&table, &unknown), CUDA_ERROR_NOT_FOUND);
  const std::string logged = testing::internal::GetCapturedStderr();
  EXPECT_NE(logged.find(UuidText(unknown)), std::string::npos) << logged;
  EXPECT_EQ(logged.find(UuidText(unknown)), logged.rfind(UuidText(unknown))) << "logged more than once: " << logged;
}

TEST_F(TablesTest, ProbesAreNotFoundAndNotLogged) {
  testing::internal::CaptureStderr();
  for (const CUuuid* probe : {&kSkipInitProbe, &kCompilerProbe}) {
    int anything = 0;
    const void* table = &anything;
    EXPECT_EQ(ExportTable(&table, probe), CUDA_ERROR_NOT_FOUND);
    EXPECT_EQ(table, nullptr);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(TablesTest, NeedPointersAndAHost) {
  const void* table = nullptr;
  EXPECT_EQ(ExportTable(nullptr, &kToolsTls), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(ExportTable(&table, nullptr), CUDA_ERROR_INVALID_VALUE);
  Install(nullptr);
  EXPECT_EQ(ExportTable(&table, &kToolsTls), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(table, nullptr);
}

TEST_F(TablesTest, AnUnknownSlotRefusesAndSaysSoOnce) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Call(Get(kToolsContext), 17), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(Call(Get(kToolsContext), 17), CUDA_ERROR_NOT_SUPPORTED);
  const std::string logged = testing::internal::GetCapturedStderr();
  EXPECT_NE(logged.find("slot 17 of private driver table " + UuidText(kToolsContext)), std::string::npos) << logged;
  EXPECT_EQ(logged.find("slot 17"), logged.rfind("slot 17")) << logged;
}

TEST_F(TablesTest, GiveThePrimaryContext) {
  CUcontext context = nullptr;
  EXPECT_EQ(Call(Get(kCudartInterface), 2, &context, CUdevice{1}), CUDA_SUCCESS);
  EXPECT_EQ(context, kPrimary);
  EXPECT_EQ(Call(Get(kCudartInterface), 2, &context, CUdevice{5}), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(Call(Get(kCudartInterface), 2, static_cast<CUcontext*>(nullptr), CUdevice{1}), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(TablesTest, GiveZeroedBuffersForHooks) {
  for (const int slot : {2, 6}) {
    void** buffer = nullptr;
    size_t size = 0;
    Call<void>(Get(kToolsRuntimeCallbackHooks), slot, &buffer, &size);
    ASSERT_NE(buffer, nullptr);
    ASSERT_GT(size, 0u);
    for (size_t i = 0; i < size; ++i) EXPECT_EQ(buffer[i], nullptr);
  }
}

TEST_F(TablesTest, GiveTheCurrentContext) {
  CUcontext context = nullptr;
  EXPECT_EQ(Call(Get(kToolsTls), 2, &context), CUDA_SUCCESS);
  EXPECT_EQ(context, kTableContext);
  EXPECT_EQ(Call(Get(kToolsTls), 2, static_cast<CUcontext*>(nullptr)), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(TablesTest, FindNothingWrongWithAContext) {
  uint32_t finding = 5;
  const void* more = nullptr;
  EXPECT_EQ(Call(Get(kContextChecks), 2, kTableContext, &finding, &more), CUDA_SUCCESS);
  EXPECT_EQ(finding, 0u);
  EXPECT_EQ(Call<uint32_t>(Get(kContextChecks), 3), 0u);
}

using Destructor = void (*)(CUcontext, void*, void*);
void CountDown(CUcontext, void*, void* value) { --*static_cast<int*>(value); }

TEST_F(TablesTest, StoreInTheGivenOrTheCurrentContext) {
  const Table table = Get(kContextLocalStorage);
  int alive = 1;
  void *key = &host_, *value = nullptr;
  EXPECT_EQ(Call(table, 2, &value, CUcontext{}, key), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(Call(table, 0, CUcontext{}, key, static_cast<void*>(&alive), Destructor{&CountDown}), CUDA_SUCCESS);
  EXPECT_EQ(Call(table, 2, &value, CUcontext{}, key), CUDA_SUCCESS);
  EXPECT_EQ(value, &alive);
  value = nullptr;
  EXPECT_EQ(Call(table, 2, &value, kTableContext, key), CUDA_SUCCESS);
  EXPECT_EQ(value, &alive);
  EXPECT_EQ(Call(table, 2, &value, kPrimary, key), CUDA_ERROR_INVALID_HANDLE);

  ContextDestroyed(kPrimary);
  EXPECT_EQ(alive, 1);
  ContextDestroyed(kTableContext);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(Call(table, 2, &value, kTableContext, key), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(TablesTest, DeleteFromTheStorage) {
  const Table table = Get(kContextLocalStorage);
  int alive = 1;
  void *key = &host_, *value = nullptr;
  EXPECT_EQ(Call(table, 0, kTableContext, key, static_cast<void*>(&alive), Destructor{&CountDown}), CUDA_SUCCESS);
  EXPECT_EQ(Call(table, 1, CUcontext{}, key), CUDA_SUCCESS);
  EXPECT_EQ(Call(table, 2, &value, kTableContext, key), CUDA_ERROR_INVALID_HANDLE);
  ContextDestroyed(kTableContext);
  EXPECT_EQ(alive, 1);
}

TEST_F(TablesTest, StoreNothingWithoutAContext) {
  const Table table = Get(kContextLocalStorage);
  host_.current = nullptr;
  void *key = &host_, *value = nullptr;
  EXPECT_EQ(Call(table, 0, CUcontext{}, key, key, Destructor{}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(Call(table, 1, CUcontext{}, key), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(Call(table, 2, &value, CUcontext{}, key), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(Call(table, 2, static_cast<void**>(nullptr), kTableContext, key), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(TablesTest, AnswerTheValidityTestFromTheHost) {
  const Table table = Get(kIntegrityCheck);
  const uint64_t seconds = 1700000000;
  ValidityAnswer answer{}, again{}, elsewhere{};
  EXPECT_EQ(Call(table, 1, uint32_t{13002}, seconds, answer.data()), CUDA_SUCCESS);
  EXPECT_EQ(Call(table, 1, uint32_t{13002}, seconds, again.data()), CUDA_SUCCESS);
  EXPECT_NE(answer, ValidityAnswer{});
  EXPECT_EQ(answer, again);
  ++host_.devices[0].pci_bus;
  EXPECT_EQ(Call(table, 1, uint32_t{13002}, seconds, elsewhere.data()), CUDA_SUCCESS);
  EXPECT_NE(answer, elsewhere);
  EXPECT_EQ(Call(table, 1, uint32_t{13002}, seconds, static_cast<uint64_t*>(nullptr)), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(TablesTest, GiveTheIdOfAContext) {
  uint64_t id = 0;
  EXPECT_EQ(Call(Get(kToolsContext), 4, kTableContext, &id), CUDA_SUCCESS);
  EXPECT_EQ(id, 7u);
  id = 0;
  EXPECT_EQ(Call(Get(kToolsContext), 4, CUcontext{}, &id), CUDA_SUCCESS);
  EXPECT_EQ(id, 7u);
  EXPECT_EQ(Call(Get(kToolsContext), 4, kPrimary, &id), CUDA_ERROR_CONTEXT_IS_DESTROYED);
}

TEST_F(TablesTest, GiveTheIdOfAStreamByItsToken) {
  struct Case {
    CUstream stream;
    int per_thread;
    uint64_t id;
  };
  const Table table = Get(kToolsContext);
  for (const Case& c : {Case{kTableStream, 0, 70}, Case{kTableStream, 1, 70}, Case{nullptr, 0, 71}, Case{nullptr, 1, 72},
                        Case{CU_STREAM_LEGACY, 1, 71}, Case{CU_STREAM_PER_THREAD, 0, 72}}) {
    void* token = nullptr;
    uint64_t id = 0;
    EXPECT_EQ(Call(table, 51, kTableContext, c.stream, &token, c.per_thread), CUDA_SUCCESS);
    ASSERT_NE(token, nullptr);
    EXPECT_EQ(Call(table, 39, kTableContext, token, &id), CUDA_SUCCESS);
    EXPECT_EQ(id, c.id);
  }
}

void Collect(void* data, CUfunction function, CUmodule module) {
  EXPECT_EQ(module, kModule);
  static_cast<std::vector<CUfunction>*>(data)->push_back(function);
}

TEST_F(TablesTest, VisitTheFunctionsOfAModule) {
  using Visitor = void (*)(void*, CUfunction, CUmodule);
  const Table table = Get(kToolsModule);
  std::vector<CUfunction> seen;
  EXPECT_EQ(Call<int>(table, 7, kTableContext, kModule, Visitor{&Collect}, static_cast<void*>(&seen)), 1);
  EXPECT_EQ(seen, kFunctions);
  EXPECT_EQ(Call<int>(table, 7, kTableContext, CUmodule{}, Visitor{&Collect}, static_cast<void*>(&seen)), 0);
  EXPECT_EQ(Call<int>(table, 7, kTableContext, kModule, Visitor{}, static_cast<void*>(&seen)), 0);
  EXPECT_EQ(seen.size(), kFunctions.size());
}

TEST_F(TablesTest, RefuseQuietlyWhatCublasCanDoWithout) {
  testing::internal::CaptureStderr();
  int out = 0;
  EXPECT_EQ(Call(Get(kUnnamed), 4, static_cast<void*>(&out), static_cast<void*>(&out)), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace outboard::interop

#endif
