"""The rows of scripts/bench on placement, with a program that stands in for the simulation."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

BENCH = pathlib.Path(__file__).resolve().parents[3] / "scripts/bench"

# Says which policy it was asked for, by its figure.
PROGRAM = f"""#!{sys.executable}
import json, sys
allocated = {{"random": 0.5, "bestfit": 0.75, "spread": 0.25, "fgd": 0.9}}[sys.argv[2]] if sys.argv[1] == "trace" else 0
for name, samples in {{"allocated": [allocated] * 2, "decisions": [40, 60], "ties": [10, 10], "seconds": [1e-5] * 2,
                      "placement": [6e-6, 5e-6], "looks": [2e-6, 4e-6]}}.items():
    print(json.dumps({{"name": name, "samples": samples}}))
"""


class PlacementRows(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="outboard-bench-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        program = self.folder / "build/tests/bench/placement"
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.trace = self.folder / "trace"
        self.trace.mkdir()
        (self.trace / "openb_node_list_gpu_node.csv").touch()
        (self.trace / "openb_pod_list_default.csv").touch()

    def bench(self, *arguments):
        command = [sys.executable, "-B", BENCH, "--build", self.folder / "build", "--json", self.folder / "rows.json"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)

    def rows(self):
        return json.loads((self.folder / "rows.json").read_text())

    def test_without_a_trace_its_rows_are_not_run(self):
        process = self.bench("placement_default_fgd")
        self.assertEqual(process.returncode, 3)
        self.assertRegex(process.stdout, r"placement_default_fgd +NOT RUN: needs --trace DIR")
        self.assertEqual(self.rows(), {})

    def test_what_needs_no_trace_is_measured_without_one(self):
        process = self.bench("placement")
        self.assertEqual(process.returncode, 0)
        self.assertEqual(sorted(self.rows()), [f"placement_us_{policy}" for policy in ("bestfit", "fgd", "spread")])
        self.assertEqual(self.rows()["placement_us_fgd"]["ratio"], 2.5)  # the best of both
        self.assertEqual(process.stdout.count("NOT RUN: needs --trace DIR"), 9)

    def test_a_policy_is_beside_another_in_the_same_run(self):
        process = self.bench("placement_default", "--trace", self.trace)
        self.assertEqual(process.returncode, 0, process.stderr)
        figures = {name: (row["value"], row["baseline"]) for name, row in self.rows().items()}
        self.assertEqual(figures, {"placement_default_bestfit": (75, 50), "placement_default_spread": (25, 75),
                                   "placement_default_fgd": (90, 75)})
        self.assertEqual(self.rows()["placement_default_fgd"]["ratio"], 1.2)
        self.assertIn("fgd (published 95.23): ties in 20% of 100 decisions, 10.0 us each", process.stdout)

    def test_a_trace_that_is_missing_is_named(self):
        process = self.bench("placement_multigpu50_fgd", "--trace", self.trace)
        self.assertEqual(process.returncode, 3)
        self.assertIn("trace/openb_pod_list_multigpu50.csv is missing", process.stdout)

    def test_other_traces_of_the_folder_have_rows(self):
        (self.trace / "openb_pod_list_gpuspec33.csv").touch()
        process = self.bench("placement_gpuspec33_fgd", "--trace", self.trace)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertNotIn("published", process.stdout)

    def test_unknown_rows_are_refused(self):
        process = self.bench("placement_default_worstfit")
        self.assertEqual(process.returncode, 2)
        self.assertIn("unknown row: placement_default_worstfit", process.stderr)


if __name__ == "__main__":
    unittest.main()
