"""The simulation of the placement benchmark on traces so small that the right figures can be worked out by hand.

usage: placement_test.py PROGRAM
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

NODES = "sn,cpu_milli,memory_mib,gpu,model\n"
TASKS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"
POLICIES = ("bestfit", "spread", "fgd")
ALL = (*POLICIES, "random")
NODE = "a,8000,8192,1,T4\n"


def run(nodes, tasks, policy, *more):
    with tempfile.TemporaryDirectory(prefix="outboard-bench-") as folder:
        files = pathlib.Path(folder, "nodes.csv"), pathlib.Path(folder, "tasks.csv")
        for file, text in zip(files, (nodes, tasks)):
            file.write_text(text)
        return subprocess.run([PROGRAM, "trace", policy, *files, *more], capture_output=True, text=True, timeout=60)


def samples(*arguments):
    process = run(*arguments)
    if process.returncode != 0:
        raise AssertionError(process.stderr)
    return {record["name"]: record["samples"] for record in map(json.loads, process.stdout.splitlines())}


class Placement(unittest.TestCase):
    def test_tasks_that_fit_well_fill_the_cluster(self):
        nodes = NODES + "a,8000,8192,2,T4\nb,8000,8192,1,T4\n"
        for policy in ALL:
            got = samples(nodes, TASKS + "t,1000,1024,1,500,,LS\n", policy)
            self.assertEqual(got["allocated"], [1.0] * 10)
            self.assertEqual(got["decisions"], [6] * 10)  # and not the 130 %

    def test_cpus_and_memory_limit_what_fits(self):
        for machine in ("2000,8192", "8000,2048"):
            for policy in ALL:
                got = samples(NODES + f"a,{machine},4,T4\n", TASKS + "t,1000,1024,1,1000,,LS\n", policy)
                self.assertEqual(got["allocated"], [0.5] * 10)
                self.assertEqual(got["decisions"], [4] * 10)

    def test_the_last_task_before_all_is_asked_for_counts(self):
        got = samples(NODES + "a,8000,8192,1,T4\n", TASKS + "t,0,0,1,300,,LS\n", "bestfit")
        self.assertEqual(got["allocated"], [0.9] * 10)
        self.assertEqual(got["decisions"], [3] * 10)

    def test_a_trace_without_models_has_no_filter(self):
        nodes = NODES + "a,8000,8192,1,T4\nb,8000,8192,1,P100\n"
        tasks = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\nt,0,0,1,1000\n"
        self.assertEqual(samples(nodes, tasks, "fgd")["allocated"], [1.0] * 10)

    def test_models_are_filtered(self):
        nodes = NODES + "a,8000,8192,1,T4\nb,8000,8192,1,P100\nc,8000,8192,2,A10\n"
        for policy in ALL:
            self.assertEqual(samples(nodes, TASKS + "t,0,0,1,1000,T4|P100,LS\n", policy)["allocated"], [0.5] * 10)

    def test_ties_are_counted(self):
        nodes = NODES + "a,8000,8192,1,T4\nb,8000,8192,1,T4\nc,8000,8192,1,T4\n"
        for policy in POLICIES:
            self.assertEqual(samples(nodes, TASKS + "t,0,0,1,1000,,LS\n", policy)["ties"], [2] * 10)

    def test_the_same_seeds_give_the_same(self):
        nodes = NODES + "".join(f"n{i},{8000 + 1000 * i},8192,{1 + i % 4},T4\n" for i in range(9))
        tasks = TASKS + "".join(f"t,{100 * i},{10 * i},1,{90 * i},,LS\n" for i in range(1, 12)) + "t,0,0,2,1000,,LS\n"
        for policy in ALL:
            for more in ([], ["7"]):
                first, second = (samples(nodes, tasks, policy, *more) for _ in range(2))
                self.assertEqual(first["allocated"], second["allocated"])
                self.assertGreater(len(set(first["allocated"])), 1)

    def test_random_fills_less_than_best_fit(self):
        nodes = NODES + "".join(f"n{i},0,0,4,T4\n" for i in range(8))
        tasks = TASKS + "t,0,0,1,500,,LS\n" * 8 + "t,0,0,4,1000,,LS\n"
        allocated = {policy: samples(nodes, tasks, policy)["allocated"] for policy in ("random", "bestfit")}
        self.assertLess(statistics.mean(allocated["random"]), statistics.mean(allocated["bestfit"]))

    def test_other_ends_of_lines_and_empty_lines_change_nothing(self):
        nodes, tasks = NODES + NODE, TASKS + "t,0,0,1,300,,LS\n"
        got = [samples(nodes.replace("\n", end), tasks.replace("\n", end), "bestfit")["allocated"]
               for end in ("\n", "\r\n", "\n\n")]
        self.assertEqual(got, [[0.9] * 10] * 3)

    def test_what_cannot_be_a_trace_is_refused(self):
        for nodes, tasks, complaint in ((NODES + "a,8000,8192,0,\n", TASKS + "t,0,0,1,500,,LS\n", "no node has a GPU"),
                                        (NODES + NODE, TASKS + "t,0,0,0,0,,LS\n", "no task asks for a GPU"),
                                        (NODES + NODE, TASKS, "no task asks for a GPU"),
                                        (NODES + NODE, "", "the line with the columns' names is missing"),
                                        ("sn\na\n", TASKS, "there is no column cpu_milli")):
            process = run(nodes, tasks, "bestfit")
            self.assertEqual(process.returncode, 1)
            self.assertIn(complaint, process.stderr)

    def test_a_file_that_is_not_there_is_named(self):
        command = [PROGRAM, "trace", "fgd", "/nonexistent/nodes.csv", "/nonexistent/tasks.csv"]
        process = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("/nonexistent/nodes.csv: No such file or directory", process.stderr)

    def test_what_is_wrong_with_a_file_is_said_with_its_line(self):
        for text, complaint in (("t,0,0,1,1001,,LS\n", "tasks.csv:2: gpu_milli is 1001"),
                                ("t,0,0,1,500,,LS\nt,x,0,1,500,,LS\n", "tasks.csv:3: cpu_milli is x"),
                                ("t,0,0\n", "tasks.csv:2: there is no value of num_gpu")):
            process = run(NODES + "a,8000,8192,1,T4\n", TASKS + text, "fgd")
            self.assertEqual(process.returncode, 1)
            self.assertIn(complaint, process.stderr)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
