// Loaded into a node before its own code (`node --import`): makes its syncs as slow as a file says, and lets its
// connections begin at an address of its own, by which a proxy knows whose they are. The product knows nothing of it.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

const file = process.env.CHAOS_SLOW_SYNC ?? '';
const from = process.env.CHAOS_DIAL_FROM ?? '';
const CHECK_MS = 200;

if (file !== '') {
  let delayMs = 0;
  let delayed = 0;
  const look = () => {
    try {
      delayMs = Number(fs.readFileSync(file, 'utf8'));
    } catch {
      delayMs = 0;
    }
  };
  setInterval(look, CHECK_MS).unref();
  const { fdatasync } = fs;
  fs.fdatasync = (fd, callback) => {
    if (!(delayMs > 0)) return fdatasync(fd, callback);
    delayed++;
    fs.writeFileSync(`${file}.count`, String(delayed));
    setTimeout(() => fdatasync(fd, callback), delayMs);
  };
}

if (from !== '') {
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function (...args) {
    const options = Array.isArray(args[0]) ? args[0][0] : args[0];
    if (typeof options === 'object' && options !== null && options.path === undefined) {
      options.localAddress ??= from;
    }
    return connect.apply(this, args);
  };
}
syncBuiltinESMExports();
