"""Figures of `viz` as PNG files, drawn by the Chromium that the browser tests use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright

PLAIN = {"displayModeBar": False, "staticPlot": True}


def save_png(figures: Sequence[go.Figure], path: Path, width: int = 560, columns: int = 2) -> None:
    """The figures in a grid of `columns`, each `width` pixels wide, on white."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if name and (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("Drawing figures takes Chromium: install it, or set CHROMIUM to its path.")
    parts = [
        figure.to_html(include_plotlyjs=row == 0, full_html=False, config=PLAIN, default_width=f"{width}px")
        for row, figure in enumerate(figures)
    ]
    style = f"display:grid;grid-template-columns:repeat({columns},{width}px);gap:12px;width:max-content;padding:8px"
    page_text = f'<body style="margin:0;background:#fff"><div id="all" style="{style}">{"".join(parts)}</div></body>'
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": (width + 12) * columns + 20, "height": 900})
        page.set_content(page_text)
        page.wait_for_function("n => document.querySelectorAll('.main-svg').length >= n", arg=len(figures))
        page.wait_for_timeout(500)
        path.parent.mkdir(parents=True, exist_ok=True)
        page.locator("#all").screenshot(path=str(path))
        browser.close()
