#!/bin/sh
# Installs the built wheel into a fresh environment, and synthesizes the README's Python example with it.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
needed="--quiet --require-hashes -r ../requirements/constructs.txt"
../.venv/bin/uv pip install --python "$folder/venv" $needed ||
  "$folder/venv/bin/python" -m pip install --no-compile --disable-pip-version-check $needed
"$folder/venv/bin/python" -m pip install --no-compile --quiet --disable-pip-version-check --no-deps dist/python/*.whl
sed -n '/^```python$/,/^```$/p' README.md | sed '/^```/d' > "$folder/app.py"
CDK_OUTDIR="$folder/out" "$folder/venv/bin/python" "$folder/app.py"
"$folder/venv/bin/python" - "$folder/out/keyrota.template.json" <<'CHECK'
import collections, json, sys
resources = json.load(open(sys.argv[1]))["Resources"].values()
found = collections.Counter(one["Type"] for one in resources)
assert found["AWS::Lambda::Function"] == 6, found
print(f"the README's Python example: {len(resources)} resources, {found['AWS::Lambda::Function']} functions")
CHECK
