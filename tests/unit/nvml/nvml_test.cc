#include "common/nvml/nvml.h"

#include <cuda.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/run/gpus_answer.h"
#include "client/run/run_socket.h"
#include "tests/fakes/temporary_folder.h"

extern "C" {
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t, unsigned*, unsigned*);
nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t, unsigned, nvmlEnableState_t*);
nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t, nvmlEnableState_t);
}

namespace outboard::nvml {
namespace {

using wire::Figure;

// Versions of structures, as the manual has them: if a layout were wrong, its size would be.
static_assert(NvmlVersion(sizeof(nvmlMemory_v2_t), 2) == 0x2000028);
static_assert(NvmlVersion(sizeof(nvmlPciInfoExt_v1_t), 1) == 0x1000040);
static_assert(NvmlVersion(sizeof(nvmlTemperature_v1_t), 1) == 0x100000c);
static_assert(NvmlVersion(sizeof(nvmlUUID_v1_t), 1) == 0x1000034);
static_assert(sizeof(nvmlPciInfo_t) == 68 && sizeof(nvmlPciInfo_v2_t) == 52);
static_assert(sizeof(nvmlProcessInfo_v1_t) == 16 && sizeof(nvmlProcessInfo_v2_t) == 24);
static_assert(sizeof(nvmlFieldValue_t) == 40 && sizeof(nvmlMemory_t) == 24);

const run::TicketHolders kNobody([](pid_t) { return true; });

run::NodeStatus TwoGpus() {
  run::NodeStatus status;
  status.lease.driver_version = "580.65.06";
  wire::GpuStatus gpu;
  gpu.name = "Test GPU";
  gpu.uuid = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f";
  gpu.total_bytes = 1000;
  gpu.used_bytes = 300;
  gpu.figures[Figure::kComputeCapabilityMajor] = 9;
  gpu.figures[Figure::kComputeCapabilityMinor] = 0;
  gpu.figures[Figure::kPciDomain] = 0;
  gpu.figures[Figure::kPciBus] = 0x1a;
  gpu.figures[Figure::kPciDevice] = 2;
  gpu.figures[Figure::kPciDeviceId] = 0x233010de;
  status.lease.gpus.push_back(gpu);
  gpu.name = "Other GPU";
  gpu.uuid = "GPU-ff010203-0405-0607-0809-0a0b0c0d0e0f";
  gpu.figures[Figure::kPciBus] = 0xff;
  gpu.used_bytes = 0;
  status.lease.gpus.push_back(gpu);
  return status;
}

// A process under a gpu-run, which says what the test wants.
class NvmlTest : public testing::Test {
 protected:
  NvmlTest() {
    Say(TwoGpus());
    setenv("OUTBOARD_RUN_SOCKET", path_.c_str(), 1);
    Listen();
  }
  ~NvmlTest() override {
    while (nvmlShutdown() == NVML_SUCCESS) {
    }
    // One that is answered again, so that the next test's outage is the first one of which the library tells.
    if (socket_ == nullptr) Listen();
    Say(TwoGpus());
    EXPECT_EQ(nvmlInit(), NVML_SUCCESS);
    nvmlShutdown();
    unsetenv("OUTBOARD_RUN_SOCKET");
  }

  void Listen() {
    unlink(path_.c_str());
    const auto gpus = [this] {
      ++questions_;
      std::lock_guard lock(mutex_);
      return answer_;
    };
    auto opened = run::RunSocket::Open(path_, {[](pid_t) { return std::string("error none"); }, gpus});
    ASSERT_TRUE(opened) << opened.error().message;
    socket_ = std::move(*opened);
  }
  void Leave() { socket_.reset(); }
  void Say(const run::NodeStatus& status) { SayText(run::GpusAnswer(status, kNobody)); }
  void SayText(std::string answer) {
    std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  static nvmlDevice_t Device(unsigned index = 0) {
    nvmlDevice_t device = nullptr;
    EXPECT_EQ(nvmlDeviceGetHandleByIndex_v2(index, &device), NVML_SUCCESS);
    return device;
  }
  static size_t Lines(const std::string& text) {
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  fakes::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/run.sock";
  std::atomic<int> questions_{0};
  std::mutex mutex_;
  std::string answer_;  // guarded by mutex_
  std::unique_ptr<run::RunSocket> socket_;
};

TEST_F(NvmlTest, WithoutInitialisationNothingIsAnswered) {
  unsigned number;
  char text[96];
  nvmlDevice_t device;
  nvmlMemory_t memory;
  EXPECT_EQ(nvmlDeviceGetCount_v2(&number), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlDeviceGetHandleByIndex_v2(0, &device), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlDeviceGetHandleByUUID("GPU-1", &device), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlSystemGetDriverVersion(text, sizeof text), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(nullptr, &memory), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(nullptr, nullptr), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlDeviceGetMigMode(nullptr, &number, &number), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlUnitGetCount(&number), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(questions_, 0);
}

TEST_F(NvmlTest, IsInitialisedUntilTheLastUserHasGone) {
  unsigned count;
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  ASSERT_EQ(nvmlInitWithFlags(1), NVML_SUCCESS);
  EXPECT_EQ(nvmlShutdown(), NVML_SUCCESS);
  EXPECT_EQ(nvmlDeviceGetCount_v2(&count), NVML_SUCCESS);
  EXPECT_EQ(nvmlShutdown(), NVML_SUCCESS);
  EXPECT_EQ(nvmlDeviceGetCount_v2(&count), NVML_ERROR_UNINITIALIZED);
  EXPECT_EQ(nvmlInit(), NVML_SUCCESS);
  EXPECT_EQ(nvmlDeviceGetCount(&count), NVML_SUCCESS);
}

TEST_F(NvmlTest, WithoutGpuRunThereIsNoDriver) {
  unsetenv("OUTBOARD_RUN_SOCKET");
  testing::internal::CaptureStderr();
  EXPECT_EQ(nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
  EXPECT_EQ(nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("gpu-run"), std::string::npos) << log;
  EXPECT_EQ(Lines(log), 1u) << log;
  setenv("OUTBOARD_RUN_SOCKET", path_.c_str(), 1);
  EXPECT_EQ(nvmlInit_v2(), NVML_SUCCESS);
}

TEST_F(NvmlTest, AnAnswerThatIsNoneIsNoDriver) {
  testing::internal::CaptureStderr();
  for (const std::string& answer : {std::string("ok gpus\n"), std::string("ok gpus\n") + std::string(64, '\xff'),
                                    std::string("ok gpus"), std::string("x"), std::string("error the lease is over")}) {
    SayText(answer);
    EXPECT_EQ(nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED) << answer;
  }
  testing::internal::GetCapturedStderr();
}

TEST_F(NvmlTest, ALeaseIsItsGpusWhateverIsVisible) {
  setenv("CUDA_VISIBLE_DEVICES", "1", 1);
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  unsigned count = 0;
  EXPECT_EQ(nvmlDeviceGetCount_v2(&count), NVML_SUCCESS);
  EXPECT_EQ(count, 2u);
  char name[96];
  EXPECT_EQ(nvmlDeviceGetName(Device(0), name, sizeof name), NVML_SUCCESS);
  EXPECT_STREQ(name, "Test GPU");
  EXPECT_EQ(nvmlDeviceGetName(Device(1), name, sizeof name), NVML_SUCCESS);
  EXPECT_STREQ(name, "Other GPU");
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST_F(NvmlTest, ATextThatDoesNotFitIsNotCut) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  char text[96] = "before";
  EXPECT_EQ(nvmlDeviceGetName(Device(), text, 8), NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_EQ(nvmlDeviceGetUUID(Device(), text, 40), NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_EQ(nvmlSystemGetDriverVersion(text, 0), NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_STREQ(text, "before");
  EXPECT_EQ(nvmlDeviceGetName(Device(), text, 9), NVML_SUCCESS);
  EXPECT_EQ(nvmlDeviceGetUUID(Device(), text, 41), NVML_SUCCESS);
  EXPECT_EQ(nvmlDeviceGetName(Device(), nullptr, 9), NVML_ERROR_INVALID_ARGUMENT);
}

TEST_F(NvmlTest, AGpuIsFoundByEachOfItsNames) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  nvmlDevice_t device = nullptr;
  EXPECT_EQ(nvmlDeviceGetHandleByUUID("GPU-FF010203-0405-0607-0809-0a0b0c0d0e0f", &device), NVML_SUCCESS);
  EXPECT_EQ(device, Device(1));
  EXPECT_EQ(nvmlDeviceGetHandleByUUID("GPU-ff", &device), NVML_ERROR_NOT_FOUND);

  nvmlUUID_v1_t uuid{NvmlVersion(sizeof uuid, 1), NVML_UUID_TYPE_BINARY, {}};
  for (unsigned i = 0; i < NVML_DEVICE_UUID_BINARY_LEN; ++i) uuid.value.bytes[i] = static_cast<unsigned char>(i);
  EXPECT_EQ(nvmlDeviceGetHandleByUUIDV(&uuid, &device), NVML_SUCCESS);
  EXPECT_EQ(device, Device(0));
  uuid.type = NVML_UUID_TYPE_ASCII;
  std::memcpy(uuid.value.str, "GPU-ff010203-0405-0607-0809-0a0b0c0d0e0f", NVML_DEVICE_UUID_ASCII_LEN);
  EXPECT_EQ(nvmlDeviceGetHandleByUUIDV(&uuid, &device), NVML_SUCCESS);
  EXPECT_EQ(device, Device(1));
  uuid.type = 3;
  EXPECT_EQ(nvmlDeviceGetHandleByUUIDV(&uuid, &device), NVML_ERROR_INVALID_ARGUMENT);
  uuid.version = 0;
  EXPECT_EQ(nvmlDeviceGetHandleByUUIDV(&uuid, &device), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);

  for (const char* id : {"00000000:1A:02.0", "0000:1a:02.0", "0:1a:2", "1a:02.0"}) {
    device = nullptr;
    EXPECT_EQ(nvmlDeviceGetHandleByPciBusId_v2(id, &device), NVML_SUCCESS) << id;
    EXPECT_EQ(device, Device(0)) << id;
  }
  for (const char* id : {"", "1a", "1a:02", "0000:1a:02.1", "0000:1a:02.0 ", "-0000:1a:02.0", "0:0:1a:02.0", "x:y:z"}) {
    EXPECT_EQ(nvmlDeviceGetHandleByPciBusId(id, &device), NVML_ERROR_INVALID_ARGUMENT) << id;
  }
  EXPECT_EQ(nvmlDeviceGetHandleByPciBusId_v2("0001:1a:02.0", &device), NVML_ERROR_NOT_FOUND);

  unsigned index = 9, minor = 9;
  EXPECT_EQ(nvmlDeviceGetIndex(Device(1), &index), NVML_SUCCESS);
  EXPECT_EQ(nvmlDeviceGetMinorNumber(Device(1), &minor), NVML_SUCCESS);
  EXPECT_EQ(index, 1u);
  EXPECT_EQ(minor, 1u);
}

TEST_F(NvmlTest, WhatIsNoHandleIsRefused) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  nvmlDevice_t none = nullptr;
  unsigned index;
  EXPECT_EQ(nvmlDeviceGetHandleByIndex_v2(2, &none), NVML_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(nvmlDeviceGetIndex(nullptr, &index), NVML_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(nvmlDeviceGetIndex(reinterpret_cast<nvmlDevice_t>(reinterpret_cast<uint64_t>(Device(1)) + 1), &index),
            NVML_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(nvmlDeviceGetIndex(reinterpret_cast<nvmlDevice_t>(reinterpret_cast<uint64_t>(Device(0)) - 1), &index),
            NVML_ERROR_INVALID_ARGUMENT);
}

TEST_F(NvmlTest, PciInfoOfEachVersion) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  nvmlPciInfo_t third;
  ASSERT_EQ(nvmlDeviceGetPciInfo_v3(Device(), &third), NVML_SUCCESS);
  EXPECT_STREQ(third.busId, "00000000:1A:02.0");
  EXPECT_STREQ(third.busIdLegacy, "0000:1A:02.0");
  EXPECT_EQ(third.bus, 0x1au);
  EXPECT_EQ(third.device, 2u);
  EXPECT_EQ(third.pciDeviceId, 0x233010deu);
  EXPECT_EQ(third.pciSubSystemId, 0u);

  struct {
    nvmlPciInfo_v2_t info;
    char behind = 'x';
  } second;
  ASSERT_EQ(nvmlDeviceGetPciInfo_v2(Device(), &second.info), NVML_SUCCESS);
  EXPECT_STREQ(second.info.busId, "0000:1A:02.0");
  EXPECT_EQ(second.info.pciDeviceId, 0x233010deu);
  EXPECT_EQ(second.behind, 'x');

  nvmlPciInfoExt_v1_t extended{};
  EXPECT_EQ(nvmlDeviceGetPciInfoExt(Device(), &extended), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  extended.version = NvmlVersion(sizeof extended, 1);
  EXPECT_EQ(nvmlDeviceGetPciInfoExt(Device(), &extended), NVML_SUCCESS);
  EXPECT_STREQ(extended.busId, "00000000:1A:02.0");
  EXPECT_EQ(extended.version, NvmlVersion(sizeof extended, 1));
}

TEST_F(NvmlTest, MemoryIsAsItIsNow) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  nvmlMemory_t memory{};
  ASSERT_EQ(nvmlDeviceGetMemoryInfo(Device(), &memory), NVML_SUCCESS);
  EXPECT_EQ(memory.total, 1000u);
  EXPECT_EQ(memory.free, 700u);
  EXPECT_EQ(memory.used, 300u);
  run::NodeStatus later = TwoGpus();
  later.lease.gpus[0].used_bytes = 1001;  // the slice was made smaller
  Say(later);
  nvmlMemory_v2_t second{};
  EXPECT_EQ(nvmlDeviceGetMemoryInfo_v2(Device(), &second), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  second.version = NvmlVersion(sizeof second, 2);
  ASSERT_EQ(nvmlDeviceGetMemoryInfo_v2(Device(), &second), NVML_SUCCESS);
  EXPECT_EQ(second.total, 1000u);
  EXPECT_EQ(second.free, 0u);
  EXPECT_EQ(second.used, 1000u);
  EXPECT_EQ(second.reserved, 0u);
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(Device(), nullptr), NVML_ERROR_INVALID_ARGUMENT);
}

TEST_F(NvmlTest, WithoutAFigureNothingIsSupported) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  unsigned one = 77, other = 77;
  nvmlUtilization_t busy{77, 77};
  nvmlEnableState_t state, pending;
  EXPECT_EQ(nvmlDeviceGetTemperature(Device(), NVML_TEMPERATURE_GPU, &one), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetPowerUsage(Device(), &one), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetPowerManagementLimitConstraints(Device(), &one, &other), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetClockInfo(Device(), NVML_CLOCK_SM, &one), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetUtilizationRates(Device(), &busy), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetEccMode(Device(), &state, &pending), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetMigMode(Device(), &one, &other), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetNvLinkState(Device(), 0, &state), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceSetPersistenceMode(Device(), NVML_FEATURE_ENABLED), NVML_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(one, 77u);
  EXPECT_EQ(busy.gpu, 77u);
}

TEST_F(NvmlTest, FiguresAreGivenOut) {
  run::NodeStatus status = TwoGpus();
  wire::Figures& figures = status.lease.gpus[0].figures;
  for (size_t i = 5; i < wire::kFigures; ++i) figures[static_cast<Figure>(i)] = 100 + i;
  figures[Figure::kEnergyMillijoules] = 1ull << 40;
  Say(status);
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  const auto number = [](Figure figure) { return 100 + static_cast<unsigned>(figure); };
  unsigned one = 0, other = 0;
  EXPECT_EQ(nvmlDeviceGetTemperature(Device(), NVML_TEMPERATURE_GPU, &one), NVML_SUCCESS);
  EXPECT_EQ(one, number(Figure::kCelsius));
  EXPECT_EQ(nvmlDeviceGetPowerUsage(Device(), &one), NVML_SUCCESS);
  EXPECT_EQ(one, number(Figure::kPowerMilliwatts));
  EXPECT_EQ(nvmlDeviceGetPowerManagementLimitConstraints(Device(), &one, &other), NVML_SUCCESS);
  EXPECT_EQ(one, number(Figure::kMinPowerLimitMilliwatts));
  EXPECT_EQ(other, number(Figure::kMaxPowerLimitMilliwatts));
  const Figure clocks[] = {Figure::kGraphicsMegahertz, Figure::kSmMegahertz, Figure::kMemoryMegahertz,
                           Figure::kVideoMegahertz};
  const Figure most[] = {Figure::kMaxGraphicsMegahertz, Figure::kMaxSmMegahertz, Figure::kMaxMemoryMegahertz,
                         Figure::kMaxVideoMegahertz};
  for (unsigned type = 0; type < NVML_CLOCK_COUNT; ++type) {
    EXPECT_EQ(nvmlDeviceGetClockInfo(Device(), nvmlClockType_t{type}, &one), NVML_SUCCESS);
    EXPECT_EQ(one, number(clocks[type]));
    EXPECT_EQ(nvmlDeviceGetMaxClockInfo(Device(), nvmlClockType_t{type}, &one), NVML_SUCCESS);
    EXPECT_EQ(one, number(most[type]));
  }
  EXPECT_EQ(nvmlDeviceGetClockInfo(Device(), NVML_CLOCK_COUNT, &one), NVML_ERROR_INVALID_ARGUMENT);
  nvmlUtilization_t busy{};
  EXPECT_EQ(nvmlDeviceGetUtilizationRates(Device(), &busy), NVML_SUCCESS);
  EXPECT_EQ(busy.gpu, number(Figure::kBusyPercent));
  EXPECT_EQ(busy.memory, number(Figure::kMemoryBusyPercent));
  nvmlTemperature_v1_t temperature{NvmlVersion(sizeof temperature, 1), NVML_TEMPERATURE_GPU, 0};
  EXPECT_EQ(nvmlDeviceGetTemperatureV(Device(), &temperature), NVML_SUCCESS);
  EXPECT_EQ(temperature.temperature, static_cast<int>(number(Figure::kCelsius)));

  nvmlFieldValue_t fields[3] = {};
  fields[0].fieldId = NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION;
  fields[1].fieldId = NVML_FI_DEV_POWER_INSTANT;
  fields[2].fieldId = 91;  // number of NVLinks
  EXPECT_EQ(nvmlDeviceGetFieldValues(Device(), 3, fields), NVML_SUCCESS);
  EXPECT_EQ(fields[0].nvmlReturn, NVML_SUCCESS);
  EXPECT_EQ(fields[0].value.ullVal, 1ull << 40);
  EXPECT_EQ(fields[1].value.uiVal, number(Figure::kPowerMilliwatts));
  EXPECT_EQ(fields[2].nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
}

TEST_F(NvmlTest, ACapabilityAndWhatFollowsFromIt) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  int major = 0, minor = 7;
  EXPECT_EQ(nvmlDeviceGetCudaComputeCapability(Device(), &major, &minor), NVML_SUCCESS);
  EXPECT_EQ(major, 9);
  EXPECT_EQ(minor, 0);
  nvmlDeviceArchitecture_t architecture = 0;
  EXPECT_EQ(nvmlDeviceGetArchitecture(Device(), &architecture), NVML_SUCCESS);
  EXPECT_EQ(architecture, NVML_DEVICE_ARCH_HOPPER);
}

TEST_F(NvmlTest, ProcessesOfEachVersion) {
  run::NodeStatus status = TwoGpus();
  status.sessions = {{"a", {5}}, {"b", {6}}};
  run::TicketHolders holders([](pid_t) { return true; });
  holders.Add("a", 11);
  holders.Add("b", 22);
  SayText(run::GpusAnswer(status, holders));
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);

  unsigned count = 0;
  EXPECT_EQ(nvmlDeviceGetComputeRunningProcesses_v3(Device(), &count, nullptr), NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_EQ(count, 2u);
  nvmlProcessInfo_v2_t infos[3];
  count = 1;
  EXPECT_EQ(nvmlDeviceGetComputeRunningProcesses_v2(Device(), &count, infos), NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_EQ(count, 2u);
  for (const auto call : {nvmlDeviceGetComputeRunningProcesses_v2, nvmlDeviceGetComputeRunningProcesses_v3}) {
    count = 3;
    ASSERT_EQ(call(Device(), &count, infos), NVML_SUCCESS);
    ASSERT_EQ(count, 2u);
    EXPECT_EQ(infos[1].pid, 22u);
    EXPECT_EQ(infos[1].usedGpuMemory, 6u);
    EXPECT_EQ(infos[1].gpuInstanceId, ~0u);
  }
  nvmlProcessInfo_v1_t first[2];
  count = 2;
  ASSERT_EQ(nvmlDeviceGetComputeRunningProcesses(Device(), &count, first), NVML_SUCCESS);
  EXPECT_EQ(first[0].pid, 11u);
  EXPECT_EQ(first[1].usedGpuMemory, 6u);
  count = 0;
  EXPECT_EQ(nvmlDeviceGetComputeRunningProcesses_v3(Device(1), &count, nullptr), NVML_SUCCESS);
  EXPECT_EQ(count, 0u);
  count = 3;
  EXPECT_EQ(nvmlDeviceGetComputeRunningProcesses_v3(Device(), &count, nullptr), NVML_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(nvmlDeviceGetGraphicsRunningProcesses_v3(Device(), &count, nullptr), NVML_SUCCESS);
  EXPECT_EQ(count, 0u);
}

TEST_F(NvmlTest, GpusOfALeaseDoNotReachEachOther) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  nvmlGpuP2PStatus_t status;
  EXPECT_EQ(nvmlDeviceGetP2PStatus(Device(0), Device(1), NVML_P2P_CAPS_INDEX_READ, &status), NVML_SUCCESS);
  EXPECT_EQ(status, NVML_P2P_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(nvmlDeviceGetP2PStatus(Device(1), Device(1), NVML_P2P_CAPS_INDEX_READ, &status), NVML_SUCCESS);
  EXPECT_EQ(status, NVML_P2P_STATUS_OK);
  EXPECT_EQ(nvmlDeviceGetP2PStatus(Device(0), Device(1), NVML_P2P_CAPS_INDEX_UNKNOWN, &status),
            NVML_ERROR_INVALID_ARGUMENT);
  nvmlGpuTopologyLevel_t level;
  EXPECT_EQ(nvmlDeviceGetTopologyCommonAncestor(Device(0), Device(1), &level), NVML_SUCCESS);
  EXPECT_EQ(level, NVML_TOPOLOGY_SYSTEM);
}

TEST_F(NvmlTest, VersionsAndErrorsAreTexts) {
  char text[80];
  EXPECT_EQ(nvmlSystemGetNVMLVersion(text, sizeof text), NVML_SUCCESS);  // before nvmlInit
  EXPECT_STREQ(text, "13.580.65.06");
  EXPECT_EQ(nvmlSystemGetDriverVersion(text, sizeof text), NVML_ERROR_UNINITIALIZED);
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  EXPECT_EQ(nvmlSystemGetDriverVersion(text, sizeof text), NVML_SUCCESS);
  EXPECT_STREQ(text, "580.65.06");
  EXPECT_EQ(nvmlSystemGetNVMLVersion(text, sizeof text), NVML_SUCCESS);
  EXPECT_STREQ(text, "13.580.65.06");
  int version = 0;
  EXPECT_EQ(nvmlSystemGetCudaDriverVersion_v2(&version), NVML_SUCCESS);
  EXPECT_EQ(version, CUDA_VERSION);
  for (const unsigned code : {0u, 1u, 15u, 29u, 30u, 999u, ~0u}) {
    ASSERT_NE(nvmlErrorString(nvmlReturn_t{code}), nullptr);
    EXPECT_GT(std::strlen(nvmlErrorString(nvmlReturn_t{code})), 3u) << code;
  }
  EXPECT_STRNE(nvmlErrorString(NVML_ERROR_GPU_IS_LOST), nvmlErrorString(NVML_ERROR_UNKNOWN));
  EXPECT_EQ(nvmlSystemGetProcessName(static_cast<unsigned>(getpid()), text, sizeof text), NVML_SUCCESS);
  EXPECT_EQ(nvmlSystemGetProcessName(~0u >> 1, text, sizeof text), NVML_ERROR_NOT_FOUND);
}

TEST_F(NvmlTest, OutagesAreSaidOnceAndEnd) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  Leave();
  nvmlMemory_t memory{1, 2, 3};
  unsigned power;
  char name[96];
  testing::internal::CaptureStderr();
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(Device(), &memory), NVML_ERROR_GPU_IS_LOST);
  EXPECT_EQ(nvmlDeviceGetPowerUsage(Device(), &power), NVML_ERROR_GPU_IS_LOST);
  std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(Lines(log), 1u) << log;
  EXPECT_NE(log.find(path_), std::string::npos) << log;
  EXPECT_EQ(memory.total, 1u);
  EXPECT_EQ(nvmlDeviceGetName(Device(), name, sizeof name), NVML_SUCCESS);

  Listen();
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(Device(), &memory), NVML_SUCCESS);
  SayText("error the node is gone.");
  testing::internal::CaptureStderr();
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(Device(), &memory), NVML_ERROR_GPU_IS_LOST);
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(Device(), &memory), NVML_ERROR_GPU_IS_LOST);
  log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(Lines(log), 1u) << log;
  EXPECT_NE(log.find("the node is gone"), std::string::npos) << log;
}

TEST_F(NvmlTest, AGpuThatTheLeaseHasNoMoreIsLost) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  run::NodeStatus less = TwoGpus();
  less.lease.gpus.pop_back();
  Say(less);
  nvmlMemory_t memory;
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(Device(1), &memory), NVML_ERROR_GPU_IS_LOST);
}

TEST_F(NvmlTest, AForkedChildGoesOn) {
  ASSERT_EQ(nvmlInit_v2(), NVML_SUCCESS);
  const nvmlDevice_t device = Device();
  nvmlMemory_t memory;
  ASSERT_EQ(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
  const pid_t child = fork();
  if (child == 0) {
    nvmlMemory_t again{};
    _exit(nvmlDeviceGetMemoryInfo(device, &again) == NVML_SUCCESS && again.used == 300 ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
}

TEST_F(NvmlTest, ThreadsMayComeAndGo) {
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&failures] {
      for (int i = 0; i < 50; ++i) {
        unsigned count = 0;
        nvmlMemory_t memory{};
        nvmlDevice_t device = nullptr;
        const bool good = nvmlInit_v2() == NVML_SUCCESS && nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS &&
                          count == 2 && nvmlDeviceGetHandleByIndex_v2(1, &device) == NVML_SUCCESS &&
                          nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS && memory.total == 1000 &&
                          nvmlShutdown() == NVML_SUCCESS;
        if (!good) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace outboard::nvml
