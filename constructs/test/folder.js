// Gives the tests a folder of their own for temporary files: each App that is synthesized writes its assembly there.
const fs = require('fs');
const os = require('os');
const path = require('path');

module.exports = () => {
  process.env.TMPDIR = fs.mkdtempSync(path.join(os.tmpdir(), 'keyrota-constructs-'));
};
