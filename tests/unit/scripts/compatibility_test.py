"""Compares docs/compatibility.md with what it describes."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts" / "codegen"))
import spec


class CompatibilityTest(unittest.TestCase):
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")

    def section(self, title):
        return self.page.partition(f"## {title}\n")[2].partition("\n## ")[0]

    def test_supported_calls(self):
        entries = spec.load(sorted((ROOT / "common" / "api").glob("*.toml")))
        supported = {entry.base for entry in entries if entry.exported and not entry.unsupported}
        listed = [name for line in self.section("Calls").splitlines() if line.startswith("    ") for name in line.split()]
        self.assertEqual(listed, sorted(supported))

    def test_claims(self):
        source = (ROOT / "client" / "shim" / "claims.cc").read_text(encoding="utf-8")
        claimed = re.findall(r"\{CU_DEVICE_ATTRIBUTE_(\w+), ", source)
        rows = [line for line in self.section("What a device claims").splitlines() if line.startswith("| ")][1:]
        listed = [name for row in rows for name in row.split("|")[1].replace(" ", "").split(",")]
        self.assertGreater(len(claimed), 0)
        self.assertEqual(sorted(listed), sorted(claimed))


if __name__ == "__main__":
    unittest.main()
