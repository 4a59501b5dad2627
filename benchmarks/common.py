"""The Chromium that the browser tests use, and figures of `viz` that it draws as PNG files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright

PLAIN = {"displayModeBar": False, "staticPlot": True}


def chromium() -> str:
    """Its path. Ends the program with a sentence where there is none."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("This takes Chromium: install it, or set CHROMIUM to its path.")
    return found


def save_png(figures: Sequence[go.Figure], path: Path, width: int = 560, columns: int = 2) -> None:
    """The figures in a grid of `columns`, each `width` pixels wide, on white."""
    parts = [
        figure.to_html(include_plotlyjs=row == 0, full_html=False, config=PLAIN, default_width=f"{width}px")
        for row, figure in enumerate(figures)
    ]
    style = f"display:grid;grid-template-columns:repeat({columns},{width}px);gap:12px;width:max-content;padding:8px"
    page_text = f'<body style="margin:0;background:#fff"><div id="all" style="{style}">{"".join(parts)}</div></body>'
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": (width + 12) * columns + 20, "height": 900})
        page.set_content(page_text)
        page.wait_for_function("n => document.querySelectorAll('.main-svg').length >= n", arg=len(figures))
        page.wait_for_timeout(500)
        path.parent.mkdir(parents=True, exist_ok=True)
        page.locator("#all").screenshot(path=str(path))
        browser.close()
