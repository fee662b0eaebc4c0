/** Looks at the built pages as a browser would, without asking the network: what they load, and where their links lead. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ELSEWHERE = /^(https?:)?\/\//;
/** Attributes whose address a browser loads by itself, and those that a reader follows. */
const LOADED = /<(?:script|img|source|iframe|link)\b[^>]*?\s(?:src|href)="([^"]*)"/g;
const FOLLOWED = /<a\b[^>]*?\shref="([^"]*)"/g;

/** @param {string} site @returns {{ pages: number, links: number, problems: string[] }} */
export function problemsOf(site) {
  const files = readdirSync(site, { recursive: true, encoding: 'utf8' });
  const pages = files.filter((name) => name.endsWith('.html')).map((name) => join(site, name));
  const anchors = new Map(pages.map((page) => [page, anchorsOf(readFileSync(page, 'utf8'))]));
  const problems = new Set();
  let links = 0;
  for (const page of pages) {
    const name = relative(site, page);
    const text = readFileSync(page, 'utf8');
    for (const [, address] of text.matchAll(LOADED)) {
      links++;
      if (ELSEWHERE.test(address)) problems.add(`${name} loads ${address}`);
      else if (!address.startsWith('data:')) check(page, name, address);
    }
    for (const [, address] of text.matchAll(FOLLOWED)) {
      links++;
      if (!ELSEWHERE.test(address) && !address.startsWith('mailto:')) check(page, name, address);
    }
  }
  for (const style of files.filter((file) => file.endsWith('.css'))) {
    const text = readFileSync(join(site, style), 'utf8');
    for (const [, address] of text.matchAll(/(?:url\(|@import\s+)["']?([^"')\s]+)/g))
      if (ELSEWHERE.test(address)) problems.add(`${style} loads ${address}`);
  }
  return { pages: pages.length, links, problems: [...problems].sort() };

  function check(page, name, address) {
    const [path = '', anchor] = decodeURIComponent(address.replaceAll('&amp;', '&')).split('#');
    const place = path === '' ? page : resolve(dirname(page), path.split('?', 1)[0] ?? '');
    const target = existsSync(place) && statSync(place).isDirectory() ? join(place, 'index.html') : place;
    if (!existsSync(target)) problems.add(`${name} leads to ${address}, which is not there`);
    else if (anchor !== undefined && anchor !== '' && anchors.get(target)?.has(anchor) === false)
      problems.add(`${name} leads to ${address}: that page has no such place`);
  }
}

const anchorsOf = (text) => new Set([...text.matchAll(/\s(?:id|name)="([^"]*)"/g)].map(([, id]) => id));
