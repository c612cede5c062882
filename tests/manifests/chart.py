"""Renders a Helm chart with Helm's own library and lints it.

Input: {"chart": path, "cases": [values, ...]}. Output, one entry a case: {"files": {path: text}, "lint": [message, ...]},
or {"refused": message} if Helm doesn't render it.
"""

import json
import sys

import helm_python

INFO = 1  # Helm's severities: what is above is a warning or an error

request = json.load(sys.stdin)
chart = helm_python.Chart.load(request["chart"])
answers = []
for values in request["cases"]:
    try:
        files = chart.render(values, name="kube2iam", namespace="kube-system")
    except helm_python.HelmError as refusal:
        answers.append({"refused": str(refusal)})
        continue
    report = helm_python.lint(request["chart"], values, strict=True)
    messages = [m["error"] for m in report["messages"] if m["severity"] > INFO] + report["errors"]
    answers.append({"files": files, "lint": messages})
json.dump(answers, sys.stdout)
