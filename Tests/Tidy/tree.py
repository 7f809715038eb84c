"""The files of the repository, as the rules see them."""

import os
import subprocess
from pathlib import Path

SKIPPED = {".git", ".build", ".venv-test", "__pycache__", ".pytest_cache"}


class Tree:
    """A directory with the files that are, or may be, committed."""

    def __init__(self, root):
        self.root = Path(root)
        self.files = sorted(path for path in self._names() if (self.root / path).is_file())
        self._texts = {}

    def _names(self):
        command = ["git", "-C", str(self.root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            listing = subprocess.run(command, check=True, capture_output=True).stdout
            return {os.fsdecode(name) for name in listing.split(b"\0") if name}
        except (OSError, subprocess.CalledProcessError):
            return set(self._walk())

    def _walk(self):
        """Without git: all files but those that builds leave behind."""
        for folder, folders, names in os.walk(self.root):
            folders[:] = [each for each in folders if each not in SKIPPED]
            for name in names:
                yield str((Path(folder) / name).relative_to(self.root))

    def text(self, path):
        """The file as text; None if it is none."""
        if path not in self._texts:
            content = (self.root / path).read_bytes()
            try:
                self._texts[path] = None if b"\0" in content else content.decode()
            except UnicodeDecodeError:
                self._texts[path] = None
        return self._texts[path]

    def under(self, folder, suffix=""):
        return [path for path in self.files if path.startswith(folder + "/") and path.endswith(suffix)]

    def swift(self):
        return [path for path in self.files if path.endswith(".swift")]
