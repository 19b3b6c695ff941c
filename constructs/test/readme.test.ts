import * as fs from 'fs';
import * as path from 'path';
import * as ts from 'typescript';

const README = fs.readFileSync(path.join(__dirname, '..', 'README.md'), 'utf8');
const BLOCKS = [...README.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);

test('the README has TypeScript examples', () => {
  expect(BLOCKS.length).toBeGreaterThan(1);
});

test.each(BLOCKS.map((block, number) => [number, block]))('example %d synthesizes', (_, block) => {
  const assets = path.join(__dirname, '..', 'assets', 'keyrota.zip');
  const isMissing = !fs.existsSync(assets);
  if (isMissing) {
    fs.mkdirSync(path.dirname(assets), { recursive: true });
    fs.writeFileSync(assets, 'PK\x05\x06' + '\0'.repeat(18), 'binary');
  }
  try {
    const text = ts.transpileModule(String(block), { compilerOptions: { module: ts.ModuleKind.CommonJS, esModuleInterop: true } }).outputText;
    const load = (name: string): any => require(name === 'keyrota-constructs' ? '../lib' : name);
    new Function('require', 'exports', text)(load, {});
  } finally {
    if (isMissing) fs.rmSync(assets);
  }
});
