"""Checks Kubernetes objects against the schemas of several Kubernetes versions, unknown fields refused.

Input: lines of {"versions": ["1.31", ...], "objects": [{"from": name, "since": "1.30", "object": {...}}, ...]}. Output: a
list of faults for each, in a line. What was read of the schemas for one line serves the next.
"""

import functools
import json
import sys

import kubernetes_validate
from kubernetes_validate import utils

# It reads a schema of some MiB from its file for every object.
utils.schema_contents = functools.cache(utils.schema_contents)


def number(version):
    return [int(part) for part in version.split(".")]


@functools.cache
def fault_of(text, version):
    thing = json.loads(text)
    try:
        used = kubernetes_validate.validate(thing, version, strict=True)
        return None if used == version else f"no schemas of {version}, only of {used}"
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as fault:
        path = ".".join(str(part) for part in getattr(fault, "path", []))
        return f"{thing['kind']} ({version}) {path}: {fault.message}"


for line in sys.stdin:
    request = json.loads(line)
    distinct = {json.dumps(entry["object"], sort_keys=True): entry for entry in request["objects"]}
    faults = []
    for version in request["versions"]:
        for text, entry in distinct.items():
            if number(version) < number(entry["since"]):
                continue
            fault = fault_of(text, version)
            if fault:
                faults.append(f"{entry['from']}: {fault}")
    print(json.dumps(faults), flush=True)
