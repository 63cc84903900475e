"""Python values to JSON texts with attachments beside them, and back.

In a text an attachment stands as `{"_placeholder": true, "num": n}`. The encoder meets binary values on its way through the
arguments, so a message without any costs no second look.
"""

from __future__ import annotations

import json
import json.encoder
from typing import Any, Callable, Sequence

_BINARY = (bytes, bytearray, memoryview)
_C_ENCODER = getattr(json.encoder, "c_make_encoder", None)


def arguments(data: Any) -> list[Any]:
    """The arguments that `data` means: a tuple is several, None is none, all else is one."""
    if isinstance(data, tuple):
        return list(data)
    return [] if data is None else [data]


class Encoder:
    """Writes values as JSON. It is not to be used by two threads at once."""

    def __init__(self) -> None:
        self._attachments: list[bytes] = []
        self._write = self._make_writer()

    def _make_writer(self) -> Callable[[Any], str]:
        public = json.JSONEncoder(
            default=self._binary, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        if _C_ENCODER is None:
            return public.encode
        # What `encode` makes anew for each text. Its arguments are no promise of the standard library, so it is tried first.
        try:
            quote = json.encoder.encode_basestring
            write = _C_ENCODER(None, self._binary, quote, None, ":", ",", False, False, False)
            if "".join(write(["\u00e9", {"a": 1}], 0)) == '["\u00e9",{"a":1}]':
                return lambda value: "".join(write(value, 0))
        except (TypeError, ValueError):
            pass
        return public.encode

    def _binary(self, value: Any) -> dict[str, Any]:
        if isinstance(value, _BINARY):
            self._attachments.append(bytes(value))
            return {"_placeholder": True, "num": len(self._attachments) - 1}
        raise TypeError(f"{type(value).__name__} cannot be sent: it is neither JSON nor binary")

    def encode(self, args: list[Any]) -> tuple[bytes, Sequence[bytes]]:
        """The JSON array of `args` in UTF-8, and its attachments."""
        try:
            text = self._write(args).encode()
        except UnicodeEncodeError:
            # Half a surrogate pair, which UTF-8 cannot say and an escape can.
            self._attachments = []
            text = json.dumps(args, default=self._binary, separators=(",", ":"), allow_nan=False).encode()
        except Exception:
            self._attachments = []
            raise
        if not self._attachments:
            return text, ()
        attachments, self._attachments = self._attachments, []
        return text, attachments


class ModuleEncoder:
    """Writes values with the `dumps` of a module that the user chose."""

    def __init__(self, module: Any) -> None:
        self._dumps = module.dumps

    def encode(self, args: list[Any]) -> tuple[bytes, Sequence[bytes]]:
        """As `Encoder.encode`."""
        attachments: list[bytes] = []
        text = self._dumps(_extract(args, attachments))
        return (text if isinstance(text, bytes) else text.encode()), attachments


def _extract(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, _BINARY):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, (list, tuple)):
        return [_extract(item, attachments) for item in value]
    if isinstance(value, dict):
        return {key: _extract(item, attachments) for key, item in value.items()}
    return value


def restore(value: Any, attachments: Sequence[bytes]) -> Any:
    """Puts the attachments where their placeholders stand; lists and objects are changed in place."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            value[at] = restore(item, attachments)
    elif isinstance(value, dict):
        num = value.get("num")
        if value.get("_placeholder") is True and type(num) is int and 0 <= num < len(attachments):
            return attachments[num]
        for key, item in value.items():
            value[key] = restore(item, attachments)
    return value
