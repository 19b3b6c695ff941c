// Takes that folder away.
const fs = require('fs');

module.exports = () => fs.rmSync(process.env.TMPDIR, { recursive: true, force: true });
