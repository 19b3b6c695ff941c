#!/bin/sh
# Generates the sources of the Maven, NuGet and Go packages into dist/sources/, and looks whether they name everything.
# Compiling them needs Maven Central, NuGet or a Go proxy: JSII_TARGETS="java dotnet go" sh package.sh does that.
set -eu
cd "$(dirname "$0")"
rm -rf dist/sources
./node_modules/.bin/jsii-pacmak --code-only --outdir dist/sources --target java --target dotnet --target go
node - <<'CHECK'
const fs = require('fs');
const { types, targets } = JSON.parse(fs.readFileSync('.jsii', 'utf8'));
const text = (file) => fs.readFileSync(`dist/sources/${file}`, 'utf8');
const has = (file, wanted) => { if (!text(file).includes(wanted)) throw new Error(`dist/sources/${file} does not say ${wanted}`); };
const { java, dotnet, go } = targets;
has('java/pom.xml', `<groupId>${java.maven.groupId}</groupId>`);
has('java/pom.xml', `<artifactId>${java.maven.artifactId}</artifactId>`);
has(`dotnet/${dotnet.packageId}/${dotnet.packageId}.csproj`, `<PackageId>${dotnet.packageId}</PackageId>`);
has('go/keyrotaconstructs/go.mod', `module ${go.moduleName}/keyrotaconstructs`);
const names = Object.values(types).map((type) => type.name);
for (const name of names) {
  has(`java/src/main/java/${java.package.split('.').join('/')}/${name}.java`, ` ${name} `);
  has(`dotnet/${dotnet.packageId}/${dotnet.namespace.split('.').join('/')}/${name}.cs`, ` ${name}`);
  has(`go/keyrotaconstructs/${name}.go`, `type ${name} `);
}
console.log(`sources for Maven, NuGet and Go: ${names.length} types each`);
CHECK
# Reads the Java sources as far as it goes without the libraries that they import.
if command -v javac >/dev/null; then
  find dist/sources/java -name '*.java' > dist/sources/java.txt
  javac -proc:none -XDshould-stop.ifNoError=PARSE -XDshould-stop.ifError=PARSE -d dist/sources/none @dist/sources/java.txt
  rm dist/sources/java.txt
fi
