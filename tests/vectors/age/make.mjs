// Makes the golden vectors of this folder with the npm package `age-encryption` 0.3.1 (typage):
//   npm install age-encryption@0.3.1 && node make.mjs OUTPUT_FOLDER
// Each vector is an identity file and a file encrypted to it; the plaintext is byte i = i * 7 mod 251.
import * as age from "age-encryption";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const kinds = { hybrid: age.generateHybridIdentity, x25519: age.generateX25519Identity ?? age.generateIdentity };
for (const [kind, generate] of Object.entries(kinds)) {
  const identity = await generate();
  const recipient = await age.identityToRecipient(identity);
  const plaintext = Uint8Array.from({ length: 70000 }, (_, i) => (i * 7) % 251);
  const encrypter = new age.Encrypter();
  encrypter.addRecipient(recipient);
  writeFileSync(join(folder, `${kind}.age`), await encrypter.encrypt(plaintext));
  writeFileSync(join(folder, `${kind}.txt`), `# public key: ${recipient}\n${identity}\n`);
}
