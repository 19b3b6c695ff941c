#!/bin/sh
# Builds the npm and the Python package into dist/ (JSII_TARGETS="js python java dotnet go" for all, with their
# tools and registries), and generates the sources of the others.
set -eu
# shellcheck disable=SC2046,SC2086  # a word each
./node_modules/.bin/jsii-pacmak $(printf -- '--target %s ' ${JSII_TARGETS:-js python}) --outdir dist
ls dist/*
sh sources.sh
