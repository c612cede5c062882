"""Takes pods through a mutating and a validating admission policy, with Google's own CEL.

Input: {"objects": [policies and their ConfigMap], "namespace": annotations of the pods' namespace, "mutate": bool,
"pods": [pod, ...]}. Output, one entry a pod: {"pod": the pod as it is then, "faults": [message, ...]} or null if the
policies don't match it.

A typed object (`Object.spec{name: ...}`) is read as a map with these keys; an apply configuration is merged as the API
server merges it: lists of maps by their key, everything else replaced.
"""

import copy
import json
import re
import sys

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

request = json.load(sys.stdin)
# The API server leaves out what is empty.
NAMESPACE = {"metadata": {"annotations": request["namespace"]} if request["namespace"] else {}}
NAMES = ["object", "namespaceObject", "params", "variables"]
ENVIRONMENT = cel.NewEnv(
    variables={name: cel.Type.DYN for name in NAMES},
    extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
)


def untyped(expression):
    expression = re.sub(r"\b(?:Object|JSONPatch)(?:\.\w+)*\{", "{", expression)
    return re.sub(r"([{,]\s*)(\w+):(?=\s)", r"\1'\2':", expression)


def evaluate(expression, pod, params, variables, namespace=NAMESPACE):
    compiled = ENVIRONMENT.compile(untyped(expression))
    data = {"object": pod, "namespaceObject": namespace, "params": params, "variables": variables}
    value = compiled.eval(data=data)
    if value.type() == cel.Type.ERROR:
        raise ValueError(f"{expression}: {value.value()}")
    return value.plain_value()


def variables(policy, pod, params):
    found = {}
    for variable in policy["spec"].get("variables", []):
        found[variable["name"]] = evaluate(variable["expression"], pod, params, found)
    return found


def matches(policy, pod, params):
    """The API server gives match conditions no namespace."""
    conditions = policy["spec"]["matchConditions"]
    return all(evaluate(condition["expression"], pod, params, {}, namespace=None) for condition in conditions)


def merged(old, new):
    """A list whose entries have a key is merged by it."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: merged(old[name], value) if name in old else value for name, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        key = "mountPath" if any("mountPath" in entry for entry in old + new) else "name"
        entries = {entry[key]: entry for entry in old}
        for entry in new:
            entries[entry[key]] = merged(entries[entry[key]], entry) if entry[key] in entries else entry
        return list(entries.values())
    return new


def patched(pod, patch):
    """Additions alone: a member of an object, or `-` at the end of a list."""
    for step in patch:
        assert step["op"] == "add", step
        *way, last = step["path"].split("/")[1:]
        parent = pod
        for part in way:
            parent = parent[part]
        if last == "-":
            parent.append(step["value"])
        else:
            parent[last] = step["value"]
    return pod


def mutated(policy, pod, params):
    pod = copy.deepcopy(pod)
    for mutation in policy["spec"]["mutations"]:
        known = variables(policy, pod, params)
        if mutation["patchType"] == "JSONPatch":
            pod = patched(pod, evaluate(mutation["jsonPatch"]["expression"], pod, params, known))
        else:
            pod = merged(pod, evaluate(mutation["applyConfiguration"]["expression"], pod, params, known))
    return pod


def faults(policy, pod, params):
    known = variables(policy, pod, params)
    found = []
    for validation in policy["spec"]["validations"]:
        if not evaluate(validation["expression"], pod, params, known):
            found.append(evaluate(validation["messageExpression"], pod, params, known))
    return found


by_kind = {thing["kind"]: thing for thing in request["objects"]}
mutating, validating = by_kind["MutatingAdmissionPolicy"], by_kind["ValidatingAdmissionPolicy"]
params = by_kind["ConfigMap"]
answers = []
for pod in request["pods"]:
    matching = [matches(policy, pod, params) for policy in (mutating, validating)]
    assert matching[0] == matching[1], f"only one of the policies matches {pod}"
    if not matching[0]:
        answers.append(None)
        continue
    after = mutated(mutating, pod, params) if request["mutate"] else pod
    answers.append({"pod": after, "faults": faults(validating, after, params)})
json.dump(answers, sys.stdout)
