"""The mirror of the C ABI in ctypes, against the header: fields, their types, their order, and numbers."""

import ctypes
import re

import pytest
from conftest import PACKAGE

from sockeye_io import _ffi

HEADER = (PACKAGE.parents[1] / "include" / "sockeye.h").read_text()
MIRRORS = (_ffi.Bytes, _ffi.NspOptions, _ffi.Emission, _ffi.Target, _ffi.Op, _ffi.SocketInfo, _ffi.Header, _ffi.Metrics)
WIDTHS = {"char": 1, "uint32_t": 4, "uint64_t": 8, "size_t": 8}
WIDTHS.update(sockeye_nsp=4, sockeye_atom=4, sockeye_socket=8, sockeye_token=8)


def fields_of(struct):
    """Name and bytes of each field of a struct, as the header has them."""
    body = re.search(rf"^typedef struct {struct} {{$(.*?)^}} {struct};$", HEADER, re.M | re.S).group(1)
    found = re.findall(r"^  (?:const )?(?:struct )?(\w+) (\*?)(\w+)(?:\[(\d+)\])?;$", body, re.M)
    return [(name, (8 if star else WIDTHS[kind]) * int(count or 1)) for kind, star, name, count in found]


@pytest.mark.parametrize("mirror", MIRRORS, ids=lambda mirror: mirror.__name__)
def test_a_mirror_has_the_fields_of_the_header_in_order(mirror):
    mine = [(name.rstrip("_"), ctypes.sizeof(kind)) for name, kind in mirror._fields_]
    assert mine == fields_of(mirror.__doc__.partition("`")[2].partition("`")[0])


def test_numbers_are_those_of_the_header():
    numbers = {name: int(value) for name, value in re.findall(r"^#define SOCKEYE_(\w+) (-?\d+)$", HEADER, re.M)}
    aliases = {"PARTIAL": "EVENT_PARTIAL"}
    mine = {name: value for name, value in vars(_ffi).items() if name.isupper() and not name.startswith("_") and isinstance(value, int)}
    assert len(mine) > 30
    for name, value in mine.items():
        known = numbers.get(name, numbers.get(aliases.get(name, "")))
        assert known == value, name
