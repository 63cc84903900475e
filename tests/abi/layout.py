"""Writes what programs that are compiled already know of the header: its numbers, and where the fields of its structs are.

usage: layout.py numbers HEADER CC > tests/abi/numbers.c
       layout.py layout HEADER CC > tests/abi/layout.c
"""

import pathlib
import re
import subprocess
import sys
import tempfile

what, header, compiler = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
text = re.sub(r"//.*", "", header.read_text())

structs = {}
for name, body in re.findall(r"typedef struct (sockeye_\w+) \{(.*?)\} \1;", text, re.S):
    # The name is the last word before `;`, or what a function pointer has in its brackets.
    fields = [re.search(r"(\w+)(?:\[[^\]]*\])?$", field.strip())[1] for field in body.split(";") if field.strip()]
    structs[name] = fields
constants = re.findall(r"^#define (SOCKEYE_\w+) \(?-?\w+", text, re.M)
constants = [name for name in constants if name != "SOCKEYE_H"]
assert structs and constants, "the header has another shape than this script expects"


def grows(name):
    """A struct with its size in front may get more fields at its end, and events, whose size is told when they are asked for."""
    return structs[name][0] == "size" or name == "sockeye_event"


lines = ["#include <stdio.h>", "#include <stddef.h>", f'#include "{header.name}"', "int main(void) {"]
for name in constants if what == "numbers" else ():
    number = f'{name} > 0 ? "SAME({name} == %lluu)\\n" : "SAME({name} == %lld)\\n"'
    lines.append(f"printf({number}, (unsigned long long){name});")
for name, fields in structs.items() if what == "layout" else ():
    sign = ">=" if grows(name) else "=="
    lines.append(f'printf("SAME(sizeof({name}) {sign} %zu)\\n", sizeof({name}));')
    for field in fields:
        lines.append(f'printf("SAME(offsetof({name}, {field}) == %zu)\\n", offsetof({name}, {field}));')
        lines.append(f'printf("SAME(sizeof((({name} *)0)->{field}) == %zu)\\n", sizeof((({name} *)0)->{field}));')
lines.append("return 0; }")

with tempfile.TemporaryDirectory() as folder:
    program = pathlib.Path(folder) / "layout"
    source = program.with_suffix(".c")
    source.write_text("\n".join(lines))
    subprocess.run([*compiler, f"-I{header.parent}", "-o", program, source], check=True)
    asserts = subprocess.run([program], check=True, capture_output=True, text=True).stdout

WHAT = {
    "numbers": "The numbers of the header, as programs that are compiled already know them: there may be more, but nothing else may",
    "layout": "Where fields are, as programs that are compiled already know: structs that start with their size may grow, but nothing else may",
}
print(f"""\
/* {WHAT[what]}
 * differ, unless SOCKEYE_ABI does. Written by layout.py, for machines with 64-bit pointers and `long`; do not edit. */
#include <stddef.h>
#include "{header.name}"

#ifndef __LP64__
#error "recorded for LP64"
#endif
#define SAME(what) _Static_assert(what, #what);

{asserts}""", end="")
