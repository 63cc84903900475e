"""Writes a library that has the functions of the header and does nothing: the ABI as a C compiler sees it, without what is inside the
opaque types, which the library's own debug information would tell as well.

Given the recorded layouts, structs that start with their size (and events) are cut off after the fields that are recorded: that they grow
at their end is allowed, and abidiff has no way to allow that and nothing else.

usage: stubs.py HEADER [layout.c] > stubs.c
"""

import pathlib
import re
import sys

text = re.sub(r"//.*", "", pathlib.Path(sys.argv[1]).read_text())
recorded = {}
if len(sys.argv) > 2:
    for struct, _ in re.findall(r"offsetof\((\w+), (\w+)\)", pathlib.Path(sys.argv[2]).read_text()):
        recorded[struct] = recorded.get(struct, 0) + 1


def as_recorded(match):
    name, body = match[1], match[2]
    fields = [field.strip() for field in body.split(";") if field.strip()]
    if fields[0] == "uint32_t size" or name == "sockeye_event":
        fields = fields[: recorded.get(name, len(fields))]
    return "typedef struct %s { %s; } %s;" % (name, "; ".join(fields), name)


text = re.sub(r"typedef struct (sockeye_\w+) \{(.*?)\} \1;", as_recorded, text, flags=re.S)
functions = re.findall(r"^[a-z][^;{}()]*\bsockeye_\w+\([^;{}]*\);", text, re.M)
functions = [function for function in functions if not function.startswith("typedef")]
assert functions, "the header has another shape than this script expects"
print(text)
for function in functions:
    print(function.replace(");", ") { __builtin_trap(); }"))
