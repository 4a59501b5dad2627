"""Colours and style of the app, in one place so that the map, the bars and the pictures agree in light and dark."""

import gradio as gr

# Hues alone stop being told apart beyond about six groups, so a group is a hue and a shape: 4 x 5 = 20.
GROUP_COLOURS = {
    "light": ("#184998", "#738F6D", "#79371E", "#382B4D"),
    "dark": ("#577AB5", "#EDD963", "#BD5833", "#39F3FC"),
}
GROUP_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down")

# What the style sheet calls --damage, --gain and so on, for figures, which cannot read it.
LIGHT = {
    "damage": "#C2410C",
    "gain": "#0072B2",
    "ink": "#1f2937",
    "soft": "#5b6472",
    "line": "#d5dae1",
    "panel": "#ffffff",
}
DARK = {
    "damage": "#FF9E4A",
    "gain": "#6CB6FF",
    "ink": "#eef1f5",
    "soft": "#b3bbc7",
    "line": "#3b4453",
    "panel": "#18202c",
}
INK, SOFT = LIGHT["ink"], LIGHT["soft"]
# Lines of a figure: told apart by colour-blind eyes in this order (Okabe and Ito 2008, without their yellow).
SERIES = ["#0072B2", "#C2410C", "#009E73", "#CC79A7", "#56B4E9", "#5b6472"]
DARK_OF = {LIGHT[name]: DARK[name] for name in LIGHT} | {
    "#009E73": "#2DD4A7",
    "#CC79A7": "#F0A6CD",
    "#56B4E9": "#9ADBFF",
}


def _variables(colours: dict[str, str], halo: str) -> str:
    series = {f"s{row}": DARK_OF[colour] if colours is DARK else colour for row, colour in enumerate(SERIES)}
    named = {f"--{name}": colour for name, colour in (colours | series).items()}
    return " ".join(
        f"{name}: {colour};" for name, colour in (named | {"--pick": colours["damage"], "--halo": halo}).items()
    )


CSS = (
    f":root {{ {_variables(LIGHT, '#ffffff')} --lit: #009E73; }}\n"
    f".dark {{ {_variables(DARK, '#0b0f19')} --lit: {DARK_OF['#009E73']}; }}"
    + """
.gradio-container { max-width: max(1320px, min(92vw, 2560px)) !important; width: 100%; margin-inline: auto !important;
  overflow-x: clip; }
.age { color: var(--ink); line-height: 1.45; overflow-wrap: anywhere; }
.age h1 { font-size: 1.6rem; margin: 0 0 .2rem; color: var(--ink); }
.age h2 { font-size: 1.15rem; margin: 0 0 .25rem; color: var(--ink); }
.age h3 { font-size: .95rem; margin: .6rem 0 .25rem; color: var(--ink); }
.age p { margin: 0 0 .4rem; }
.age .soft { color: var(--soft); font-size: .88rem; }
.age .damage { color: var(--damage); } .age .gain { color: var(--gain); }
.age .message { border-left: 4px solid var(--damage); background: var(--panel); padding: .5rem .75rem; }
.age .hint { border-left: 4px solid var(--gain); background: var(--panel); padding: .5rem .75rem; }
.age .two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 205px), 1fr)); gap: .5rem 1.2rem; }
.live:not(:has(.age)) { display: none; }
#run-table table { min-width: 900px; }  /* a phone scrolls it: narrower, words break */
.age ol { list-style: none; margin: 0; padding: 0; }

/* the map */
.cg { position: relative; height: 520px; }
.cg .plot, .cg .over, .cg canvas { position: absolute; inset: 0; }
.cg canvas { width: 100%; height: 100%; pointer-events: none; }
.cg .over { pointer-events: none; overflow: hidden; }
.cg:focus-visible { outline: 2px solid var(--gain); outline-offset: 2px; border-radius: 4px; }
.cg svg.arrows { position: absolute; inset: 0; width: 100%; height: 100%; }
.cg .arrows .damage { fill: var(--damage); stroke: var(--damage); }
.cg .arrows .gain { fill: var(--gain); stroke: var(--gain); }
.cg .arrows path { fill-opacity: .72; stroke: none; } .cg .arrows polygon { stroke: none; }
.cg .arrows .unclear path { fill-opacity: .1; stroke: inherit; stroke-width: 1.3; stroke-dasharray: 4 3; }
.cg .arrows g:focus { outline: none; }
.cg .arrows .hot path { fill-opacity: 1; stroke: var(--ink); stroke-width: 1.3; }
.cg .arrows .unclear.hot path { fill-opacity: .4; }
.cg .arrows .hot polygon { fill: var(--ink); }
.cg .arrows circle { fill-opacity: 0; stroke-width: 2; }
.cg .arrows circle.pick { stroke: var(--pick); stroke-width: 3; }
.cg .arrows circle.cursor { stroke: var(--ink); stroke-dasharray: 4 3; }
.cg .arrows .lit circle { stroke: var(--lit); transition: stroke-opacity .2s, stroke-width .2s; }
.cg.ego .scatterlayer { opacity: .38; }
.cg.moving .scatterlayer { visibility: hidden; } .cg.told .nsewdrag { cursor: pointer; }
.cg .label { position: absolute; transform: translate(-50%, 0); white-space: nowrap; font-size: 12px; line-height: 14px;
  color: var(--soft); text-shadow: 0 0 3px var(--halo), 0 0 3px var(--halo), 0 0 3px var(--halo), 0 0 2px var(--halo);
  animation: appear .25s; transition: opacity .2s; }
.cg.moving .label:not(.pick, .end, .lit) { opacity: 0; }
@keyframes appear { from { opacity: 0; } }
.cg .label.end { color: var(--ink); font-weight: 600; } .cg .label.pick { color: var(--pick); font-weight: 700; }
.cg .label.lit { color: var(--ink); font-weight: 600; }
.cg .tip { position: absolute; z-index: 5; width: max-content; max-width: min(280px, calc(100% - 8px));
  padding: .35rem .55rem; pointer-events: none; font-size: 13px; line-height: 1.35; color: var(--ink);
  white-space: pre-line; background: var(--panel);
  border: 1px solid var(--line); border-radius: 6px; box-shadow: 0 2px 8px rgb(0 0 0 / .2); overflow-wrap: anywhere; }
.cg .tip[hidden], .chart[hidden] { display: none; }
.cg .said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.cg .modebar-group, .chart .modebar-group { background: none !important; }
.cg .modebar-btn .icon path, .chart .modebar-btn .icon path { fill: var(--soft) !important; }
.chart { width: 100%; min-width: 0; overflow: hidden; }
@media (prefers-reduced-motion: reduce) { .cg .label { animation: none; } .cg .lit circle { transition: none; } }
.legend { display: flex; flex-wrap: wrap; gap: .15rem .9rem; font-size: .85rem; color: var(--soft); }
.legend svg { display: inline-block; width: 12px; height: 12px; vertical-align: -1px; margin-right: .3rem; }
.legend .l { fill: var(--c-light); } .dark .legend .l { fill: var(--c-dark); }
@media (max-width: 600px) { .cg { height: 400px; } #tabs button[role=tab] { padding-inline: .4rem; font-size: .9rem; } }
@media (min-width: 1900px) { .cg { height: 700px; } }
@media (min-width: 2800px) { .cg { height: 1000px; } }

/* bars: damage lists and live target weights */
.bars li { display: grid; grid-template-columns: minmax(5.5rem, 8rem) minmax(0, 1fr) 3.9rem; align-items: center;
  gap: .5rem; font-size: .86rem; line-height: 1.3; min-height: 1.3rem; }
.two .bars li { grid-template-columns: 5.4rem minmax(0, 1fr) 2.8rem; gap: .4rem; }
.bars.targets li { grid-template-columns: minmax(4.5rem, 7rem) minmax(0, 1fr) 6.2rem; }
.bars.targets i { color: var(--soft); font-style: normal; }
.bars .name { text-align: right; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bars .track { position: relative; height: .62rem; background: color-mix(in srgb, var(--line) 55%, transparent);
  border-radius: 3px; }
.bars .fill { position: absolute; inset: 0 auto 0 0; border-radius: 3px; background: var(--gain); }
.bars .fill.damage { background: var(--damage); }
.hollow .bars .fill.damage { background: none; border: 2px solid var(--damage); box-sizing: border-box; }
.bars .dot { position: absolute; top: 50%; width: .62rem; height: .62rem; margin: -.31rem 0 0 -.31rem;
  border-radius: 50%; border: 2px solid var(--ink); background: var(--halo); box-sizing: border-box; }
.bars .whisker { position: absolute; top: 50%; height: 2px; margin-top: -1px; background: var(--ink); }
.bars .number { font-variant-numeric: tabular-nums; white-space: nowrap; }

/* progress, loss, pictures */
.age progress { width: 100%; height: .6rem; appearance: none; border: 0; border-radius: 3px; overflow: hidden;
  background: var(--line); }
.age progress::-webkit-progress-bar { background: var(--line); }
.age progress::-webkit-progress-value { background: var(--gain); }
.age progress::-moz-progress-bar { background: var(--gain); }
.loss svg { width: 100%; height: auto; display: block; }
.loss text { font-size: 11px; fill: var(--soft); }
.loss .axis { stroke: var(--line); } .loss .erase { stroke: var(--damage); } .loss .keep { stroke: var(--gain); }
.loss polyline { fill: none; stroke-width: 2; } .loss .keep { stroke-dasharray: 6 3; }
.loss text.erase { fill: var(--damage); stroke: none; } .loss text.keep { fill: var(--gain); stroke: none; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; }
.age figure { margin: 0; width: 108px; font-size: .84rem; }
.age figure img { width: 108px; height: 108px; border-radius: 6px; background: #fff; display: block; margin: 0; }
.age figcaption { color: var(--soft); margin-top: .15rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 262px), 1fr)); gap: .9rem; }
.pair { border: 1px solid var(--line); border-radius: 8px; padding: .6rem .7rem; background: var(--panel); }
.pair.erased { border: 2px solid var(--gain); } .pair.damaged { border: 2px solid var(--damage); }
.pair .sides { display: flex; gap: .9rem; } .pair h3 { margin: 0 0 .3rem; }
.pair figcaption b { color: var(--ink); font-weight: 600; }
.pair .sides { flex-wrap: wrap; }
.hold { position: relative; display: block; padding: 0; border: 0; background: none; cursor: pointer; }
.hold .under { position: absolute; inset: 0; visibility: hidden; } .hold:active .under { visibility: visible; }
:is(#live-previews, #own-pictures) .pictures { display: grid; grid-template-columns: repeat(4, minmax(0, 108px)); }
:is(#live-previews, #own-pictures) :is(figure, img) { width: 100%; height: auto; }
.pictures.small figure, .pictures.small img { width: 84px; height: auto; }
.scores { border-collapse: collapse; font-size: .86rem; width: 100%; } .scores span { color: var(--soft); }
.scores th, .scores td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--line); }
.scores th { color: var(--soft); font-weight: 400; }
.where { border-bottom: 1px solid var(--line); padding-bottom: .35rem; }
.history svg { width: 100%; height: auto; display: block; } .history polyline { fill: none; stroke-width: 2; }
.history text { font-size: 11px; fill: var(--soft); }
.history .s0 { stroke: var(--s0); } .history .s1 { stroke: var(--s1); } .history .s2 { stroke: var(--s2); }
.history .s3 { stroke: var(--s3); } .history .s4 { stroke: var(--s4); }
.history text[class] { stroke: none; fill: var(--ink); } .history .axis { stroke: var(--line); }
"""
)


def theme() -> gr.themes.Base:
    """Only system fonts: a web font would be the page's one request to another host."""
    return gr.themes.Soft(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
