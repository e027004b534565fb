#!/usr/bin/env python3
"""Writes what a program is made of, as a bill of materials (CycloneDX 1.5), to standard output.

    infra/sbom.py revtrail > revtrail.cdx.json              the command line
    infra/sbom.py manage --features manage/lambda           a function, as it is deployed

It says what Cargo.lock and `cargo tree` say: each crate that is linked, its version, its licence, and the SHA-256 of its archive.
Needs Python 3.11 and cargo.
"""
import json, pathlib, subprocess, sys, tomllib

if len(sys.argv) < 2:
    sys.exit(__doc__)
root = pathlib.Path(__file__).resolve().parent.parent
lock = tomllib.loads((root / "Cargo.lock").read_text(encoding="utf-8"))
checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
tree = subprocess.run(
    ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}", "--package", *sys.argv[1:]],
    cwd=root, check=True, capture_output=True, text=True,
).stdout
crates = {}
for line in tree.splitlines():
    package, licence = line.removesuffix(" (*)").split("|", 1)
    name, version = package.split(" ")[:2]
    crates[name, version.removeprefix("v")] = licence.removesuffix(" (*)")


def component(name, version, licence):
    """A crate. Those of this workspace have no archive, and so no hash."""
    shown = {"type": "library", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}"}
    if licence:
        shown["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksums.get((name, version)):
        shown["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    return shown


components = [component(*crate, licence) for crate, licence in sorted(crates.items())]
program = next(one for one in components if one["name"] == sys.argv[1])
print(json.dumps({
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
    "metadata": {"component": {**program, "type": "application"}},
    "components": [one for one in components if one is not program],
}, indent=1))
