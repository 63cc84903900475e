"""Static files by python-socketio's `static_files`: paths to files or folders."""

from __future__ import annotations

import mimetypes
import os
from typing import Any, Optional
from urllib.parse import unquote

from ._answers import Answer


class StaticFiles:
    """Finds the file for a path. A value is a file's name, a folder's, or `{"filename": ..., "content_type": ...}`.

    The entry of the longest path that begins the request's wins; the rest of the path is looked for in its folder, and what is outside
    of the folder is not found. A path that ends with `/` means `index.html` in it.
    """

    def __init__(self, entries: dict[str, Any]):
        self._entries = {path.rstrip("/") or "/": value for path, value in entries.items()}

    def find(self, method: str, target: str) -> Optional[Answer]:
        """The answer, or None if no entry is about this path."""
        path = unquote(target.partition("?")[0])
        name, content_type = self._file(path)
        if name is None or method not in ("GET", "HEAD"):
            return None
        try:
            with open(name, "rb") as file:
                body = file.read()
        except OSError:
            return None
        content_type = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        if content_type.startswith("text/") and "charset" not in content_type:
            content_type += "; charset=utf-8"
        return Answer(200, [(b"content-type", content_type.encode())], body)

    def _file(self, path: str) -> tuple[Optional[str], Optional[str]]:
        prefix, rest = path.rstrip("/") or "/", "index.html" if path.endswith("/") else ""
        while True:
            entry = self._entries.get(prefix)
            if entry is not None:
                return self._within(entry, rest)
            if prefix in ("", "/"):
                return None, None
            prefix, _, last = prefix.rpartition("/")
            rest = f"{last}/{rest}" if rest else last
            prefix = prefix or "/"

    @staticmethod
    def _within(entry: Any, rest: str) -> tuple[Optional[str], Optional[str]]:
        name, content_type = (entry["filename"], entry.get("content_type")) if isinstance(entry, dict) else (entry, None)
        if "\0" in rest:
            return None, None
        folder = os.path.realpath(name)
        if not os.path.isdir(folder):
            # A file answers for its own path only.
            return (folder, content_type) if rest in ("", "index.html") else (None, None)
        inside = os.path.realpath(os.path.join(folder, rest or "index.html"))
        return (inside, content_type) if inside.startswith(folder.rstrip(os.sep) + os.sep) else (None, None)
