import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
import check_symbols

GOOD = 'extern "C" __attribute__((visibility("default"))) int cuInit() { return 0; }\n'


class CheckSymbolsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def compile(self, text, output, *options):
        source = self.folder / "source.cc"
        source.write_text(text)
        path = self.folder / output
        subprocess.run(["g++", "-O0", "-fPIC", "-fvisibility=hidden", "-o", path, *options, source], check=True)
        return str(path)

    def library(self, text, soname="libcuda.so.1", *options):
        return self.compile(text, "library.so", "-shared", f"-Wl,-soname,{soname}", "-nostartfiles", "-Wl,--as-needed",
                            *options)

    def test_good_library(self):
        self.assertEqual(list(check_symbols.library_complaints(self.library(GOOD))), [])

    def test_foreign_export(self):
        text = GOOD + '__attribute__((visibility("default"))) int custom_thing() { return 0; }\n'
        complaints = list(check_symbols.library_complaints(self.library(text)))
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn("custom_thing", complaints[0])

    def test_foreign_library(self):
        complaints = list(check_symbols.library_complaints(self.library(GOOD, "libcuda.so.1", "-Wl,--no-as-needed")))
        self.assertTrue(any("needs libstdc++.so.6" in complaint for complaint in complaints), complaints)

    def test_wrong_soname(self):
        complaints = list(check_symbols.library_complaints(self.library(GOOD, "libother.so")))
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn("SONAME", complaints[0])

    def test_management_library(self):
        text = GOOD.replace("cuInit", "nvmlInit")
        library = self.library(text, "libnvidia-ml.so.1")
        self.assertEqual(list(check_symbols.library_complaints(library, "libnvidia-ml.so.1")), [])
        self.assertEqual(len(list(check_symbols.library_complaints(library))), 2)

    def test_other_names(self):
        def library(folder, *names):
            (self.folder / folder).mkdir()
            text = "".join(GOOD.replace("cuInit", name) for name in names)
            return self.compile(text, f"{folder}/library.so", "-shared", "-nostartfiles")

        ours, model = library("ours", "cuInit", "cuExtra"), library("model", "cuInit", "cuAbsent")
        complaints = list(check_symbols.name_complaints(ours, model))
        self.assertEqual(len(complaints), 2, complaints)
        self.assertIn("does not export cuAbsent", complaints[0])
        self.assertIn("exports cuExtra", complaints[1])
        self.assertEqual(list(check_symbols.name_complaints(ours, ours)), [])

    def test_newer_glibc(self):
        text = "#include <stdlib.h>\n" + GOOD.replace("return 0", "return *static_cast<int*>(malloc(4))")
        library = self.library(text)
        complaints = list(check_symbols.glibc_complaints(library, "2.0"))
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn("needs malloc of glibc 2.2.5", complaints[0])
        self.assertEqual(list(check_symbols.glibc_complaints(library, "2.2.5")), [])

    def test_weak_symbol(self):
        weak = self.compile("inline int Shared() { return 1; }\nint Use() { return Shared(); }\n", "weak.o", "-c")
        self.assertEqual(len(list(check_symbols.object_complaints(weak))), 1)
        text = "template <int L> struct Lanes { static int F() { return L; } };\ntemplate struct Lanes<4>;\n"
        own = self.compile(text, "own.o", "-c")
        self.assertEqual(list(check_symbols.object_complaints(own, r"\bLanes<4>")), [])
        self.assertEqual(len(list(check_symbols.object_complaints(own, r"\bLanes<3>"))), 1)
        strong = self.compile("static int Own() { return 1; }\nint Use() { return Own(); }\n", "strong.o", "-c")
        self.assertEqual(list(check_symbols.object_complaints(strong)), [])


if __name__ == "__main__":
    unittest.main()
