"""Style and script of the report page: calm, both colour schemes, readable from 375 px; works without script."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --card: #ffffff; --ink: #1d2127; --soft: #5c6470; --rule: #e3e3dd; --code: #f1f1ec;
  --stable: #3d6fb6; --canary: #d9660a; --other: #7a5ba8;
  --good: #17754a; --bad: #b9302c; --warn: #92600a; --neutral: #56616e;
  --band: #f3f2ec; --band-odd: #eae9e1; --grid: #dddcd4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1c2026; --ink: #e8e9ea; --soft: #a0a8b2; --rule: #2e343c; --code: #262b33;
    --stable: #7fb0f2; --canary: #ffa04d; --other: #c0a2ee;
    --good: #5bc795; --bad: #ff8a80; --warn: #e6b457; --neutral: #a9b3be;
    --band: #20252c; --band-odd: #272d35; --grid: #39414b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
main { max-width: 1040px; margin: 0 auto; padding: 40px 24px 64px; }
a { color: var(--stable); text-underline-offset: 2px; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 14px 0 10px; letter-spacing: -.01em; text-wrap: balance; }
h2 { font-size: 1.0625rem; margin: 0 0 12px; }
p { margin: 0 0 10px; }
.eyebrow { color: var(--soft); font-size: .875rem; margin: 0 0 14px; }
.why { font-size: 1.0625rem; color: var(--soft); max-width: 68ch; }
.badge {
  display: inline-flex; align-items: center; gap: 8px; padding: 4px 14px 4px 5px; margin: 0; border-radius: 999px;
  font-weight: 600; font-size: .875rem; color: var(--tone); border: 1.5px solid var(--tone);
}
.badge span {
  width: 20px; height: 20px; border-radius: 50%; background: var(--tone); color: var(--card);
  display: grid; place-items: center; font-size: .75rem; line-height: 1;
}
.good { --tone: var(--good); } .bad { --tone: var(--bad); }
.warn { --tone: var(--warn); } .neutral { --tone: var(--neutral); }
section {
  background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 20px 22px;
  margin-top: 20px;
}
.command { display: flex; gap: 10px; align-items: stretch; margin-top: 10px; }
pre {
  margin: 0; padding: 12px 14px; background: var(--code); border-radius: 8px; overflow-x: auto; flex: 1; min-width: 0;
  white-space: pre-wrap;
}
code, pre { font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
button {
  font: inherit; font-size: .875rem; color: var(--ink); background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 0 14px; cursor: pointer; min-width: 76px;
}
button:hover { border-color: var(--soft); }
:focus-visible { outline: 2px solid var(--stable); outline-offset: 2px; }
.scroll { overflow-x: auto; }
.scroll th, .scroll td { overflow-wrap: break-word; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; font-size: .8125rem; color: var(--soft); }
th, td { padding: 9px 22px 9px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
tr:last-child > td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
.n { display: block; color: var(--soft); font-size: .8125rem; }
.verdict { color: var(--tone); font-weight: 600; white-space: nowrap; }
.reason { color: var(--soft); font-size: .875rem; display: block; font-weight: 400; }
.interval { width: 120px; height: 18px; display: block; margin-left: auto; }
.interval line { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 2; }
.interval rect { fill: var(--tone); opacity: .35; }
.interval circle { fill: var(--tone); }
.verdicts td:last-child { padding-right: 0; }
.verdicts td:first-child { min-width: 180px; font-weight: 600; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; margin: 0; font-size: .9375rem; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; }
figure { margin: 0; }
figure + figure { margin-top: 26px; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 20px; margin-bottom: 4px; }
figcaption h3 { font-size: .9375rem; margin: 0; }
.legend {
  display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0; padding: 0; list-style: none; font-size:
  .875rem; color: var(--soft);
}
.legend li { display: flex; align-items: center; gap: 8px; }
.legend i { width: 22px; height: 0; border-top: 3px solid var(--line); }
.legend i.stable { border-top-style: dashed; border-top-width: 2px; }
.chart { display: block; width: 100%; height: auto; }
.chart.narrow { display: none; }
.chart text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--soft); }
.chart .band { fill: var(--band); } .chart .band.odd { fill: var(--band-odd); }
.chart .band-name { font-size: 11.5px; }
.chart .grid { stroke: var(--grid); stroke-width: 1; }
.chart .line { fill: none; stroke: var(--line); stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
.chart .line.stable { stroke-width: 1.75; stroke-dasharray: 5 4; }
.chart .dot { fill: var(--line); stroke: var(--card); stroke-width: 1.5; }
.stable { --line: var(--stable); } .canary { --line: var(--canary); }
.other0 { --line: var(--other); } .other1 { --line: var(--good); }
.other2 { --line: var(--warn); } .other3 { --line: var(--neutral); }
.chart .mark line { stroke: var(--tone); stroke-width: 1; opacity: .55; }
.chart .mark circle { fill: var(--card); stroke: var(--tone); stroke-width: 1.25; }
.chart .mark text { font-size: 10.5px; font-weight: 600; fill: var(--tone); }
.chart .strip rect { fill: transparent; }
.chart .strip line, .chart .strip circle { opacity: 0; pointer-events: none; }
.chart .strip line { stroke: var(--soft); }
.chart .strip:hover line, .chart .strip:hover circle { opacity: 1; }
.events { list-style: none; margin: 0; padding: 0; display: grid; gap: 6px; font-size: .9375rem; }
.events li { display: grid; grid-template-columns: 24px 4.5em 1fr; align-items: baseline; }
.events b {
  width: 18px; height: 18px; border-radius: 50%; border: 1.25px solid var(--tone); color: var(--tone);
  font-size: .6875rem; line-height: 15px; text-align: center; font-weight: 600;
}
.events time { color: var(--soft); font-variant-numeric: tabular-nums; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--soft); font-size: .875rem; }
section > details { margin: 0; }
section > details > summary { color: var(--ink); font-size: 1.0625rem; font-weight: 600; }
section > details[open] > summary { margin-bottom: 12px; }
footer { color: var(--soft); font-size: .8125rem; margin-top: 24px; }
.links { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 0; padding: 0; list-style: none; }
@media (max-width: 640px) {
  main { padding: 22px 14px 40px; }
  h1 { font-size: 1.375rem; }
  section { padding: 16px 14px; border-radius: 10px; }
  .chart.wide { display: none; } .chart.narrow { display: block; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: 8px; }
  .command { flex-direction: column; } button { min-height: 40px; }
  .verdicts thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .verdicts, .verdicts tbody { display: block; }
  .verdicts tr {
    display: grid; grid-template-columns: 1fr 1fr 1fr; padding: 12px 0; border-bottom: 1px solid
    var(--rule);
  }
  .verdicts tr:last-child { border-bottom: 0; }
  .verdicts td { border: 0; padding: 2px 8px 2px 0; text-align: left; min-width: 0; }
  .verdicts td:first-child { grid-column: 1 / 3; }
  .verdicts td.verdict { grid-row: 1; grid-column: 3; text-align: right; padding-right: 0; }
  .verdicts td[data-name]::before { content: attr(data-name); display: block; color: var(--soft); font-size: .75rem; }
  .interval { margin-left: 0; width: 96px; }
}
@media print { body { background: none; } section { break-inside: avoid; } .strip, button { display: none; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
"""
