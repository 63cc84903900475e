/** Certificates of a test's own, by `openssl`: an authority, and what it signs. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const openssl = (...args) => promisify(execFile)("openssl", args);
// A serial number of each certificate's own: openssl's file of them bears no two that are signed at once.
let serial = 1;

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** An authority in a folder of its own; `remove` removes it with all that it signed. */
export class Authority {
  static async make() {
    const authority = new Authority();
    authority.folder = await mkdtemp(path.join(tmpdir(), "sockeye-certificates-"));
    authority.cert = authority.file("ca.crt");
    authority.key = authority.file("ca.key");
    const files = ["-keyout", authority.key, "-out", authority.cert];
    await openssl("req", "-x509", ...KEY, ...files, "-days", "2", "-subj", "/CN=authority");
    return authority;
  }

  file(name) {
    return path.join(this.folder, name);
  }

  /** The files of a certificate for these names, such as `DNS:localhost`, and of its key. */
  async sign(name, names) {
    const [cert, key, request, extensions] = ["crt", "key", "csr", "ext"].map((ending) => this.file(`${name}.${ending}`));
    await openssl("req", ...KEY, "-keyout", key, "-out", request, "-subj", `/CN=${name}`);
    await writeFile(extensions, `subjectAltName=${names.join(",")}\n`);
    const by = ["-CA", this.cert, "-CAkey", this.key, "-set_serial", String(serial++)];
    await openssl("x509", "-req", "-in", request, ...by, "-days", "2", "-extfile", extensions, "-out", cert);
    return { cert, key };
  }

  remove() {
    return rm(this.folder, { recursive: true });
  }
}
