"""Compares docs/compatibility.md with the source that it describes."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]


class CompatibilityTest(unittest.TestCase):
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")

    def section(self, title):
        return self.page.partition(f"## {title}\n")[2].partition("\n## ")[0]

    def test_claims(self):
        source = (ROOT / "client" / "shim" / "claims.cc").read_text(encoding="utf-8")
        claimed = re.findall(r"\{CU_DEVICE_ATTRIBUTE_(\w+), ", source)
        rows = [line for line in self.section("What a device claims").splitlines() if line.startswith("| ")][1:]
        listed = [name for row in rows for name in row.split("|")[1].replace(" ", "").split(",")]
        self.assertGreater(len(claimed), 0)
        self.assertEqual(sorted(listed), sorted(claimed))


if __name__ == "__main__":
    unittest.main()
