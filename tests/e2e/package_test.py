"""The archives that users get, and what systemd is told."""

import configparser
import pathlib
import shutil
import subprocess
import sys
import tarfile
import unittest

import stack
from stack import StackTest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import check_install  # noqa: E402


class Package(StackTest):
    def package(self, build, name, **environment):
        folder = self.folder / name
        command = ["sh", "-c", f'umask {environment.pop("UMASK", "022")} && exec "$@"', "sh",
                   str(ROOT / "scripts/package"), str(build), str(folder)]
        made = subprocess.run(command, env={**self.environment, **environment}, capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        return {path.name.split("-")[1]: path for path in sorted(folder.iterdir())}

    def unpack(self, archive):
        folder = self.folder / f"unpacked-{archive.name}"
        with tarfile.open(archive) as file:
            for member in file.getmembers():
                self.assertTrue(member.isfile() or member.isdir() or member.issym(), member.name)
                self.assertTrue(member.name.startswith(archive.name.removesuffix(".tar.gz")), member.name)
                self.assertEqual((member.uid, member.gid, member.mode & 0o022), (0, 0, 0), member.name)
            file.extractall(folder)
        [top] = folder.iterdir()
        return top

    def test_the_archives(self):
        first = self.package(stack.ROOT, "first", TZ="UTC")
        self.assertEqual(set(first), {"client", "server"})
        again = self.package(stack.ROOT, "again", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", UMASK="077")
        for component, archive in first.items():
            self.assertEqual(archive.read_bytes(), again[component].read_bytes(), f"{component} differs")

        client, server = self.unpack(first["client"]), self.unpack(first["server"])
        for tree, has, lacks in (
                (client, ("bin/gpu-run", "bin/gpu-admin", *check_install.DRIVERS, check_install.PLUGIN),
                 ("bin/gpu-pool", "lib/systemd")),
                (server, ("bin/gpu-pool", "bin/gpu-node", "bin/gpu-worker", "bin/gpu-admin",
                          "lib/outboard/softgpu/libcuda.so.1", "lib/systemd/system/gpu-pool.service",
                          "lib/systemd/system/gpu-node.service", "share/doc/outboard/pool.yaml"),
                 ("bin/gpu-run", "lib/outboard/client"))):
            for path in (*has, "share/man/man1/gpu-admin.1", "share/bash-completion/completions/gpu-admin",
                         "share/doc/outboard/operations.md", "share/doc/outboard/LICENSE"):
                self.assertTrue((tree / path).is_file(), path)
            for path in lacks:
                self.assertFalse((tree / path).exists(), path)
            files = [path for path in tree.rglob("*") if check_install.is_elf(path)]
            self.assertEqual([text for path in files for text in check_install.complaints_about(tree, path)], [])
            status, output, errors = self.run_to_end(str(tree / "bin/gpu-admin"), "--version")
            self.assertEqual((status, output.split()[0]), (0, "gpu-admin"), errors)
        status, _, errors = self.run_to_end(str(server / "bin/gpu-pool"), "--check-config", "--config",
                                            str(server / "share/doc/outboard/pool.yaml"))
        self.assertEqual(status, 0, errors)
        status, _, errors = self.run_to_end(str(client / "bin/gpu-run"), "-q", "--", "/bin/true")
        self.assertEqual(status, 0, errors)

    def test_the_units(self):
        for name in ("gpu-pool", "gpu-node"):
            text = (ROOT / f"scripts/deploy/{name}.service").read_text()
            unit = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
            unit.optionxform = str
            unit.read_string(text)
            self.assertEqual(set(unit.sections()), {"Unit", "Service", "Install"})
            command = unit["Service"]["ExecStart"].split()
            self.assertEqual(command[0], f"/opt/outboard/bin/{name}")
            for key in ("NoNewPrivileges", "DynamicUser", "ProtectHome"):
                self.assertEqual(unit["Service"][key], "yes")
            # Each option in it is one that the program has.
            _, help_text, _ = self.run_to_end(stack.program(name), "--help")
            for word in [word for word in text.replace('"', " ").split() if word.startswith("--")]:
                self.assertIn(word, help_text)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "this machine has no systemd")
    def test_systemd_understands_the_units(self):
        for name in ("gpu-pool", "gpu-node"):
            text = (ROOT / f"scripts/deploy/{name}.service").read_text()
            unit = self.folder / f"{name}.service"
            unit.write_text(text.replace("/opt/outboard", str(stack.ROOT)))
            status, output, errors = self.run_to_end("systemd-analyze", "verify", "--man=no", str(unit))
            self.assertEqual((status, output + errors), (0, ""))


if __name__ == "__main__":
    stack.main()
