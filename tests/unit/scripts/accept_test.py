import importlib
import pathlib
import re
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from acceptance.line import Line, judge


class JudgeTest(unittest.TestCase):
    def verdict(self, line, status, output=""):
        return judge(line, status, output)[1].split(":")[0]

    def test_status_alone(self):
        self.assertEqual(self.verdict(Line("t", "c"), 0), "PASS")
        self.assertEqual(self.verdict(Line("t", "c"), 1), "FAIL")

    def test_limits(self):
        line = Line("t", "c", figure=r"^speed ([\d.]+)$", limit=">= 1.5")
        self.assertEqual(self.verdict(line, 0, "speed 1.5\n"), "PASS")
        self.assertEqual(self.verdict(line, 0, "speed 1.49\n"), "FAIL")
        at_most = Line("t", "c", figure=r"^speed ([\d.]+)$", limit="<= 1.5")
        self.assertEqual(self.verdict(at_most, 0, "speed 1.6\n"), "FAIL")

    def test_last_figure_counts(self):
        line = Line("t", "c", figure=r"^(\d+ passed), (\d+) failed$", limit="== 0")
        self.assertEqual(self.verdict(line, 0, "3 passed, 0 failed\n5 passed, 1 failed\n"), "FAIL")
        self.assertEqual(judge(line, 0, "5 passed, 0 failed\n"), ("5 passed 0", "PASS"))

    def test_missing_figure_fails(self):
        self.assertEqual(self.verdict(Line("t", "c", figure="x"), 0, "y"), "FAIL")

    def test_a_good_figure_does_not_hide_a_bad_status(self):
        self.assertEqual(self.verdict(Line("t", "c", figure="(1)", limit="== 1"), 3, "1"), "FAIL")

    def test_time_over(self):
        self.assertEqual(self.verdict(Line("t", "c"), None), "FAIL")


class TablesTest(unittest.TestCase):
    def test_every_line_can_be_judged(self):
        topics = sorted(path.stem for path in (SCRIPTS / "acceptance").glob("*.py") if path.stem != "line")
        self.assertIn("api_breadth", topics)
        for topic in topics:
            for line in importlib.import_module(f"acceptance.{topic}").LINES:
                with self.subTest(topic=topic, line=line.text):
                    self.assertIsInstance(line, Line)
                    self.assertTrue(line.command)
                    self.assertEqual(re.compile(line.figure).groups > 0, bool(line.figure))
                    self.assertTrue(line.figure or not line.limit)
                    for need in line.needs:
                        self.assertIsInstance(need() or "", str)


if __name__ == "__main__":
    unittest.main()
