import pathlib
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
import summarize_tests


class SummarizeTestsTest(unittest.TestCase):
    def test_outcomes(self):
        def outcome(status, inside=""):
            case = ElementTree.fromstring(f'<testcase status="{status}">{inside}</testcase>')
            return summarize_tests.outcome_of(case)
        self.assertEqual(outcome("run"), "passed")
        self.assertEqual(outcome("fail", '<failure message=""/>'), "failed")
        self.assertEqual(outcome("notrun", '<skipped message="SKIP_RETURN_CODE=77"/>'), "skipped")
        self.assertEqual(outcome("notrun", '<skipped message="Unable to find executable"/>'), "failed")
        self.assertEqual(outcome("disabled"), "skipped")

    def test_last_line_counts(self):
        cases = [("a", "passed", "fine"), ("b", "failed", "expected 1\ngot 2"), ("c", "skipped", "")]
        lines, status = summarize_tests.summarize(cases, 8)
        self.assertEqual(lines, ["skipped: c", "FAILED: b", "  expected 1", "  got 2", "1 passed, 1 failed"])
        self.assertEqual(status, 1)
        self.assertEqual(summarize_tests.summarize([("a", "passed", "")], 0), (["1 passed, 0 failed"], 0))

    def test_of_long_output_the_end_is_shown(self):
        lines, _ = summarize_tests.summarize([("a", "failed", "\n".join(map(str, range(1000))))], 8)
        self.assertEqual(lines[-2], "  999")
        self.assertLess(len(lines), 50)

    def test_a_stopped_run_fails(self):
        lines, status = summarize_tests.summarize([("a", "passed", "")], 124)
        self.assertEqual((lines[-1], status), ("1 passed, 1 failed", 1))

    def test_no_tests_fail(self):
        lines, status = summarize_tests.summarize([], 0)
        self.assertEqual((lines[-1], status), ("0 passed, 1 failed", 1))


if __name__ == "__main__":
    unittest.main()
