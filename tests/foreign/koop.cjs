// Koop with the features of a folder, one service for each file.
// Usage: NODE_PATH=…/node_modules node koop.cjs FOLDER PORT
const fs = require('fs');
const path = require('path');
const Koop = require('@koopjs/koop-core');

const [folder, port] = process.argv.slice(2);

class Model {
  constructor({ logger }) {
    this.logger = logger;
  }

  async getData(request) {
    const name = path.basename(request.params.id);
    return JSON.parse(fs.readFileSync(path.join(folder, `${name}.json`), 'utf8'));
  }
}

const koop = new Koop({ logLevel: 'error' });
koop.register({ type: 'provider', name: 'odd', version: '1.0.0', Model });
koop.server.listen(Number(port), '127.0.0.1');
