import * as fs from 'fs';
import * as path from 'path';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const { texts, TARGET } = require('../templates/write.js');

test.each<[string, string]>(Object.entries(texts()))('%s is what the construct makes', (name, text) => {
  expect(fs.readFileSync(path.join(TARGET, name), 'utf8')).toBe(text);
});
