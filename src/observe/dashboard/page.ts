/** The dashboard's page: static, without anything from elsewhere. What moves in it is in script.ts. */
import { DASHBOARD_SCRIPT } from './script.js';

const STYLE = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f7f9, #11151c); --card: light-dark(#ffffff, #1a202b); --line: light-dark(#dde2ea, #2c3545);
  --text: light-dark(#1b2330, #e4e9f1); --dim: light-dark(#5d6879, #93a0b4); --sent: #2f7df6; --received: #17a673;
  --waiting: #f2a007; --bad: light-dark(#c62f3b, #ff6b75);
}
* { box-sizing: border-box; }
body { margin: 0; padding: 20px; background: var(--ground); color: var(--text);
  font: 14px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 18px; margin-bottom: 16px; }
h1 { font-size: 20px; margin: 0; }
h2 { font-size: 13px; margin: 0 0 8px; color: var(--dim); font-weight: 600; }
.dim { color: var(--dim); }
.bad { color: var(--bad); }
.good { color: var(--received); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin-bottom: 12px; }
.tile strong { display: block; font-size: 24px; font-weight: 600; line-height: 1.2; }
.tile canvas { display: block; width: 100%; height: 34px; margin-top: 6px; }
.slots { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 8px; }
.slots i { width: 16px; height: 16px; border-radius: 4px; border: 1px solid var(--line); }
.slots i.used { background: var(--received); border-color: var(--received); }
#pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 12px; margin-bottom: 12px; }
.pair { display: grid; grid-template-columns: 1fr 112px; gap: 4px 12px; }
.pair h3 { margin: 0; font-size: 15px; grid-column: 1 / -1; display: flex; justify-content: space-between; gap: 8px; }
.pair h3 span { font-weight: 400; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.states { grid-column: 1 / -1; display: flex; gap: 4px; margin: 4px 0; font-size: 11px; }
.states b { padding: 1px 7px; border-radius: 9px; border: 1px solid var(--line); color: var(--dim); font-weight: 500; }
.states b.passed { border-color: var(--sent); color: var(--sent); }
.states b.now { background: var(--sent); border-color: var(--sent); color: #fff; }
.states b.ERR.now { background: var(--bad); border-color: var(--bad); }
.ring { width: 112px; height: 112px; }
.ring circle { fill: none; stroke-width: 9; transform: rotate(-90deg); transform-origin: center; }
.ring text { fill: var(--dim); font-size: 11px; text-anchor: middle; }
table { border-collapse: collapse; width: 100%; }
td { padding: 1px 0; }
td:last-child { text-align: right; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr)); gap: 12px; align-items: start; }
#news { list-style: none; margin: 0; padding: 0; max-height: 260px; overflow: auto; }
#news time { color: var(--dim); margin-right: 8px; }
.key.sent { background: var(--sent); } .key.waiting { background: var(--waiting); }
.key.received { background: var(--received); }
.ring .ground { stroke: var(--line); } .ring .sent { stroke: var(--sent); } .ring .waiting { stroke: var(--waiting); }
.ring .received { stroke: var(--received); }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; }
#lost { display: none; }
body.lost #lost { display: inline; }
body.lost main { opacity: 0.5; }
`;

const BODY = `
<header>
  <h1>queuepair</h1>
  <span id="about" class="dim">connecting…</span>
  <strong id="lost" class="bad">the server does not answer any more</strong>
</header>
<main>
  <section class="tiles">
    <div class="card tile"><h2>Clients</h2><strong id="clients">0</strong><div id="slots" class="slots"></div></div>
    <div class="card tile"><h2>Data in and out</h2><strong id="bytes">0 B/s</strong><canvas id="bytes-line"></canvas></div>
    <div class="card tile"><h2>RoCE packets</h2><strong id="packets">0 /s</strong><canvas id="packets-line"></canvas></div>
    <div class="card tile"><h2>Messages</h2><strong id="messages">0 /s</strong><canvas id="messages-line"></canvas></div>
    <div class="card tile"><h2>Dropped datagrams</h2><strong id="drops">0</strong><canvas id="drops-line"></canvas></div>
  </section>
  <section id="pairs"></section>
  <p id="nobody" class="card dim">No client is here. Try: queuepair connect <span id="target"></span></p>
  <p class="dim"><i class="key sent"></i>sent and acknowledged
    &ensp;<i class="key waiting"></i>sent, not acknowledged yet
    &ensp;<i class="key received"></i>received in sequence.
    A full turn is 4096 packets, counted from where the PSNs began: PSNs themselves are secrets.</p>
  <section class="columns">
    <div class="card"><h2>What happened</h2><ul id="news"></ul></div>
    <div class="card"><h2>Why datagrams were dropped</h2><table id="reasons"></table></div>
    <div class="card"><h2>What the device counts</h2><table id="counters"></table></div>
    <div class="card"><h2>Open objects</h2><table id="objects"></table></div>
  </section>
</main>
`;

/** `nonce` lets the page's own style and script run, and nothing else. */
export const dashboardPage = (nonce: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>queuepair</title>
<style nonce="${nonce}">${STYLE}</style>
</head>
<body>${BODY}<script nonce="${nonce}">${DASHBOARD_SCRIPT}</script></body>
</html>
`;
