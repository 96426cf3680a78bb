// cuLink*: PTX modules that become one image. The tests of a program that says which driver it means: it includes
// cuda.h as that driver has it, and defines DriverOfLinkerTest, a fixture with a current context, in the namespace in
// which it includes this.

class LinkerTest : public DriverOfLinkerTest {
 protected:
  // Runs apply(memory, 14) of an image; what it stored.
  uint32_t Apply(const void* image) {
    CUmodule module = nullptr;
    CUfunction apply = nullptr;
    CUdeviceptr memory = 0;
    uint32_t value = 14, stored = 0;
    EXPECT_EQ(cuModuleLoadData(&module, image), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleGetFunction(&apply, module, "apply"), CUDA_SUCCESS);
    EXPECT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
    void* parameters[] = {&memory, &value};
    EXPECT_EQ(cuLaunchKernel(apply, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(&stored, memory, 4), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
    return stored;
  }

  static CUresult AddPtx(CUlinkState state, const char* text, const char* name = "text.ptx") {
    return cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, const_cast<char*>(text), std::strlen(text) + 1, name, 0, nullptr,
                            nullptr);
  }

  static CUresult AddBytes(CUlinkState state, CUjitInputType type, std::vector<std::byte> bytes, const char* name) {
    return cuLinkAddData_v2(state, type, bytes.data(), bytes.size(), name, 0, nullptr, nullptr);
  }

  // A host object of nvcc's with PTX for this compute capability.
  static std::vector<std::byte> ObjectOf(const char* text, uint32_t arch = 75) {
    namespace build = image::testing;
    return build::CubinBuilder()
        .Section("__nv_relfatbin", build::Fatbin({{1, arch, build::FromText(text), build::Packing::kZstd}}))
        .Build();
  }

  // An archive of host objects, all named member.o.
  static std::vector<std::byte> ArchiveOf(const std::vector<std::vector<std::byte>>& objects) {
    std::vector<image::testing::Bytes> rows;
    for (const auto& object : objects) rows.push_back(image::testing::ArchiveRow("member.o/", object));
    return image::testing::Archive(rows);
  }
};

// A log that cuLinkCreate is given, with further options.
class LinkLog {
 public:
  explicit LinkLog(std::vector<std::pair<CUjit_option, uintptr_t>> more = {}) {
    more.insert(more.begin(), {{CU_JIT_ERROR_LOG_BUFFER, reinterpret_cast<uintptr_t>(errors_)},
                               {CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, sizeof errors_},
                               {CU_JIT_INFO_LOG_BUFFER, reinterpret_cast<uintptr_t>(infos_)},
                               {CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, sizeof infos_},
                               {CU_JIT_WALL_TIME, 0}});
    for (const auto& [option, value] : more) {
      options_.push_back(option);
      values_.push_back(reinterpret_cast<void*>(value));
    }
  }
  CUresult Create(CUlinkState* state) {
    return cuLinkCreate_v2(static_cast<unsigned>(options_.size()), options_.data(), values_.data(), state);
  }
  std::string errors() const { return errors_; }
  std::string infos() const { return infos_; }
  bool says(const std::string& text) const { return errors().find(text) != std::string::npos; }
  float milliseconds() const {
    float time;
    std::memcpy(&time, &values_[4], sizeof time);
    return time;
  }

 private:
  char errors_[4096] = "", infos_[4096] = "";
  std::vector<CUjit_option> options_;
  std::vector<void*> values_;
};

TEST_F(LinkerTest, LinksSeveralModulesIntoOneImage) {
  CUlinkState state = nullptr;
  void* image = nullptr;
  size_t size = 0;
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCallingModule), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(state, &image, &size), CUDA_SUCCESS);
  ASSERT_NE(image, nullptr);
  EXPECT_GT(size, std::strlen(fakes::kCallingModule));
  EXPECT_EQ(Apply(image), 42u);
  // The image is as good a link's input as any.
  const std::vector<char> copy(static_cast<char*>(image), static_cast<char*>(image) + size);
  CUlinkState again = nullptr;
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &again), CUDA_SUCCESS);
  ASSERT_EQ(
      cuLinkAddData_v2(again, CU_JIT_INPUT_CUBIN, const_cast<char*>(copy.data()), size, "first", 0, nullptr, nullptr),
      CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(again, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(again), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, FilesAreRead) {
  char path[] = "/tmp/outboard_link_XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  const size_t size = std::strlen(fakes::kCalledModule);
  ASSERT_EQ(write(file, fakes::kCalledModule, size), static_cast<ssize_t>(size));
  close(file);
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(cuLinkCreate(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkAddFile_v2(state, CU_JIT_INPUT_PTX, path, 0, nullptr, nullptr), CUDA_SUCCESS);
  unlink(path);
  EXPECT_EQ(cuLinkAddFile(state, CU_JIT_INPUT_PTX, path, 0, nullptr, nullptr), CUDA_ERROR_FILE_NOT_FOUND);
  ASSERT_EQ(cuLinkAddData(state, CU_JIT_INPUT_PTX, const_cast<char*>(fakes::kCallingModule),
                          std::strlen(fakes::kCallingModule) + 1, "text.ptx", 0, nullptr, nullptr),
            CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

// The memory of cuLinkCreate's logs is filled by every later call, up to the size that it had in the beginning.
TEST_F(LinkerTest, LogsSayWhatIsWrong) {
  char errors[4096] = "untouched";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_WALL_TIME};
  void* values[] = {errors, reinterpret_cast<void*>(sizeof errors), nullptr};
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(cuLinkCreate_v2(3, options, values, &state), CUDA_SUCCESS);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[1]), 0u);
  EXPECT_STREQ(errors, "");
  EXPECT_EQ(AddPtx(state, ".version 7.0\n.target sm_75\n.address_size 64\n.entry ("), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[1]), std::strlen(errors));
  EXPECT_NE(std::strlen(errors), 0u);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule, "again.ptx"), CUDA_ERROR_INVALID_SOURCE) << "it is there twice";
  EXPECT_NE(std::string(errors).find("triple is defined in again.ptx, and before in text.ptx"), std::string::npos)
      << errors;
  // What was refused is not among the inputs.
  EXPECT_EQ(AddPtx(state, fakes::kCallingModule), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, ANameThatIsDefinedNowhereIsAnErrorInTheEnd) {
  LinkLog log;
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(log.Create(&state), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCallingModule, "calling.ptx"), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_ERROR_INVALID_SOURCE);
  EXPECT_TRUE(log.says("triple, which calling.ptx uses in apply")) << log.errors();
  // The definition may still come.
  ASSERT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, TakesHostObjectsAndArchivesOfThem) {
  LinkLog log;
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(log.Create(&state), CUDA_SUCCESS);
  ASSERT_EQ(AddBytes(state, CU_JIT_INPUT_OBJECT, ObjectOf(fakes::kCallingModule), "calling.o"), CUDA_SUCCESS);
  // All of an archive is taken, but for what is for other devices.
  constexpr char kOther[] = ".version 9.0\n.target sm_999\n.visible .func triple { ret; }\n";
  ASSERT_EQ(AddBytes(state, CU_JIT_INPUT_LIBRARY, ArchiveOf({ObjectOf(kOther, 999), ObjectOf(fakes::kCalledModule)}),
                     "lib.a"),
            CUDA_SUCCESS)
      << log.errors();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_OBJECT, ObjectOf(fakes::kCalledModule), "called.o"),
            CUDA_ERROR_INVALID_SOURCE);
  EXPECT_TRUE(log.says("triple is defined in called.o, and before in lib.a:member.o")) << log.errors();
  ASSERT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS) << log.errors();
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, OfAFatbinThePtxForTheDeviceIsTaken) {
  namespace build = image::testing;
  const auto fatbin = build::Fatbin({{1, 999, build::FromText("no PTX")},
                                     {1, 75, build::FromText(fakes::kCallingModule), build::Packing::kLz4},
                                     {2, 75, build::CubinBuilder().Build()}});
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  ASSERT_EQ(AddBytes(state, CU_JIT_INPUT_FATBINARY, fatbin, "calling.fatbin"), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, SaysWhyAnInputCannotBeTaken) {
  LinkLog log;
  CUlinkState state = nullptr;
  ASSERT_EQ(log.Create(&state), CUDA_SUCCESS);
  const auto without_code = image::testing::CubinBuilder().Build();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_OBJECT, without_code, "host.o"), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_TRUE(log.says("host.o holds no device code")) << log.errors();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_LIBRARY, ArchiveOf({without_code}), "host.a"), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_LIBRARY, ArchiveOf({ObjectOf(fakes::kCalledModule, 999)}), "new.a"),
            CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_TRUE(log.says("new.a:member.o has no PTX")) << log.errors();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_LIBRARY, without_code, "no.a"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_TRUE(log.says("no.a is no archive")) << log.errors();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_OBJECT, ArchiveOf({}), "no.o"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_TRUE(log.says("no.o is no host object")) << log.errors();
  auto cut = image::testing::Fatbin({});
  image::testing::Patch(cut, image::testing::at::kFatbinPayloadSize, uint64_t{8});
  const auto object = image::testing::CubinBuilder().Section(".nv_fatbin", cut).Build();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_LIBRARY, ArchiveOf({object}), "cut.a"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_TRUE(log.says("the section .nv_fatbin is cut short")) << log.errors();
  EXPECT_EQ(AddBytes(state, CU_JIT_INPUT_NVVM, image::testing::FromText("nvvm"), "code.bc"), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_TRUE(log.says("code.bc is NVVM code")) << log.errors();
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, OptionsOfACompilerAreAccepted) {
  LinkLog log({{CU_JIT_LOG_VERBOSE, 1},
               {CU_JIT_TARGET, CU_TARGET_COMPUTE_90},
               {CU_JIT_OPTIMIZATION_LEVEL, 4},
               {CU_JIT_MAX_REGISTERS, 32},
               {CU_JIT_GENERATE_LINE_INFO, 1},
               {CU_JIT_CACHE_MODE, CU_JIT_CACHE_OPTION_CA}});
  CUlinkState state = nullptr;
  void* image = nullptr;
  ASSERT_EQ(log.Create(&state), CUDA_SUCCESS);
  ASSERT_EQ(AddPtx(state, fakes::kCallingModule, "calling.ptx"), CUDA_SUCCESS);
  const float first = log.milliseconds();
  EXPECT_GT(first, 0);
  CUjit_option level = CU_JIT_OPTIMIZATION_LEVEL;
  void* none = nullptr;
  ASSERT_EQ(cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, const_cast<char*>(fakes::kCalledModule),
                             std::strlen(fakes::kCalledModule) + 1, nullptr, 1, &level, &none),
            CUDA_SUCCESS);
  EXPECT_GT(log.milliseconds(), first) << "the time adds up";
  ASSERT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(log.infos(),
            "calling.ptx: PTX 7.0 for sm_75\ninput 2: PTX 7.0 for sm_75\n"
            "2 PTX modules linked: 1 kernels, 0 bytes of variables\n");
  EXPECT_EQ(log.errors(), "");
  EXPECT_EQ(Apply(image), 42u);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, ATargetIsWhatInputsHaveToBeFor) {
  LinkLog log({{CU_JIT_TARGET, CU_TARGET_COMPUTE_70}});
  CUlinkState state = nullptr;
  ASSERT_EQ(log.Create(&state), CUDA_SUCCESS);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_ERROR_INVALID_PTX);
  EXPECT_TRUE(log.says("text.ptx is for sm_75, which is newer than compute capability 7.0")) << log.errors();
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, OptionsThatAreRefused) {
  using Options = std::vector<std::pair<CUjit_option, uintptr_t>>;
  CUlinkState state = nullptr;
  for (const Options& options : {Options{{CU_JIT_OPTIMIZATION_LEVEL, 5}}, Options{{CU_JIT_TARGET, 1}},
                                 Options{{CU_JIT_TARGET, CU_TARGET_COMPUTE_75}, {CU_JIT_THREADS_PER_BLOCK, 64}}}) {
    EXPECT_EQ(LinkLog(options).Create(&state), CUDA_ERROR_INVALID_VALUE) << options[0].first;
  }
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  for (CUjit_option option : {CU_JIT_WALL_TIME, CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER,
                              CU_JIT_TARGET_FROM_CUCONTEXT, CU_JIT_TARGET}) {
    void* value = reinterpret_cast<void*>(uintptr_t{CU_TARGET_COMPUTE_75});
    EXPECT_EQ(cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, const_cast<char*>(fakes::kCalledModule),
                               std::strlen(fakes::kCalledModule) + 1, "text.ptx", 1, &option, &value),
              CUDA_ERROR_INVALID_VALUE)
        << option;
    EXPECT_EQ(cuLinkAddFile_v2(state, CU_JIT_INPUT_PTX, "/nowhere", 1, &option, &value), CUDA_ERROR_INVALID_VALUE);
  }
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
}

TEST_F(LinkerTest, WrongUse) {
  CUlinkState state = nullptr;
  void* image = nullptr;
  char text[] = "text";
  CUjit_option none = CU_JIT_NUM_OPTIONS;
  void* value = nullptr;
  const auto add = [&](CUjitInputType type, void* data, size_t size) {
    return cuLinkAddData_v2(state, type, data, size, nullptr, 0, nullptr, nullptr);
  };
  EXPECT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkCreate_v2(1, nullptr, nullptr, &state), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkCreate_v2(1, &none, &value, &state), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkDestroy(nullptr), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuLinkCreate_v2(0, nullptr, nullptr, &state), CUDA_SUCCESS);
  EXPECT_EQ(add(CU_JIT_INPUT_PTX, nullptr, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(add(CU_JIT_INPUT_PTX, text, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(add(CU_JIT_NUM_INPUT_TYPES, text, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(add(CU_JIT_INPUT_LIBRARY, text, 4), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_EQ(cuLinkAddFile_v2(state, CU_JIT_INPUT_PTX, nullptr, 0, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkComplete(state, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_SUCCESS);
  EXPECT_EQ(AddPtx(state, fakes::kCalledModule), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkComplete(state, &image, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkDestroy(state), CUDA_ERROR_INVALID_HANDLE);
}
