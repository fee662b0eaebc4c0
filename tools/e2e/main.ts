/**
 * `npm run e2e`: the dashboard of a real server with real clients, in the browser of the system. Values change, nothing is wider than a
 * telephone, whoever has the token drains and disconnects and nobody else, axe-core finds nothing serious, and nothing is asked of
 * anybody else. Screenshots are in build/e2e. Exits with 1 when one of these does not hold, with 0 where no Chromium is installed.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { runTool, WrongUsage } from '../command-line.js';
import { findChromium, startChromium } from './chromium.js';
import { World } from './world.js';

const SHOTS = fileURLToPath(new URL('../../e2e/', import.meta.url));
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const USAGE = 'usage: npm run e2e\n';
const DESK = { width: 1280, height: 900 };
const TELEPHONE = { width: 360, height: 740 };
/** Of whoever waits for something to appear; a machine may be busy. */
const PATIENCE_MILLIS = 60_000;

/** What must hold, each told as it is found out. */
class Findings {
  failed = 0;
  passed = 0;

  check(holds: boolean, what: string, detail = ''): void {
    if (holds) this.passed++;
    else this.failed++;
    process.stderr.write(
      `${holds ? 'ok    ' : 'FAILED'} ${what}${holds || detail === '' ? '' : `: ${detail}`}\n`,
    );
  }

  async eventually(page: Page, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + PATIENCE_MILLIS;
    while (!(await holds()) && Date.now() < deadline) await page.waitForTimeout(50);
    this.check(await holds(), what);
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (args.length > 0) throw new WrongUsage('there are no arguments');
  const path = findChromium();
  if (path === undefined) {
    process.stderr.write(
      'skipped: no Chromium is installed (apt-get install chromium), and CHROMIUM names none\n',
    );
    return 0;
  }
  mkdirSync(SHOTS, { recursive: true });
  const findings = new Findings();
  const browser = await startChromium(path);
  try {
    await readOnly(browser, findings);
    await withToken(browser, findings);
  } finally {
    await browser.close();
  }
  process.stdout.write(`${JSON.stringify({ passed: findings.passed, failed: findings.failed })}\n`);
  return findings.failed === 0 ? 0 : 1;
}

/** A page that tells what it asked for elsewhere, and what went wrong in it. */
async function openPage(
  browser: Browser,
  url: string,
  findings: Findings,
  scheme: 'light' | 'dark' = 'light',
): Promise<Page> {
  const page = await browser.newPage({ viewport: DESK, colorScheme: scheme });
  const origin = new URL(url).origin;
  page.on('request', (request) => {
    if (!/^data:/.test(request.url()) && new URL(request.url()).origin !== origin)
      findings.check(false, 'nothing is asked of anybody else', request.url());
  });
  page.on('pageerror', (error) => findings.check(false, 'no error in the page', error.message));
  page.on('console', (message) => {
    // A refused order is an answer that browsers write down as an error.
    const isRefusal = /status of 40[15]/.test(message.text());
    if (message.type() === 'error' && !isRefusal)
      findings.check(false, 'nothing on the console', message.text());
  });
  await page.goto(url);
  return page;
}

async function readOnly(browser: Browser, findings: Findings): Promise<void> {
  await using world = new World();
  const { port, url } = await world.serve([]);
  const page = await openPage(browser, url, findings);
  await findings.eventually(page, 'a server without clients says how to connect', () =>
    page.locator('#nobody').isVisible(),
  );
  const [first] = [await world.connect(port), await world.connect(port)];
  await findings.eventually(
    page,
    'two clients are shown',
    async () => (await page.locator('.pair').count()) === 2,
  );
  await changes(page, findings, 'packets a second', '#packets');
  await changes(page, findings, 'packets sent of client 1', '.pair:first-child tr:nth-child(2) td');
  await findings.eventually(
    page,
    'the state RTS is the current one',
    async () => (await page.locator('.pair:first-child [aria-current=step]').textContent()) === 'RTS',
  );
  await findings.eventually(
    page,
    'nine flows are shown',
    async () => (await page.locator('.flow').count()) === 9,
  );
  await findings.eventually(
    page,
    'a part of a flow is lit',
    async () => (await page.locator('.flow [aria-current=step]').count()) > 0,
  );
  findings.check(
    (await page.locator('.flow svg .arrow, .flow svg .message').count()) > 50,
    'flows are diagrams with arrows',
  );
  await findings.eventually(
    page,
    'an arrow is lit with the part that it leads to',
    async () => (await page.locator('.flow .arrow.lit').count()) > 0,
  );
  await drawnInside(page, findings);
  findings.check(!(await page.locator('#control').isVisible()), 'without a token there are no buttons');
  await page.screenshot({ path: `${SHOTS}overview.png`, fullPage: true });
  await isAccessible(page, findings, 'overview');

  await page.locator('.pair:first-child a').click();
  await findings.eventually(
    page,
    'a client has a page with two charts',
    async () => (await page.locator('#client canvas').count()) === 2,
  );
  await findings.eventually(page, 'latencies are in its facts', async () =>
    (await page.locator('#client').innerText()).includes('latency p50, p99'),
  );
  await page.waitForTimeout(5000);
  await page.screenshot({ path: `${SHOTS}client.png` });
  await isAccessible(page, findings, 'client page');

  await page.setViewportSize(TELEPHONE);
  await fits(page, findings, 'the client page');
  await page.screenshot({ path: `${SHOTS}telephone-client.png`, fullPage: true });
  await page.goto(`${url}/#clients`);
  await findings.eventually(
    page,
    'the client page closes',
    async () => !(await page.locator('#client').isVisible()),
  );
  await fits(page, findings, 'the overview');
  await page.screenshot({ path: `${SHOTS}telephone.png`, fullPage: true });
  first?.stop();
  await findings.eventually(
    page,
    'a client that left is gone',
    async () => (await page.locator('.pair').count()) === 1,
  );
  await page.close();

  const dark = await openPage(browser, url, findings, 'dark');
  await findings.eventually(
    dark,
    'it comes up in the dark, too',
    async () => (await dark.locator('.pair').count()) === 1,
  );
  await dark.waitForTimeout(1500);
  await dark.screenshot({ path: `${SHOTS}dark.png` });
  await isAccessible(dark, findings, 'dark overview');
  await dark.close();
  await withoutScript(browser, url, findings);
}

async function withoutScript(browser: Browser, url: string, findings: Findings): Promise<void> {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(url);
  findings.check(
    (await page.locator('body').innerText()).includes('needs JavaScript'),
    'without JavaScript the page says so',
  );
  await context.close();
}

async function withToken(browser: Browser, findings: Findings): Promise<void> {
  await using world = new World();
  const { port, url, token } = await world.serve(['--control']);
  const page = await openPage(browser, url, findings);
  const client = await world.connect(port);
  await findings.eventually(page, 'a server with a token has buttons', () =>
    page.locator('#control').isVisible(),
  );
  await page.locator('#token').fill('this-is-not-the-token');
  await page.locator('#drain').click();
  await findings.eventually(page, 'a wrong token is refused', async () =>
    /not the token/.test((await page.locator('#answer').textContent()) ?? ''),
  );
  findings.check(!(await page.locator('#draining').isVisible()), 'and nothing was done');
  await page.close();

  const own = await openPage(browser, `${url}/#token=${token}`, findings);
  await findings.eventually(
    own,
    'the token of the address is taken over',
    async () => (await own.locator('#token').inputValue()) === token,
  );
  findings.check(!own.url().includes(token), 'and is no longer in the address');
  await own.locator('#drain').click();
  await findings.eventually(own, 'new clients are refused', () => own.locator('#draining').isVisible());
  await own.screenshot({ path: `${SHOTS}draining.png` });
  await isAccessible(own, findings, 'drained overview');
  await own.locator('#drain').click();
  await findings.eventually(
    own,
    'and let in again',
    async () => !(await own.locator('#draining').isVisible()),
  );
  await own.locator('.pair button').click();
  await client.gone;
  await findings.eventually(
    own,
    'a client is disconnected',
    async () => (await own.locator('.pair').count()) === 0,
  );
  await own.close();
}

/** No text of a diagram is wider than the box that it stands in, and no part is outside of its picture. */
async function drawnInside(page: Page, findings: Findings): Promise<void> {
  const wrong = await page.evaluate<
    string[]
  >(`[...document.querySelectorAll('.flow svg')].flatMap((picture) => {
    const { width, height } = picture.viewBox.baseVal;
    const parts = [...picture.querySelectorAll('.part')].flatMap((part) => {
      const shape = part.querySelector('rect, polygon').getBBox();
      const texts = [...part.querySelectorAll('text')].filter((text) => text.getBBox().width > shape.width);
      return texts.map((text) => text.textContent);
    });
    const all = picture.getBBox();
    const isInside = all.x >= 0 && all.y >= 0 && all.x + all.width <= width && all.y + all.height <= height;
    return isInside ? parts : [...parts, picture.getAttribute('aria-label') + ' is larger than its picture'];
  })`);
  findings.check(wrong.length === 0, 'every text of the diagrams fits into its box', wrong.join('; '));
}

async function changes(page: Page, findings: Findings, what: string, selector: string): Promise<void> {
  const element = page.locator(selector);
  const before = await element.textContent();
  await findings.eventually(page, `${what} change`, async () => (await element.textContent()) !== before);
}

/** What is wider than the window can be scrolled sideways. */
async function fits(page: Page, findings: Findings, what: string): Promise<void> {
  await page.waitForTimeout(500);
  const [wide, window] = await page.evaluate<[number, number]>(
    '[document.documentElement.scrollWidth, innerWidth]',
  );
  findings.check(wide <= window, `${what} fits into ${window} pixels`, `it has ${wide}`);
}

async function isAccessible(page: Page, findings: Findings, what: string): Promise<void> {
  // The page's own policy lets no other script in; the debugger may.
  const client = await page.context().newCDPSession(page);
  await client.send('Page.setBypassCSP', { enabled: true });
  await page.evaluate(readFileSync(AXE, 'utf8'));
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const detail = serious.map(
    ({ id, nodes }) =>
      `${id} at ${nodes
        .slice(0, 3)
        .map(({ target }) => target.join(' '))
        .join(', ')}`,
  );
  findings.check(serious.length === 0, `axe-core finds nothing serious: ${what}`, detail.join('; '));
}

await runTool(USAGE, main);
