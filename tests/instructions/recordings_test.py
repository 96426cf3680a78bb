"""Recording what a driver's device computes, and comparing the engine with it. The software GPU's own driver stands in
for hardware, as a rehearsal.

usage: recordings_test.py INSTRUCTION_TESTS LIBCUDA
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM, DRIVER = sys.argv[1:3]
DATA = pathlib.Path(__file__).resolve().parent / "data"
SOME = "--gtest_filter=*Integer*/v2:*Float*/v2"


class Recordings(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="outboard-instructions-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "recording"

    def run_tests(self, *arguments):
        """(status, what was printed)"""
        environment = {**os.environ, "SOFTGPU_DIR": str(self.folder / "gpu"), "SOFTGPU_MEMORY": "64MiB"}
        done = subprocess.run([PROGRAM, *map(str, arguments), SOME, "--gtest_brief=1"], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def record(self, *more):
        return self.run_tests("--record", self.file, "--driver", DRIVER, *more)

    def compare(self, *more):
        return self.run_tests("--compare", self.file, *more)

    def test_a_software_gpu_is_no_hardware(self):
        status, output = self.record()
        self.assertEqual(status, 1, output)
        self.assertIn("is no hardware", output)
        self.assertFalse(self.file.exists())

    def test_a_driver_that_is_not_there(self):
        status, output = self.run_tests("--record", self.file, "--driver", self.folder / "libcuda.so.1")
        self.assertEqual(status, 1, output)
        self.assertFalse(self.file.exists())

    def test_there_and_back(self):
        status, output = self.record("--rehearsal")
        self.assertEqual(status, 0, output)
        status, output = self.compare()
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"\(rehearsal\): [1-9]\d+ cases compared, 0 known to differ, 0 differ; 0 refused there")

        # One result that another device computes.
        text = self.file.read_text()
        changed = re.sub(r"(case (mul\.hi\.u32) .*\ninputs .*\nresults) \S+", r"\1 1234567", text, count=1)
        self.assertNotEqual(text, changed)
        self.file.write_text(changed)
        status, output = self.compare()
        self.assertEqual(status, 1, output)
        self.assertRegex(output,
                         r"(?m)^DIFFERS: mul\.hi\.u32 .*: 1 of \d+ results differ; of input 0 it is \w+, recorded is "
                         r"1234567$")
        self.assertIn("0 known to differ, 1 differ;", output)

        known = self.folder / "known"
        known.write_text("# why\nmul.hi.u32: this device is wrong\n")
        status, output = self.compare("--known", known)
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"(?m)^known: mul\.hi\.u32 .*\(this device is wrong\)$")

        # Not known is what another form does, nor what differs although the guard was true, as it is of input 0.
        for line in ("mul.lo.u32: this device is wrong\n", "mul.hi.u32 (unguarded): this device is wrong\n"):
            known.write_text(line)
            status, output = self.compare("--known", known)
            self.assertEqual(status, 1, output)
        known.write_text("mul.hi.u32: this device is wrong\n")

        # Inputs that are not those of then, and other results than there are, of forms that are known to differ.
        self.file.write_text(re.sub(r"(case mul\.hi\.u32 .*\ninputs) \w+", r"\1 1", changed, count=1))
        status, output = self.compare("--known", known)
        self.assertEqual(status, 1, output)
        self.assertIn("was recorded with other inputs", output)
        self.file.write_text(re.sub(r"(case mul\.hi\.u32 .*\ninputs \w+\nresults) \w+", r"\1", changed, count=1))
        status, output = self.compare("--known", known)
        self.assertEqual(status, 1, output)
        self.assertIn("was recorded with another number of results", output)

    def test_the_data_are_of_hardware(self):
        paths = list(DATA.glob("*.results"))
        self.assertTrue(paths)
        for path in paths:
            head = path.read_text().split("\ncase ", 1)[0]
            self.assertRegex(head, r"\ndevice .+\ndriver \d+\ncompute \d+\.\d+$", path)
            self.assertNotIn("software", head, path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
