// Builds the functions' code into assets/, by the keyrota beside this folder or on the PATH.
const { execFileSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const beside = path.join(__dirname, '..', '..', '.venv', 'bin', 'keyrota');
const keyrota = fs.existsSync(beside) ? beside : 'keyrota';
const output = path.join(__dirname, '..', 'assets', 'keyrota.zip');
try {
  process.stdout.write(execFileSync(keyrota, ['package', '--output', output], { stdio: ['ignore', 'pipe', 'inherit'] }));
} catch (error) {
  console.error(`the code package could not be built by ${keyrota}: ${error.code ?? `exit ${error.status}`}. Run \`make dev\` first.`);
  process.exit(1);
}
