"""The generator's output for a small spec, character by character; what it and the audit say of bad ones."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CODEGEN = ROOT / "scripts" / "codegen"
sys.path.insert(0, str(CODEGEN))
import spec  # noqa: E402

EXPECTED = HERE / "expected"  # the text of common/x.gen.h in common_x.gen.h.txt


def run(script, *arguments):
    command = [sys.executable, "-B", CODEGEN / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class GoodSpec(unittest.TestCase):
    def generate(self, *names):
        """{path: text} of what is generated."""
        with tempfile.TemporaryDirectory() as folder:
            result = run("generate.py", "--output", folder, *(HERE / "spec" / name for name in names))
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
            root = pathlib.Path(folder)
            files = (path for path in root.rglob("*") if path.is_file())
            return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}

    def test_gives_exactly_the_expected_text(self):
        expected = {path.name: path.read_text(encoding="utf-8") for path in EXPECTED.glob("*.txt")}
        self.maxDiff = None
        for order in (["one.toml", "two.toml"], ["two.toml", "one.toml"]):
            found = {path.replace("/", "_") + ".txt": text for path, text in self.generate(*order).items()}
            self.assertEqual(sorted(found), sorted(expected))
            for name, text in found.items():
                self.assertEqual(text, expected[name], name)

    def test_lists_what_it_generates(self):
        listed = run("generate.py", "--list").stdout.split()
        self.assertEqual(sorted(listed), sorted(self.generate("one.toml", "two.toml")))

    def test_leaves_alone_what_does_not_change(self):
        with tempfile.TemporaryDirectory() as folder:
            sources = sorted((HERE / "spec").glob("*.toml"))
            header = pathlib.Path(folder, "common/wire/ops.gen.h")
            source = pathlib.Path(folder, "common/wire/ops.gen.cc")
            run("generate.py", "--output", folder, *sources)
            for path in (header, source):
                os.utime(path, (1, 1))
            source.write_text("something else", encoding="utf-8")
            run("generate.py", "--output", folder, *sources)
            self.assertEqual(header.stat().st_mtime, 1)
            self.assertNotEqual(source.read_text(encoding="utf-8"), "something else")


def hashes(text):
    """{operation: hash} of a spec."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.toml")
        path.write_text(text, encoding="utf-8")
        result = run("generate.py", "--output", folder, path)
        assert result.returncode == 0, result.stderr
        source = pathlib.Path(folder, "common/wire/ops.gen.cc").read_text(encoding="utf-8")
        return dict(re.findall(r'"(\w+)".*(0x\w{16})', source))


class Hash(unittest.TestCase):
    """What both ends must agree on is in it, and nothing else."""

    ACT = "[cuAct]\nsince = 2000\nop = 1\nproto = 'unsigned int flags'\nclass = 'sync'\nwaits_for = 'it'\n"

    def test_is_of_the_published_kind(self):
        # FNV-1a, 64 bits, of "cuAct(unsigned int flags) sync wire::Value<unsigned int>".
        self.assertEqual(hashes(self.ACT), {"cuAct": "0x596cb098dd64f8c4"})

    def test_changes_with_prototype_class_and_rules(self):
        known = self.ACT + "params.flags = { known = 1 }\n"
        texts = [self.ACT, self.ACT.replace("unsigned int", "int"), self.ACT.replace("sync", "blocking"), known]
        self.assertEqual(len({hashes(text)["cuAct"] for text in texts}), len(texts))

    def test_does_not_change_with_layout_number_or_halves(self):
        other = self.ACT.replace("unsigned int flags", "unsigned  int\tflags").replace("op = 1", "op = 9")
        other += "custom = 'client'\n"
        self.assertEqual(hashes(other), hashes(self.ACT))


ACT = "[cuAct]\nsince = 2000\n"


def act(proto="void", call_class="sync", *lines):
    reason = ["waits_for = 'it'"] if call_class in spec.WAITING else []
    return ACT + "\n".join(["op = 1", f"proto = '{proto}'", f"class = '{call_class}'", *reason, *lines]) + "\n"


# (what is said of a.toml, what is in it)
NOT_A_CUDA_VERSION = "is not a CUDA version (1000 * major + 10 * minor)"
BAD = {
    "keys": [
        ("clas is not a known key", ACT + "clas = 'async'"),
        ("call_class is not a known key", ACT + "call_class = 'async'"),
        ("parameters is not a known key", ACT + "parameters = []"),
        ("since is missing", "[cuAct]\nper_thread = 'ptsz'"),
        ("since = '2000' is not of type int", "[cuAct]\nsince = '2000'"),
        ("since = True is not of type int", "[cuAct]\nsince = true"),
        ("per_thread = 1 is not of type str", ACT + "per_thread = 1"),
        ("is not a table", "cuAct = 2000"),
    ],
    "versions": [
        (f"since = 12 {NOT_A_CUDA_VERSION}", "[cuAct]\nsince = 12"),
        (f"since = 0 {NOT_A_CUDA_VERSION}", "[cuAct]\nsince = 0"),
        (f"since = 12345 {NOT_A_CUDA_VERSION}", "[cuAct]\nsince = 12345"),
        (f"per_thread_since = 0 {NOT_A_CUDA_VERSION}", ACT + "per_thread = 'ptsz'\nper_thread_since = 0"),
        ("per_thread = 'pts' is none of ptsz, ptds", ACT + "per_thread = 'pts'"),
        ("per_thread = '' is none of ptsz, ptds", ACT + "per_thread = ''"),
        ("per_thread_since without per_thread", ACT + "per_thread_since = 7000"),
        ("per_thread_since = 7000 is before since = 8000",
         "[cuAct]\nsince = 8000\nper_thread = 'ptsz'\nper_thread_since = 7000"),
    ],
    "support": [
        ("unsupported says no reason", ACT + "unsupported = ''"),
        ("proto is missing; a call that is not supported says unsupported = 'why'", ACT + "class = 'sync'\nop = 1"),
        ("class is missing; a call that is not supported says unsupported = 'why'", ACT + "proto = 'void'\nop = 1"),
        *((f"{key} says nothing of a call that is unsupported", ACT + f"unsupported = 'why'\n{key} = {value}")
          for key, value in (("proto", "'void'"), ("class", "'sync'"), ("waits_for", "'it'"), ("op", 1), ("custom", "'both'"),
                             ("submits", "true"), ("changes_queries", "true"), ("params", "{}"))),
    ],
    "classes": [
        ("class = 'fast' is none of local, query, async, sync, blocking", act("void", "fast")),
        ("op is missing: a call that crosses the wire has a number", ACT + "proto = 'void'\nclass = 'sync'"),
        ("op = 0 is not between 1 and 16383", ACT + "proto = 'void'\nclass = 'sync'\nop = 0"),
        ("op = 16384 is not between 1 and 16383", ACT + "proto = 'void'\nclass = 'sync'\nop = 16384"),
        ("class = 'blocking', and waits_for is missing: say what its caller waits for each time",
         act("void", "blocking").replace("waits_for", "submits = true #")),
        ("class = 'async', and waits_for says nothing of a class that does not wait each time",
         act("void", "async", "waits_for = 'it'")),
        ("custom = 'all' is none of client, server, both", act("void", "sync", "custom = 'all'")),
        *((f"{key} says nothing of a call that the client answers alone (class = 'local')",
           ACT + f"proto = 'void'\nclass = 'local'\n{key} = {value}")
          for key, value in (("waits_for", "'it'"), ("op", 1), ("custom", "'client'"), ("submits", "true"), ("changes_queries", "true"),
                             ("params", "{}"))),
        ("class = 'async', but answer is an output that the caller waits for", act("int *answer", "async")),
        ("class = 'async', but device is an output that the caller waits for", act("CUdevice *device", "async")),
        ("class = 'async', but a is an output that the caller waits for",
         act("char *a, int n", "async", "params.a = { out = 'n' }")),
        ("class = 'async', but a is an output that the caller waits for",
         act("int *a", "async", "params.a = { inout = true }")),
        ("class = 'async' and changes_queries: kept answers are dropped when the reply comes",
         act("void", "async", "changes_queries = true")),
        ("class = 'query', but event makes an object",
         act("CUevent *event", "query", "params.event = { creates = true }")),
        ("class = 'query', but event ends an object",
         act("CUevent event", "query", "params.event = { destroys = true }")),
        ("class = 'query' is for calls that change nothing", act("void", "query", "submits = true")),
        ("class = 'query' is for calls that change nothing", act("void", "query", "changes_queries = true")),
        ("has a ptsz twin but no CUstream: only a client half by hand can tell them apart",
         act("void", "sync", "per_thread = 'ptsz'", "custom = 'server'")),
    ],
    "prototypes": [
        ("proto: 'int' is not a type and a name", act("int")),
        ("proto: '' is not a type and a name", act("int a,")),
        ("proto: 'int a[4]' is not a type and a name", act("int a[4]")),
        ("proto: 'void (*f)(int)' is not a type and a name", act("void (*f)(int)")),
        ("a is two parameters of proto", act("int a, long a")),
    ],
    "parameters": [
        ("params.b is no parameter of proto", act("int a", "sync", "params.b = { known = 1 }")),
        ("a: say one of in, out, inout, creates, destroys, known", act("int a", "sync", "params.a = {}")),
        ("a: say one of in, out, inout, creates, destroys, known", act("int a", "sync", "params.a = true")),
        ("a: say one of in, out, inout, creates, destroys, known",
         act("int a", "sync", "params.a = { known = 1, creates = true }")),
        ("a: inn is none of in, out, inout, creates, destroys, known",
         act("int a", "sync", "params.a = { inn = 'b' }")),
        ("a: creates = false says nothing; leave it out", act("CUevent *a", "sync", "params.a = { creates = false }")),
        ("a: known = '1' is not of type int", act("int a", "sync", "params.a = { known = '1' }")),
        ("a: void * does not tell its size; say in or out and the parameter that counts it", act("void *a, int n")),
        ("a: const void * does not tell its size; say in or out and the parameter that counts it",
         act("const void* a, int n")),
        ("a: char * does not tell its size; say in or out and the parameter that counts it", act("char *a, int n")),
        ("a: void ** points to pointers; no rule carries that", act("void **a")),
        ("a: const char ** points to pointers; no rule carries that", act("const char **a")),
        ("a: CUevent * points to handles; say creates = true if it is a new object", act("CUevent *a")),
        ("a: m is no parameter of proto", act("const int *a, int n", "sync", "params.a = { in = 'm' }")),
        ("a: n is a int * and counts nothing", act("const int *a, int *n", "sync", "params.a = { in = 'n' }")),
        ("a: n is a CUevent and counts nothing", act("int *a, CUevent n", "sync", "params.a = { out = 'n' }")),
        ("a: in, but int * is not const", act("int *a, int n", "sync", "params.a = { in = 'n' }")),
        ("a: in, but int is not const", act("int a, int n", "sync", "params.a = { in = 'n' }")),
        ("a: out, but const int * is const", act("const int *a, int n", "sync", "params.a = { out = 'n' }")),
        ("a: int is no array of plain values", act("int a, int n", "sync", "params.a = { out = 'n' }")),
        ("a: CUevent * is no array of plain values", act("CUevent *a, int n", "sync", "params.a = { out = 'n' }")),
        ("a: inout, but void * is no pointer to one value that can be written",
         act("void *a", "sync", "params.a = { inout = true }")),
        ("a: inout, but const int * is no pointer to one value that can be written",
         act("const int *a", "sync", "params.a = { inout = true }")),
        ("a: creates, but CUevent is no pointer to a handle",
         act("CUevent a", "sync", "params.a = { creates = true }")),
        ("a: destroys, but CUevent * is no handle", act("CUevent *a", "sync", "params.a = { destroys = true }")),
        ("a: known = 1, but CUevent holds no flags", act("CUevent a", "sync", "params.a = { known = 1 }")),
        ("a: known = -1, but int holds no flags", act("int a", "sync", "params.a = { known = -1 }")),
    ],
}
BAD_NAME = "is not the name of a driver call, nor of an operation of our own (outboardName)"


class BadSpec(unittest.TestCase):
    """Each spec is refused in one line that starts with the file and the entry."""

    def refused(self, message, **files):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, text in files.items():
                paths.append(pathlib.Path(folder, name + ".toml"))
                paths[-1].write_text(text, encoding="utf-8")
            output = pathlib.Path(folder, "out")
            result = run("generate.py", "--output", output, *paths)
            self.assertEqual(result.stderr.strip(), message)
            self.assertEqual(result.returncode, 1)
            self.assertFalse(output.exists(), "a refused spec leaves no output")

    def test_what_it_says(self):
        for topic, cases in BAD.items():
            for message, text in cases:
                with self.subTest(topic, text=text), tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder, "a.toml")
                    path.write_text(text, encoding="utf-8")
                    with self.assertRaises(spec.SpecError) as refusal:
                        spec.load([path])
                    self.assertEqual(str(refusal.exception), f"a.toml: [cuAct] {message}")

    def test_names(self):
        for name in ("cudaMalloc", "act", "outboard", "outboardown"):
            self.refused(f"a.toml: [{name}] {BAD_NAME}", a=f"[{name}]\nsince = 2000\n")
        self.refused(f"a.toml: [cuA-B] {BAD_NAME}", a='["cuA-B"]\nsince = 2000\n')
        self.refused("a.toml: [cuAct_ptsz] names a per-thread twin; write per_thread on the call itself",
                     a="[cuAct_ptsz]\nsince = 2000\n")

    def test_operations_of_our_own(self):
        own = "[outboardOwn]\nop = 1\nproto = 'void'\n"
        for key, value in (("since", 2000), ("per_thread", "'ptsz'"), ("unsupported", "'why'")):
            self.refused(f"a.toml: [outboardOwn] {key} is for exported calls; this is an operation of our own",
                         a=own + f"class = 'sync'\ncustom = 'server'\n{key} = {value}\n")
        self.refused("a.toml: [outboardOwn] class = 'local': an operation of our own crosses the wire",
                     a=own + "class = 'local'\n")
        for line in ("", "custom = 'client'\n"):
            self.refused("a.toml: [outboardOwn] an operation of our own says custom = 'server'",
                         a=own + "class = 'sync'\n" + line)

    def test_what_several_entries_say_together(self):
        self.refused("b.toml: [cuAct] is also in a.toml", a=act(), b=act())
        self.refused("b.toml: [cuB] op = 1 is that of cuAct", a=act(), b=act().replace("cuAct", "cuB"))
        self.refused("a.toml: [cuAct_v2] since = 4000 is not after cuAct (4000)",
                     a="[cuAct_v2]\nsince = 4000\nunsupported = 'why'\n[cuAct]\nsince = 4000\nunsupported = 'why'\n")

    def test_no_toml(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.toml")
            for text in ("[cuAct\n", act() + act()):
                path.write_text(text, encoding="utf-8")
                result = run("generate.py", "--output", folder, path)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, r"^a\.toml: .*line \d+")
            self.assertIn("cuAct", result.stderr)


@unittest.skipUnless("OUTBOARD_TEST_CXX" in os.environ, "OUTBOARD_TEST_CXX and OUTBOARD_TEST_CUDA_INCLUDE say with what")
class Compiler(unittest.TestCase):
    """What the generator cannot know, the compiler refuses."""

    GOOD = """
        [cuDeviceGet]
        since = 2000
        proto = "CUdevice *device, int ordinal"
        class = "local"
        [cuEventQuery]
        since = 2000
        op = 1
        proto = "CUevent hEvent"
        class = "sync"
        waits_for = "an answer"
        [cuGraphDestroy]
        since = 10000
        unsupported = "why"
        """

    def errors(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.toml")
            path.write_text(text, encoding="utf-8")
            self.assertEqual(run("generate.py", "--output", folder, path).stderr, "")
            command = [os.environ["OUTBOARD_TEST_CXX"], "-std=c++20", "-fsyntax-only", "-fvisibility=hidden",
                       "-D__CUDA_API_VERSION_INTERNAL=", "-I", folder, "-I", ROOT,
                       "-isystem", os.environ["OUTBOARD_TEST_CUDA_INCLUDE"],
                       pathlib.Path(folder, "client/shim/entry.gen.cc"),
                       pathlib.Path(folder, "client/shim/remote.gen.cc")]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            return [line for line in result.stderr.splitlines() if "error:" in line]

    def test_accepts_a_good_spec(self):
        self.assertEqual(self.errors(self.GOOD), [])

    def test_refuses_wrong_prototypes_and_opaque_pointers(self):
        bad = self.GOOD.replace("int ordinal", "long ordinal").replace("CUevent hEvent", "CUstream hEvent")
        bad = bad.replace('unsupported = "why"', 'op = 2\nproto = "CUgraph hGraph"\nclass = "sync"\nwaits_for = "it"')
        errors = "\n".join(self.errors(bad))
        self.assertRegex(errors, r"conflicting declaration .*cuDeviceGet\(CUdevice\*, long int\)")
        self.assertRegex(errors, r"conflicting declaration .*cuEventQuery\(CUstream\)")
        self.assertIn("Flat<T> struct outboard::wire::Value", errors)


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

    WHY = "unsupported = 'why'\n"
    COPY = "[cuCopy]\nsince = 2000\n" + WHY
    ACT = "[cuAct]\nsince = 5000\nper_thread = 'ptsz'\nper_thread_since = 7000\n" + WHY

    def test_passes_what_agrees(self):
        self.assertEqual(self.audit(self.COPY + self.ACT), (0, []))

    def test_finds_a_missing_call(self):
        status, lines = self.audit(self.ACT)
        self.assertEqual(status, 1)
        self.assertIn("cuCopy is in cuda.h but not in the spec", lines)

    def test_finds_a_call_too_many(self):
        status, lines = self.audit(self.COPY + self.ACT + "[cuMore]\nsince = 2000\n" + self.WHY)
        self.assertEqual(status, 1)
        self.assertIn("cuMore is in the spec but not in cuda.h", lines)

    def test_finds_a_missing_twin(self):
        status, lines = self.audit(self.COPY + "[cuAct]\nsince = 5000\n" + self.WHY)
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
