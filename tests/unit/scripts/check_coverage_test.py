import pathlib
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "codegen")]
import check_coverage
import spec

SPEC = """
[cuRegular]
since = 2000
op = 1
proto = "int number"
class = "async"

[cuByHand]
since = 2000
proto = "int number"
class = "local"

[cuByHand_v2]
since = 3020
op = 2
proto = "int number"
class = "async"
custom = "client"

[cuAlone]
since = 2000
op = 3
proto = "int number"
class = "sync"
waits_for = "its answer"
custom = "server"

[cuMissing]
since = 2000
unsupported = "not yet"
"""


class CheckCoverageTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "spec.toml").write_text(SPEC)
        self.entries = spec.load([self.root / "spec.toml"])

    def untested(self, called):
        return [entry.name for entry, _ in check_coverage.untested(self.entries, called)]

    def called(self, text):
        folder = self.root / "tests/unit/stack"
        folder.mkdir(parents=True)
        (folder / "a_test.cc").write_text(text)
        return check_coverage.called_by_tests(folder, self.root)

    def test_what_is_written_by_hand_has_to_be_called(self):
        self.assertEqual(self.untested(set()), ["cuAlone", "cuByHand", "cuByHand_v2"])
        self.assertEqual(self.untested({"cuAlone", "cuByHand_v2"}), ["cuByHand"])
        self.assertEqual(self.untested({"cuAlone", "cuByHand", "cuByHand_v2"}), [])

    def test_a_call_is_one_of_the_exported_function(self):
        self.assertEqual(self.called("EXPECT_EQ(cuAlone(1), 0);\n  cuByHand_v2 (2);"), {"cuAlone", "cuByHand_v2"})

    def test_other_mentions_are_none(self):
        self.assertEqual(self.called('// cuAlone(1)\n/* cuAlone(2) */ "cuAlone(3)" R"(cuAlone(4))"\n'
                                     "custom::cuAlone(5); table.cuAlone(6); table->cuAlone(7); &cuAlone;\n"
                                     "CUresult cuAlone(int number) {}\n"), set())

    def test_headers_of_tests_count_where_they_are_included(self):
        header = self.root / "tests/cases.h"
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text("cuAlone(1);")
        self.assertEqual(self.called('#include "tests/cases.h"\n'), {"cuAlone"})

    def test_a_program_does_not_say_which_version_it_calls(self):
        folder = self.root / "programs"
        folder.mkdir()
        (folder / "a.cu").write_text("cuByHand(1); cuByHand_v2(2); cuAlone(3);")
        self.assertEqual(check_coverage.called_by_programs(folder, self.entries, self.root), {"cuByHand_v2", "cuAlone"})


if __name__ == "__main__":
    unittest.main()
