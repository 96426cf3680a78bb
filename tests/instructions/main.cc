// The test program, and its last test: whether the forms that the engine has and the forms that this program has tested
// are the same.
//
// instruction_tests                          the tests, with the options of GoogleTest
// instruction_tests --written FILE           ... and writes to FILE the forms that the kernels of the tests have, one a
//                                            line, as PTX writes them (scripts/ptx_forms compares them with others)
// instruction_tests --record FILE --driver LIBCUDA [--rehearsal]
//                                            ... and runs every value case on device 0 of a driver as well, and writes
//                                            to FILE what that computes. A software GPU's results are no data of
//                                            hardware: they are written with --rehearsal alone, and say so
// instruction_tests --compare FILE [--known FILE]
//                                            ... and compares what the engine computes with such a file; lists all
//                                            differences, and fails if there is one that the file of known ones lacks
//
// The last test is not run with --record.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string_view>

#include "tests/instructions/machine.h"
#include "tests/instructions/recordings.h"

namespace outboard::softgpu::testing {
namespace {

class EveryFormIsTested final : public ::testing::Test {
  void TestBody() override {
    std::vector<std::string> implemented;
    for (const std::string_view form : ImplementedForms()) implemented.emplace_back(form);
    const std::vector<std::string> tested = TestedForms();
    std::vector<std::string> difference;
    std::set_symmetric_difference(implemented.begin(), implemented.end(), tested.begin(), tested.end(),
                                  std::back_inserter(difference));
    std::printf("forms implemented %zu, tested %zu, difference %zu\n", implemented.size(), tested.size(),
                difference.size());
    std::string names;
    for (const std::string& form : difference) names += "\n  " + form;
    EXPECT_TRUE(difference.empty()) << "implemented but not tested at every level, or the reverse:" << names;
  }
};

struct Arguments {
  std::string written, record, driver, compare, known;
  bool is_rehearsal = false;
};

// Nothing if there is something else among them, or something is missing.
std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  const std::pair<std::string_view, std::string*> options[] = {{"--written", &arguments.written},
                                                               {"--record", &arguments.record},
                                                               {"--driver", &arguments.driver},
                                                               {"--compare", &arguments.compare},
                                                               {"--known", &arguments.known}};
  for (int i = 1; i < argc; ++i) {
    const auto option = std::find_if(std::begin(options), std::end(options),
                                     [&](const auto& candidate) { return candidate.first == argv[i]; });
    if (std::string_view(argv[i]) == "--rehearsal") {
      arguments.is_rehearsal = true;
    } else if (option != std::end(options) && ++i < argc) {
      *option->second = argv[i];
    } else {
      return std::nullopt;
    }
  }
  if (arguments.record.empty() != arguments.driver.empty()) return std::nullopt;
  return arguments;
}

// All tests, and the last one: it asks what those before it did, so it is registered after all of them, the
// parameterised ones included.
int RunAll() {
  ::testing::RegisterTest("InstructionForms", "EveryFormIsTested", nullptr, nullptr, __FILE__, __LINE__,
                          []() -> ::testing::Test* { return new EveryFormIsTested; });
  return RUN_ALL_TESTS();
}

int Fail(const std::string& message) {
  std::fprintf(stderr, "instruction_tests: %s\n", message.c_str());
  return 1;
}

int WriteForms(const std::string& path) {
  std::ofstream file(path);
  for (const std::string& form : WrittenFormsRun()) file << form << "\n";
  return file.flush() ? 0 : Fail(path + " cannot be written");
}

int Record(const Arguments& arguments) {
  std::string error;
  const std::unique_ptr<Recorder> recorder = Recorder::Open(arguments.driver, &error);
  if (recorder == nullptr) return Fail(error);
  const Recording& recording = recorder->recording();
  if (recording.is_rehearsal && !arguments.is_rehearsal) {
    return Fail(recording.device +
                " is no hardware: its results are no data to compare with (--rehearsal writes them)");
  }
  ObserveValues(recorder.get());
  const int status = RUN_ALL_TESTS();
  if (!recorder->failure().empty()) return Fail(recorder->failure() + ": nothing is recorded");
  std::printf("%s, driver %s: %zu cases\n", recording.device.c_str(), recording.driver.c_str(), recording.cases.size());
  if (!WriteRecording(recording, arguments.record)) return Fail(arguments.record + " cannot be written");
  return status;
}

int Compare(const Arguments& arguments) {
  std::optional<Recording> recording = ReadRecording(arguments.compare);
  if (!recording) return Fail(arguments.compare + " is no file of --record");
  std::optional<Comparer::Known> known = Comparer::Known();
  if (!arguments.known.empty()) known = ReadKnownDifferences(arguments.known);
  if (!known) return Fail(arguments.known + " is no file of known differences");
  Comparer comparer(std::move(*recording), std::move(*known));
  ObserveValues(&comparer);
  const int status = RunAll();
  return comparer.Finish() ? status : 1;
}

}  // namespace
}  // namespace outboard::softgpu::testing

int main(int argc, char** argv) {
  using namespace outboard::softgpu::testing;
  ::testing::InitGoogleTest(&argc, argv);
  const auto arguments = Parse(argc, argv);
  if (!arguments) {
    std::fprintf(stderr,
                 "usage: instruction_tests [--written FILE | --record FILE --driver LIBCUDA [--rehearsal] | "
                 "--compare FILE [--known FILE]] [options of GoogleTest]\n");
    return 2;
  }
  if (!arguments->record.empty()) return Record(*arguments);
  if (!arguments->compare.empty()) return Compare(*arguments);
  const int status = RunAll();
  return status != 0 || arguments->written.empty() ? status : WriteForms(arguments->written);
}
