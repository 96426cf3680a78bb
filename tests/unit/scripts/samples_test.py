"""The parts of scripts/samples that need neither the samples nor a compiler."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import check_samples
from cuda_samples import build, outcome, ptx, recipe, run, table

PAGE = """# Page

| sample | needs | run |
|---|---|---|
| outside | a heading of a folder | listed |

### 0_Introduction

| sample | needs | run |
|---|---|---|
| first | launches | listed, `stock` |
| second | a window | no: a window, and nothing else |

### 3_CUDA_Features

| sample | needs | run |
|---|---|---|
| third | tensor cores | listed, `compute_80`, `SOFTGPU_CC=9.0` |

## Results

| sample | through the stack | natively | cause |
|---|---|---|---|
| first | pass | pass | |
"""


class TableTest(unittest.TestCase):
    def test_rows(self):
        first, second, third = table.parse(PAGE)
        self.assertEqual((first.folder, first.name, first.needs), ("0_Introduction", "first", "launches"))
        self.assertTrue(first.listed and first.stock)
        self.assertEqual((first.architecture, first.environment), (None, {}))
        self.assertFalse(second.listed)
        self.assertEqual(second.reason, "a window, and nothing else")
        self.assertTrue(third.listed)
        self.assertFalse(third.stock)
        self.assertEqual((third.architecture, third.environment), ("compute_80", {"SOFTGPU_CC": "9.0"}))

    def test_rows_that_are_refused(self):
        for row in ("| a | b |", "| a | b | c |", "| a |  | listed |", "| a | b | listed soon |", "| a | b | no |",
                    "| a | b | listed, stock |", "| a | b | listed, `unknown` |"):
            with self.assertRaises(ValueError, msg=row):
                table.parse(f"### 0_Introduction\n{row}\n")
        with self.assertRaises(ValueError):
            table.parse("### 0_A\n| a | b | listed |\n### 1_B\n| a | b | listed |\n")

    def test_the_page(self):
        page = (ROOT / "docs/samples.md").read_text(encoding="utf-8")
        samples = table.parse(page)
        listed = [sample for sample in samples if sample.listed]
        self.assertIn(f"{len(listed)} of {len(samples)} are listed.", page)
        self.assertEqual(sum(sample.stock for sample in samples), 10)


class ResultsTest(unittest.TestCase):
    def test_a_listed_sample_has_a_result_or_a_cause(self):
        self.assertEqual(list(check_samples.gaps(PAGE)), [("third", "has no result")])
        self.assertEqual(list(check_samples.gaps(PAGE + "| third | fail | pass | no tensor cores |\n")), [])
        self.assertEqual([name for name, _ in check_samples.gaps(PAGE + "| third | fail | fail |  |\n")], ["third"])

    def test_rows_that_are_refused(self):
        with self.assertRaises(ValueError):
            table.parse_results(PAGE + "| third | pass |\n")

    def test_the_page(self):
        self.assertNotEqual(table.parse_results((ROOT / "docs/samples.md").read_text(encoding="utf-8")), [])


class OutcomeTest(unittest.TestCase):
    def verdict(self, status, output):
        return outcome.judge(status, output, 300).verdict

    def test_what_is_reported_of_a_kernel_is_a_failure(self):
        report = "outboard: check: race: read of 4 bytes\noutboard: check:   kernel K"
        self.assertEqual(outcome.judge(76, f"Test PASSED\n{report}\n", 300),
                         outcome.Outcome("fail", "outboard: check: race: read of 4 bytes"))
        self.assertEqual(self.verdict(0, "Test PASSED\noutboard: --check: nothing reported\n"), "pass")

    def test_pass(self):
        self.assertEqual(outcome.judge(0, "Test PASSED\n", 300), outcome.Outcome("pass"))
        self.assertEqual(self.verdict(0, "it says nothing of itself\n"), "pass")
        self.assertEqual(self.verdict(0, "Device 1 does not support this, left out\nTest passed\n"), "pass")
        self.assertEqual(self.verdict(0, "it copies, since the device does not support mapping\n"), "pass")
        self.assertEqual(self.verdict(0, "Launch kernel to generate assertion failures\nreturned OK\n"), "pass")

    def test_own_failure(self):
        for text in ("Test FAILED", "Test failed!", "Result = FAIL", "Validation FAILURE!", "returned ERROR!",
                     "Process 0: Verification mismatch at 3: 1 != 0", "atomicAdd failed"):
            self.assertEqual(outcome.judge(0, f"begin\n{text}\nend\n", 300), outcome.Outcome("fail", text))

    def test_a_fault_that_the_sample_does_not_look_for(self):
        fault = "outboard: error: illegal address 0x7f00 in kernel K, block (0,0,0), thread (0,0,0), PTX line 97"
        self.assertEqual(outcome.judge(0, f"{fault}\nTest passed\n", 300), outcome.Outcome("fail", fault))

    def test_status(self):
        self.assertEqual(outcome.judge(1, "one\ntwo\n\n", 300), outcome.Outcome("fail", "status 1: two"))
        self.assertEqual(outcome.judge(-11, "", 300), outcome.Outcome("fail", "signal 11: it wrote nothing"))
        self.assertEqual(outcome.judge(None, "step 3\n", 300),
                         outcome.Outcome("fail", "not finished after 300 s; last line: step 3"))

    def test_refused(self):
        waived = outcome.judge(2, "Waiving execution as device does not support it\nbye\n", 300)
        self.assertEqual(waived, outcome.Outcome("refused", "Waiving execution as device does not support it"))
        self.assertEqual(self.verdict(2, "nothing\n"), "refused")
        self.assertEqual(self.verdict(0, "Device 0 does not support mapping CPU host memory!\n"), "refused")
        self.assertEqual(self.verdict(0, "Skipping execution as driver does not support it\n"), "refused")
        ours = "outboard: warn: cuGraphCreate is not supported (later); it returns CUDA_ERROR_NOT_SUPPORTED"
        self.assertEqual(outcome.judge(1, f"{ours}\nCUDA error at x.cu:3\n", 300), outcome.Outcome("refused", ours))
        ours_too = "outboard: error: kernel k cannot run on the software GPU: line 3: mma.sync"
        self.assertEqual(outcome.judge(-6, f"{ours_too}\nlast\n", 300), outcome.Outcome("refused", ours_too))
        # What is missing does not excuse a program that goes on and comes to a wrong result.
        self.assertEqual(self.verdict(0, f"{ours}\nTest FAILED\n"), "fail")


class RecipeTest(unittest.TestCase):
    def read(self, text, folder="0_Introduction", folders=()):
        return recipe.read(folder, text, lambda path: path in folders, "/toolkit")

    def test_sources_and_options(self):
        found = self.read("""
            # add_executable(commented out.cu)
            add_executable(a a.cu inc/b.cpp ../../../Common/c.cpp)
            target_compile_options(a PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--extended-lambda>)
            set_target_properties(a PROPERTIES CUDA_SEPARABLE_COMPILATION ON)
            target_include_directories(a PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/inc ${CUDAToolkit_INCLUDE_DIRS})
            if(WIN32)
              target_link_libraries(a ${PC_GLUT_LIBRARY_DIRS}/freeglut.lib)
            else()
              target_link_libraries(a PUBLIC CUDA::cublas CUDA::cudart CUDA::cublas ${GLUT_LIBRARIES})
            endif()""", folders=("./inc",))
        self.assertEqual(found.sources, ("a.cu", "inc/b.cpp", "../../../Common/c.cpp"))
        self.assertEqual(found.options, ("-I../../../Common", "-rdc=true", "-I./inc", "-cudart=shared"))
        self.assertEqual(found.libraries, ("-lcublas", "-lglut"))
        self.assertEqual(found.images, ())

    def test_images(self):
        found = self.read("""
            add_executable(a a.cpp)
            set(CUDA_FATBIN_FILE "${CMAKE_CURRENT_BINARY_DIR}/a64.fatbin")
            set(CUDA_KERNEL_SOURCE "${CMAKE_CURRENT_SOURCE_DIR}/a_kernel.cu")
            add_custom_command(
              OUTPUT ${CUDA_FATBIN_FILE}
              COMMAND ${CMAKE_CUDA_COMPILER} ${GENCODE_FLAGS} -o ${CUDA_FATBIN_FILE} -fatbin ${CUDA_KERNEL_SOURCE})
            add_custom_command(TARGET a POST_BUILD COMMAND ${CMAKE_COMMAND} -E copy data .)""")
        self.assertEqual(found.images, (("-fatbin", "./a_kernel.cu", "./a64.fatbin"),))

    def test_options_of_a_folder(self):
        found = self.read("add_executable(a a.c)\ntarget_link_libraries(a ${NVVM_LIB} ${CUDA_LIB})", "7_libNVVM")
        self.assertIn('-DLIBCUDADEVRT="/toolkit/lib64/libcudadevrt.a"', found.options)
        self.assertEqual(found.libraries, ("-lnvvm", "-lcuda"))

    def test_refused(self):
        with self.assertRaises(ValueError):
            self.read("project(a)")
        with self.assertRaises(ValueError):
            self.read("add_executable(a a.cu)\ntarget_link_libraries(a ${UNKNOWN})")

    def test_cause_of_a_failed_build(self):
        self.assertEqual(build.cause_of("begin\na.cu(3): error: no\nend\n"), "a.cu(3): error: no")
        self.assertEqual(build.cause_of("begin\nend\n"), "end")


class PtxTest(unittest.TestCase):
    def test_a_sample_that_is_never_built_has_the_common_headers_as_well(self):
        for folder in ("0_Introduction", "8_Platform_Specific/Tegra"):
            with tempfile.TemporaryDirectory() as checkout:
                (pathlib.Path(checkout) / "Common").mkdir()
                place = pathlib.Path(checkout) / "Samples" / folder / "name"
                place.mkdir(parents=True)
                (place / "code.cu").touch()
                (place / "host.cpp").touch()
                sample = table.Sample(folder, "name", "a window", "a window")
                (option,), sources = ptx.sources_of(sample, place, pathlib.Path("/nowhere"))
                self.assertEqual(sources, ["code.cu"])
                self.assertTrue((place / option.removeprefix("-I")).samefile(pathlib.Path(checkout) / "Common"))


class RunnerTest(unittest.TestCase):
    def outcome_of(self, script, arguments=None, seconds=60, settings=()):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            program = folder / "program"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            sample = table.Sample("0_Introduction", "program", "nothing", "", settings)
            runner = run.Runner(pathlib.Path("/nowhere"), True, seconds, {"program": arguments or {}}, folder)
            result = runner.run(sample, program)
            self.log = (folder / "program.txt").read_text()
            return result

    def test_arguments_and_environment(self):
        arguments = {"min_gpus": 2, "args": ["-a", "-b"]}
        script = 'echo "$@" $SOFTGPU_DEVICES $SOFTGPU_CC $LD_LIBRARY_PATH; pwd; exit 1'
        self.outcome_of(script, arguments, settings=("SOFTGPU_CC=9.0",))
        self.assertIn("\n-a -b 2 9.0 /nowhere/lib/outboard/softgpu\n", self.log)

    def test_the_first_run_that_does_not_pass_counts(self):
        runs = {"runs": [{"args": ["0"]}, {"args": ["7"]}, {"args": ["8"]}]}
        result = self.outcome_of('echo "with $1"; exit $1', runs)
        self.assertEqual(result, outcome.Outcome("fail", "status 7: with 7"))
        self.assertNotIn("with 8", self.log)

    def test_limits(self):
        result = self.outcome_of("echo begun; sleep 1000 & wait", seconds=1)
        self.assertEqual(result, outcome.Outcome("fail", "not finished after 1 s; last line: begun"))
        result = self.outcome_of("yes | head -c 9000000; exit 3")
        self.assertEqual(result, outcome.Outcome("fail", "status 3: y"))
        self.assertLess(len(self.log), 9000000)


if __name__ == "__main__":
    unittest.main()
