#!/bin/sh
# Builds the npm and the Python package into dist/ (JSII_TARGETS="js python java dotnet go" for all, with their
# tools and registries), and generates the sources of the others.
set -eu
for target in ${JSII_TARGETS:-js python}; do
  ./node_modules/.bin/jsii-pacmak --target "$target" --outdir dist
done
ls dist/*
sh sources.sh
