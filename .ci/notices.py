#!/usr/bin/env python3
"""Prints the notices of everything in the released files that others wrote: each crate with its licence and the texts
that it ships, and the C library. Reads Cargo.lock and the sources that cargo has fetched; uses no network. The same lock
and the same Debian give the same bytes.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
LICENCE_FILE = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)
# Sources may be named so too.
NOT_A_TEXT = {".rs", ".c", ".h", ".py", ".json", ".html"}
RULE = "=" * 100

# For crates that name the MIT licence and ship no text of it.
MIT = """MIT License

Copyright (c) {holders}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

# What a compiler links into a static file beside crates. The texts are Debian's, whose compilers the recipe uses.
RUNTIME = [
    ("Rust standard library", "MIT OR Apache-2.0", "https://github.com/rust-lang/rust", []),
    (
        "GNU C Library",
        "LGPL-2.1-or-later and others",
        "https://www.gnu.org/software/libc/; to link another one, build the sources of this release again",
        ["/usr/share/doc/libc6/copyright", "/usr/share/common-licenses/LGPL-2.1"],
    ),
    ("libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1", "https://gcc.gnu.org", []),
]


def linked_crates(target):
    """The packages reached by normal dependencies, this one aside."""
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, check=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached, waiting = {}, [root]
    while waiting:
        identity = waiting.pop()
        if identity in reached:
            continue
        reached[identity] = packages[identity]
        normal = (edge for edge in nodes[identity]["deps"] if any(kind["kind"] is None for kind in edge["dep_kinds"]))
        waiting.extend(edge["pkg"] for edge in normal)
    del reached[root]
    return {(package["name"], package["version"]): package for package in reached.values()}


def licence_texts(package):
    """The licence files anywhere in the crate, as (path, text)."""
    crate = Path(package["manifest_path"]).parent
    found = {crate / package["license_file"]} if package["license_file"] else set()
    for directory, _, files in os.walk(crate):
        paths = (Path(directory, name) for name in files if LICENCE_FILE.match(name))
        found.update(path for path in paths if path.suffix not in NOT_A_TEXT)
    if found:
        return [(str(path.relative_to(crate)), normalized(path.read_text("utf-8", "replace"))) for path in sorted(found)]
    if "MIT" in re.split(r"[\s/()]+", package["license"] or ""):
        holders = ", ".join(package["authors"]) or f"the authors of {package['name']}, {package['repository']}"
        return [("no file in the crate", normalized(MIT.format(holders=holders)))]
    sys.exit(f"failed to find the licence of `{package['name']} {package['version']}`: its crate has no such file")


def normalized(text):
    return "\n".join(line.rstrip() for line in text.replace("\f", "").strip("\n\r").splitlines())


def entries():
    """(heading, texts) of everything linked."""
    crates = {}
    for target in TARGETS:
        crates.update(linked_crates(target))
    for (name, version), package in sorted(crates.items()):
        yield f"{name} {version}: {package['license']}, {package['repository']}", licence_texts(package)
    for name, licence, home, files in RUNTIME:
        yield f"{name}: {licence}, {home}", [(path, normalized(Path(path).read_text("utf-8"))) for path in files]


def main():
    numbers, lines = {}, []
    for heading, texts in entries():
        lines.append(heading)
        for path, text in texts:
            number = numbers.setdefault(text, len(numbers) + 1)
            lines.append(f"    text {number} ({path})")
    print("Third-party notices\n\nWhat others wrote and the files of this release contain, and under which licence. Texts below.\n")
    print("\n".join(lines))
    for text, number in numbers.items():
        print(f"\n{RULE}\nText {number}\n{RULE}\n\n{text}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"failed to write the notices: {error}")
