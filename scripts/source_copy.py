"""A copy of the source tree in a temporary folder, with its own build folder, to which faults can be applied."""

import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


class SourceCopy:
    """Context manager: `path` is the copy, removed at the end. Files that git ignores are not copied."""

    def __enter__(self):
        # Outside the repository, because git apply skips the files of a folder that lies inside another work tree.
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="outboard-copy."))
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            source, target = ROOT / name, self.path / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.path, ignore_errors=True)

    def apply(self, patch, reverse=False):
        """Applies a patch file, or takes it back; false when it does not fit."""
        options = ["--reverse"] if reverse else []
        return subprocess.run(["git", "apply", *options, str(patch)], cwd=self.path,
                              env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self.path.parent)}).returncode == 0

    def run(self, command, log, seconds):
        """Runs a command in the copy, its output appended to `log`. The exit status; None when the time was over."""
        environment = dict(os.environ)
        if (ROOT / "build/toolkit/bin/nvcc").exists():
            environment.setdefault("CUDAToolkit_ROOT", str(ROOT / "build/toolkit"))
        with open(log, "a") as output:
            try:
                return subprocess.run([str(word) for word in command], cwd=self.path, env=environment,
                                      stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                      timeout=max(seconds, 1)).returncode
            except subprocess.TimeoutExpired:
                return None
