"""Puts the library into the wheel: the one that `SOCKEYE_LIBRARY` names, else one that cargo builds from the sources."""

import os
import pathlib
import subprocess
import sysconfig

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LibraryHook(BuildHookInterface):
    """The wheel is for any Python 3, and for one platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version, build_data):
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["force_include"][str(self.library())] = "sockeye_io/libsockeye.so"

    def library(self):
        """The path of the library."""
        named = os.environ.get("SOCKEYE_LIBRARY")
        if named:
            return pathlib.Path(named).resolve()
        root = pathlib.Path(self.root)
        # In an sdist the sources lie beside this file; in the repository they are its root.
        engine = root / "engine" if (root / "engine").is_dir() else root.parent.parent
        subprocess.run(["cargo", "build", "--release", "--locked", "--lib"], cwd=engine, check=True)
        return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", engine / "target")).resolve() / "release" / "libsockeye.so"
