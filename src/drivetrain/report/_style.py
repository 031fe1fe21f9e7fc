"""The style sheet of the page, light and dark."""

from __future__ import annotations

STYLE = """
:root { --ground:#f7f7f8; --card:#ffffff; --ink:#18181b; --soft:#63636e; --line:#e2e2e7; --accent:#0b62d6;
  --good:#15803d; --bad:#c81e1e; --s0:#0b62d6; --s1:#e8710a; --s2:#0f9d58; --s3:#d02f55; --s4:#7c4ddb; --s5:#0891a5; }
@media (prefers-color-scheme: dark) { :root { --ground:#131316; --card:#1d1d22; --ink:#ececf1; --soft:#a0a0ac;
  --line:#34343c; --accent:#6ba8ff; --good:#4ade80; --bad:#f87171; --s0:#6ba8ff; --s1:#ffa552; --s2:#4ad991;
  --s3:#ff7a99; --s4:#b294ff; --s5:#4fd5e6; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--ground); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif; }
header, main, footer { max-width:1100px; margin:0 auto; padding:0 20px; }
header { padding-top:28px; }
.brand { margin:0; color:var(--accent); font-weight:600; letter-spacing:.04em; }
h1 { margin:2px 0 8px; font-size:26px; line-height:1.25; overflow-wrap:anywhere; }
h2 { margin:0 0 12px; font-size:17px; overflow-wrap:anywhere; }
h3 { margin:0 0 8px; font-size:15px; }
section > section { border:0; padding:0; margin:18px 0 0; }
section { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:18px 20px; margin:16px 0; }
.notes { border-left:4px solid var(--s1); }
.notes ul { margin:0; padding-left:20px; }
.facts { display:flex; flex-wrap:wrap; gap:4px 22px; padding:0; margin:0; list-style:none; }
.facts span, .hint, footer { color:var(--soft); }
.good { color:var(--good); }
.bad { color:var(--bad); }
.tiles { display:grid; grid-template-columns:repeat(auto-fill,minmax(140px,1fr)); gap:10px; padding:0; margin:0;
  list-style:none; }
.tiles li { border:1px solid var(--line); border-radius:8px; padding:10px 12px; }
.tiles span { display:block; color:var(--soft); font-size:13px; overflow-wrap:anywhere; }
.tiles b { font-size:22px; font-variant-numeric:tabular-nums; }
.charts { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr)); gap:18px; }
.chart { margin:0; }
.chart figcaption { font-weight:600; display:flex; flex-wrap:wrap; gap:2px 14px; align-items:baseline; }
.key { font-weight:400; font-size:13px; color:var(--soft); }
.key b { color:var(--ink); font-variant-numeric:tabular-nums; }
.key i { display:inline-block; width:10px; height:10px; border-radius:5px; margin-right:5px; background:var(--c); }
.s0 { --c:var(--s0); } .s1 { --c:var(--s1); } .s2 { --c:var(--s2); }
.s3 { --c:var(--s3); } .s4 { --c:var(--s4); } .s5 { --c:var(--s5); }
svg { width:100%; height:auto; display:block; }
svg text { fill:var(--soft); font-size:11px; }
svg .grid { stroke:var(--line); }
svg polyline { fill:none; stroke:var(--c); stroke-width:2; stroke-linejoin:round; }
svg circle { fill:var(--c); stroke:var(--card); stroke-width:1; }
table { border-collapse:collapse; font-variant-numeric:tabular-nums; font-size:14px; max-width:100%; }
th, td { padding:5px 12px; border-bottom:1px solid var(--line); text-align:right; overflow-wrap:anywhere; }
th:first-child { text-align:left; }
thead th { color:var(--soft); font-weight:600; }
tbody th { font-weight:500; }
.wide, .tall { overflow:auto; }
.tall { max-height:480px; }
.tall thead th { position:sticky; top:0; background:var(--card); }
.confusion th, .confusion td { text-align:center; padding:4px 6px; min-width:34px; border:1px solid var(--line); }
.confusion tbody th { text-align:right; white-space:nowrap; }
.confusion thead th { vertical-align:bottom; }
.confusion thead th span { writing-mode:vertical-rl; transform:rotate(180deg); white-space:nowrap; }
.confusion .hit { background:color-mix(in srgb, var(--good) calc(var(--share) * .6), transparent); }
.confusion .miss { background:color-mix(in srgb, var(--bad) calc(var(--share) * .8), transparent); }
.pictures { columns:3 260px; column-gap:14px; }
.pictures figure { margin:0 0 14px; break-inside:avoid; }
.pictures img { width:100%; display:block; border-radius:6px; }
.pictures figcaption { color:var(--soft); font-size:13px; overflow-wrap:anywhere; }
.sortable thead th { cursor:pointer; white-space:nowrap; }
.sortable th[aria-sort=ascending]::after { content:" \\25B2"; }
.sortable th[aria-sort=descending]::after { content:" \\25BC"; }
.side { display:grid; grid-template-columns:repeat(auto-fill,minmax(170px,1fr)); gap:10px; }
.side figure { margin:0; }
.side img { width:100%; display:block; border-radius:6px; }
.side figcaption { color:var(--soft); font-size:13px; overflow-wrap:anywhere; }
h3 { margin:14px 0 6px; font-size:14px; overflow-wrap:anywhere; }
svg text.name { fill:var(--ink); font-size:12px; }
details { margin-top:8px; }
a { color:var(--accent); }
summary { cursor:pointer; color:var(--accent); }
details table td, section > table td, section > table thead th { text-align:left; }
pre { white-space:pre-wrap; overflow-wrap:anywhere; font-size:13px; }
footer { padding:8px 20px 28px; font-size:13px; }
"""
