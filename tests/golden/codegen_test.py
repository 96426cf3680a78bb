"""The generator's output for a small spec, character by character; what it and the audit say of bad ones."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CODEGEN = ROOT / "scripts" / "codegen"
EXPECTED = (HERE / "expected_entry_points.txt").read_text(encoding="utf-8")


def run(script, *arguments):
    command = [sys.executable, "-B", CODEGEN / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class GoodSpec(unittest.TestCase):
    def test_gives_exactly_the_expected_text(self):
        for order in (["one.toml", "two.toml"], ["two.toml", "one.toml"]):
            result = run("generate.py", *(HERE / "spec" / name for name in order))
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(result.stdout, EXPECTED)

    def test_writes_the_same_to_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder, "out.gen.cc")
            result = run("generate.py", "--output", output, *sorted((HERE / "spec").glob("*.toml")))
            self.assertEqual((result.returncode, result.stdout), (0, ""))
            self.assertEqual(output.read_text(encoding="utf-8"), EXPECTED)


class BadSpec(unittest.TestCase):
    """Each spec is refused in one line that starts with the file and the entry."""

    def refused(self, message, **files):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, text in files.items():
                paths.append(pathlib.Path(folder, name + ".toml"))
                paths[-1].write_text(text, encoding="utf-8")
            output = pathlib.Path(folder, "out.gen.cc")
            result = run("generate.py", "--output", output, *paths)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertEqual(result.stderr.strip(), message)
            self.assertFalse(output.exists(), "a refused spec leaves no output")

    def test_unknown_key(self):
        self.refused("a.toml: [cuAct] clas is not a known key", a="[cuAct]\nsince = 2000\nclas = 'async'\n")

    def test_missing_since(self):
        self.refused("a.toml: [cuAct] since is missing", a="[cuAct]\nper_thread = 'ptsz'\n")

    def test_wrong_type(self):
        self.refused("a.toml: [cuAct] since = '2000' is not of type int", a="[cuAct]\nsince = '2000'\n")
        self.refused("a.toml: [cuAct] since = True is not of type int", a="[cuAct]\nsince = true\n")
        self.refused("a.toml: [cuAct] per_thread = 1 is not of type str", a="[cuAct]\nsince = 2000\nper_thread = 1\n")

    def test_no_cuda_version(self):
        reason = "is not a CUDA version (1000 * major + 10 * minor)"
        self.refused(f"a.toml: [cuAct] since = 12 {reason}", a="[cuAct]\nsince = 12\n")
        self.refused(f"a.toml: [cuAct] since = 0 {reason}", a="[cuAct]\nsince = 0\n")
        self.refused(f"a.toml: [cuAct] since = 12345 {reason}", a="[cuAct]\nsince = 12345\n")
        self.refused(
            f"a.toml: [cuAct] per_thread_since = 0 {reason}",
            a="[cuAct]\nsince = 2000\nper_thread = 'ptsz'\nper_thread_since = 0\n",
        )

    def test_wrong_twin(self):
        self.refused(
            "a.toml: [cuAct] per_thread = 'pts' is none of ptsz, ptds", a="[cuAct]\nsince = 2000\nper_thread = 'pts'\n"
        )
        self.refused(
            "a.toml: [cuAct] per_thread = '' is none of ptsz, ptds", a="[cuAct]\nsince = 2000\nper_thread = ''\n"
        )
        self.refused(
            "a.toml: [cuAct] per_thread_since without per_thread", a="[cuAct]\nsince = 2000\nper_thread_since = 7000\n"
        )
        self.refused(
            "a.toml: [cuAct] per_thread_since = 7000 is before since = 8000",
            a="[cuAct]\nsince = 8000\nper_thread = 'ptsz'\nper_thread_since = 7000\n",
        )

    def test_not_a_call(self):
        self.refused("a.toml: [cudaMalloc] is not the name of a driver call", a="[cudaMalloc]\nsince = 2000\n")
        self.refused("a.toml: [act] is not the name of a driver call", a="[act]\nsince = 2000\n")
        self.refused("a.toml: [cuA-B] is not the name of a driver call", a='["cuA-B"]\nsince = 2000\n')

    def test_twin_as_an_entry(self):
        self.refused(
            "a.toml: [cuAct_ptsz] names a per-thread twin; write per_thread on the call itself",
            a="[cuAct_ptsz]\nsince = 2000\n",
        )

    def test_not_a_table(self):
        self.refused("a.toml: [cuAct] is not a table", a="cuAct = 2000\n")

    def test_twice_in_two_files(self):
        entry = "[cuAct]\nsince = 2000\n"
        self.refused("b.toml: [cuAct] is also in a.toml", a=entry, b=entry)

    def test_newer_abi_not_newer(self):
        self.refused(
            "a.toml: [cuAct_v2] since = 4000 is not after cuAct (4000)",
            a="[cuAct_v2]\nsince = 4000\n[cuAct]\nsince = 4000\n",
        )

    def test_no_toml(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.toml")
            for text in ("[cuAct\n", "[cuAct]\nsince = 2000\n[cuAct]\nsince = 2000\n"):
                path.write_text(text, encoding="utf-8")
                result = run("generate.py", path)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, r"^a\.toml: .*line \d+")
            self.assertIn("cuAct", result.stderr)


class Audit(unittest.TestCase):
    """A spec that differs from the headers is found out."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.include = pathlib.Path(self.folder.name, "include")
        self.include.mkdir()
        (self.include / "cuda.h").write_text(
            "CUresult cuAct(int a);\nCUresult cuAct_ptsz(int a);\nCUresult cuCopy(void);\n"
        )
        (self.include / "cudaProfiler.h").write_text("")
        (self.include / "cudaTypedefs.h").write_text(
            "typedef int (*PFN_cuAct_v5000)(int a);\ntypedef int (*PFN_cuAct_v7000_ptsz)(int a);\n"
            "typedef int (*PFN_cuCopy_v2000)(void);\n"
        )
        (self.include / "cudaProfilerTypedefs.h").write_text("")

    def audit(self, text):
        path = pathlib.Path(self.folder.name, "a.toml")
        path.write_text(text, encoding="utf-8")
        result = run("audit.py", "--include", self.include, path)
        self.assertEqual(result.stderr, "")
        return result.returncode, result.stdout.splitlines()[:-1]

    COPY = "[cuCopy]\nsince = 2000\n"
    ACT = "[cuAct]\nsince = 5000\nper_thread = 'ptsz'\nper_thread_since = 7000\n"

    def test_passes_what_agrees(self):
        self.assertEqual(self.audit(self.COPY + self.ACT), (0, []))

    def test_finds_a_missing_call(self):
        status, lines = self.audit(self.ACT)
        self.assertEqual(status, 1)
        self.assertIn("cuCopy is in cuda.h but not in the spec", lines)

    def test_finds_a_call_too_many(self):
        status, lines = self.audit(self.COPY + self.ACT + "[cuMore]\nsince = 2000\n")
        self.assertEqual(status, 1)
        self.assertIn("cuMore is in the spec but not in cuda.h", lines)

    def test_finds_a_missing_twin(self):
        status, lines = self.audit(self.COPY + "[cuAct]\nsince = 5000\n")
        self.assertEqual(status, 1)
        self.assertIn("cuAct_ptsz is in cuda.h but not in the spec", lines)

    def test_finds_a_wrong_version(self):
        status, lines = self.audit(self.COPY.replace("2000", "2010") + self.ACT)
        self.assertEqual((status, lines), (1, ["cuCopy: the spec says [2010], cudaTypedefs.h [2000]"]))


class Generator(unittest.TestCase):
    def test_knows_no_call_by_name(self):
        text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "common/api").glob("*.toml"))
        names = set(re.findall(r"^\[(cu\w+)\]", text, re.M))
        self.assertGreater(len(names), 500)
        for script in CODEGEN.glob("*.py"):
            self.assertEqual(names & set(re.findall(r"\w+", script.read_text(encoding="utf-8"))), set(), script.name)


if __name__ == "__main__":
    unittest.main()
