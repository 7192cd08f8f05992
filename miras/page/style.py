"""The look of a page: on a phone, on a wide screen and on paper."""

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #222;
  background: #fff; max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid #ddd; }
h4 { font-size: 1rem; margin: 1.1rem 0 .3rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p, li, dd { max-width: 46rem; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
nav { font-size: .875rem; margin: 1rem 0; }
nav ul { columns: 15rem; column-gap: 2rem; margin: 0; }
nav li { break-inside: avoid; }
a { color: #0a5a94; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .875rem; }
.caption { font-weight: 600; font-size: .875rem; margin: 1.4rem 0 -.3rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid #e6e6e6; min-width: 7rem; max-width: 26rem; }
th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
th:first-child, td:first-child { min-width: 8.5rem; position: sticky; left: 0; background: #fff; }
.t { min-width: 14rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; min-width: 3.5rem; }
td.n { white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr));
  gap: 1rem; align-items: start; }
figure { margin: 0; break-inside: avoid; }
img { display: block; width: 100%; max-width: 34rem; height: auto; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .85rem; line-height: 1.4; }
.wrapped { white-space: pre-wrap; }
math { font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", math; font-size: 1.1em; }
.equations, .terms { margin: .6rem 0; }
.equation { margin: 0; padding: .35rem 0 .35rem 2rem; text-indent: -2rem; max-width: none;
  overflow-x: auto; overflow-y: hidden; line-height: 1.9; }
.within { padding-left: 3.5rem; }
dt { padding: .35rem 0; overflow-x: auto; overflow-y: hidden; line-height: 1.9; }
dd { margin: 0 0 .6rem 1.5rem; color: #444; }
@media (max-width: 30rem) {
  th:first-child, td:first-child { min-width: 6rem; }
  .t { min-width: 12rem; }
}
@media print {
  body { max-width: none; font-size: 10.5pt; padding: 0; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; width: 100%; }
  th, td, th:first-child, td:first-child, .t, .n { min-width: 0; position: static; }
  pre { white-space: pre-wrap; border: 1px solid #ddd; }
  h2, h3, h4, .caption, h2 + p { break-after: avoid; }
  tr, .equation, dt { break-inside: avoid; }
  dt { break-after: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; }
}
"""
