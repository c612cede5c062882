"""Checks Kubernetes objects against the schemas of several Kubernetes versions, unknown fields refused.

Input: {"versions": ["1.31", ...], "objects": [{"from": name, "since": "1.30", "object": {...}}, ...]}. Output: a list of
faults.
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


request = json.load(sys.stdin)
distinct = {json.dumps(entry["object"], sort_keys=True): entry for entry in request["objects"]}
faults = []
for version in request["versions"]:
    for entry in distinct.values():
        if number(version) < number(entry["since"]):
            continue
        thing = entry["object"]
        try:
            used = kubernetes_validate.validate(thing, version, strict=True)
            if used != version:
                faults.append(f"no schemas of {version}, only of {used}")
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as fault:
            path = ".".join(str(part) for part in getattr(fault, "path", []))
            faults.append(f"{entry['from']}: {thing['kind']} ({version}) {path}: {fault.message}")
json.dump(faults, sys.stdout)
