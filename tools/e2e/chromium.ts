/** The browser of the system, without windows. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Where it is; `undefined` when none is installed. */
export const findChromium = (): string | undefined =>
  [process.env['CHROMIUM'], ...PLACES].find((path) => path !== undefined && existsSync(path));

export const startChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
