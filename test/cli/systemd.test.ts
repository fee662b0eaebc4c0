/** systemd itself, as a user's manager in a mount namespace of its own, with the units of docs/recipes/systemd/. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { devCerts, runProgram, testDir } from '../../testkit/program.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const RECIPES = fileURLToPath(new URL('../../../docs/recipes/systemd/', import.meta.url));
const UNITS = ['queuepair.service', 'queuepair.socket'];
const MANAGER = '/lib/systemd/systemd';

const runs = (script: string): boolean => spawnSync('sh', ['-c', script]).status === 0;

test('systemd finds no mistake in the units', {
  skip: !runs('command -v systemd-analyze') && 'needs systemd-analyze',
}, () => {
  const dir = join(testDir(), 'units');
  mkdirSync(dir);
  for (const unit of UNITS) {
    // The program need not be installed here.
    const text = readFileSync(join(RECIPES, unit), 'utf8').replace('/usr/bin/queuepair', '/bin/true');
    writeFileSync(join(dir, unit), text);
  }
  const { status, stderr } = spawnSync(
    'systemd-analyze',
    ['verify', '--man=no', ...UNITS.map((unit) => join(dir, unit))],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /queuepair\.(service|socket)/);
});

/** What cannot be had here: another user, and mounts of the service's own. */
const SCRIPT = `
set -u
mount -t tmpfs tmpfs /run || { echo cannot; exit; }
units=/run/user/0/systemd/user
mkdir -p /run/systemd/system $units/queuepair.service.d $units/queuepair.socket.d
export XDG_RUNTIME_DIR=/run/user/0
cp "$RECIPES"/queuepair.service "$RECIPES"/queuepair.socket $units/
cat > $units/queuepair.service.d/here.conf <<END
[Service]
ExecStart=
ExecStart="$NODE" "$MAIN" serve --host 127.0.0.1 --dev-certs "$CERTS" --device soft:127.0.0.1?port=0
User=
ProtectSystem=no
ProtectHome=no
PrivateTmp=no
NoNewPrivileges=no
WatchdogSec=5
END
cat > $units/queuepair.socket.d/here.conf <<END
[Socket]
ListenStream=
ListenStream=127.0.0.1:$PORT
END
"$MANAGER" --user --unit=basic.target > /dev/null 2>&1 < /dev/null &
manager=$!
end() { main=$(show MainPID); [ "$main" -gt 1 ] && kill -9 "$main"; kill -9 $manager; }
trap 'end 2> /dev/null' EXIT
show() { systemctl --user show queuepair.service -p "$1" --value; }
until_is() { for _ in $(seq 300); do [ "$(show "$1")" = "$2" ] && return; sleep 0.2; done; }
up=no
for _ in $(seq 50); do systemctl --user start queuepair.socket 2> /dev/null && { up=yes; break; }; sleep 0.2; done
[ $up = yes ] || { echo cannot; exit; }
echo "before $(show ActiveState)"
"$NODE" "$MAIN" connect 127.0.0.1:$PORT --device soft:127.0.0.1?port=0 --dev-certs "$CERTS" --exec "send hi; quit" > /dev/null
echo "client $?"
until_is ActiveState active
echo "status $(show StatusText)"
sleep 7
echo "alive $(show ActiveState) $(show NRestarts)"
kill -STOP $(show MainPID)
until_is NRestarts 1
until_is ActiveState active
echo "after a standstill $(show ActiveState) $(show NRestarts)"
systemctl --user stop queuepair.service queuepair.socket
echo "stopped $(show ActiveState) $(show Result)"
`;

test('systemd starts the server for its first client, sees it alive, restarts it when it stands still, and stops it', {
  skip:
    !runs(`[ "$(id -u)" = 0 ] && [ -x ${MANAGER} ] && unshare -m true`) &&
    'needs systemd, and root for a mount namespace',
}, async (t) => {
  const [, certs = ''] = devCerts();
  assert.equal((await runProgram(['certs', '--dev-certs', certs])).code, 0);
  const port = String(20_000 + (process.pid % 10_000));
  const env = { ...process.env, NODE: process.execPath, MAIN, RECIPES, CERTS: certs, PORT: port, MANAGER };
  const { stdout, stderr } = spawnSync('unshare', ['-m', 'bash', '-c', SCRIPT], {
    env,
    encoding: 'utf8',
    timeout: 150_000,
  });
  if (stdout.startsWith('cannot')) {
    t.skip('this system does not let a manager of its own run');
    return;
  }
  assert.deepEqual(
    stdout.trim().split('\n'),
    [
      'before inactive',
      'client 0',
      `status serving 127.0.0.1 port ${port}`,
      'alive active 0',
      'after a standstill active 1',
      'stopped inactive success',
    ],
    stderr,
  );
});
