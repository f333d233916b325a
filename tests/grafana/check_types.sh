#!/bin/sh
# Holds the committed dashboards against the types of @grafana/schema; needs npm and a registry.
# And shows that the check can fail: the same files with a misspelt key must be refused.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/types.ts" "$here/tsconfig.json" "$here/package.json" "$work"
cd "$work"
npm install --silent --no-audit --no-fund >&2
for file in "$here"/../../deploy/grafana/dashboards/*.json; do
  {
    echo 'import type { Committed } from "./types.js";'
    echo 'export const dashboard: Committed ='
    cat "$file"
    echo ';'
  } > "$(basename "$file" .json).ts"
done
npx --no-install tsc -p .
echo "$(ls packtap-*.ts | wc -l) dashboards have the types of @grafana/schema" \
  "$(sed -n 's/^  "version": "\(.*\)",*/\1/p' node_modules/@grafana/schema/package.json)"
sed -i 's/"gridPos"/"gridPoz"/' packtap-*.ts
if npx --no-install tsc -p . > refused; then
  echo "a misspelt key was not noticed" >&2
  exit 1
fi
echo "with a misspelt key: $(grep -c 'error TS' refused) errors"
