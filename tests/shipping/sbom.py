"""Checks a CycloneDX 1.5 document against CycloneDX' own schema. Input: the document. Output: the fault, or nothing."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
if fault is not None:
    print(fault)
