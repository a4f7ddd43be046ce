"""A virtual environment with the packages that a bundle declares, and nothing else.

Nothing is downloaded: the files of the installed packages are linked. Neither this repository nor
what the bundle does not declare is in it.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

from custom.deploy.packaging.distributions import package_closure


class EmptyEnvironment:
    """An environment in a folder.

    ``requirements`` are lines as of a requirements file.
    """

    def __init__(self, folder, requirements):
        self.folder = Path(folder)
        venv.EnvBuilder(with_pip=False, symlinks=True).create(self.folder)
        self.python = self.folder / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = self.folder / "lib" / version / "site-packages"
        for package in package_closure(requirements).values():
            for file in package.found.files:
                source = Path(package.found.locate_file(file))
                if ".." in file.parts or not source.is_file():
                    continue  # commands, manual pages
                link(source, site / file)
                # What Python has compiled already; else each environment does it anew.
                name = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
                compiled = source.parent / "__pycache__" / name
                if source.suffix == ".py" and compiled.is_file():
                    link(compiled, (site / file).parent / "__pycache__" / name)

    def run(self, *arguments, cwd, **variables):
        """Run Python in it, with no way to what is outside; return the finished process."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        settings = {"PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        # Compiled code in an unpacked bundle is refused at its next opening.
        settings["PYTHONDONTWRITEBYTECODE"] = "1"
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd,
            env=kept | settings | variables,
            capture_output=True,
            text=True,
            timeout=560,
            check=False,
        )


def link(source, target):
    """Give a file a second name, or copy it where the file system cannot."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)
