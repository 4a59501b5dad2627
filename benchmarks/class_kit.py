"""The answer key of the class kit: the notebook with its answers filled in, run from above to below.

    python -m benchmarks.class_kit

Writes docs/classroom/answers.ipynb, with what each cell prints and shows. A cell may hold what should stand in its
place in the key, under "answer" in its metadata. No Jupyter is needed: code is run as Python runs it, and what the last
line of a cell is worth is shown, a table as text and HTML, a picture as PNG.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "classroom"
NOTEBOOK, ANSWERS = FOLDER / "erasing-concepts.ipynb", FOLDER / "answers.ipynb"


def answered(notebook: dict[str, Any]) -> dict[str, Any]:
    """The same with its answers in place of what is to be filled in."""
    cells = [
        {**cell, "source": cell["metadata"].get("answer", cell["source"]), "metadata": {}} for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """The same with the outputs of its code."""
    names: dict[str, Any] = {}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                value = _value_of("".join(cell["source"]), names, f"cell {count}")
            outputs: list[dict[str, Any]] = []
            if printed.getvalue():
                text = printed.getvalue().splitlines(keepends=True)
                outputs.append({"output_type": "stream", "name": "stdout", "text": text})
            if value is not None:
                about = {"output_type": "execute_result", "execution_count": count, "metadata": {}}
                outputs.append(about | {"data": shown(value)})
            cell = {**cell, "execution_count": count, "outputs": outputs}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _value_of(code: str, names: dict[str, Any], where: str) -> Any:
    """Run code; what its last line is worth, None where that is no expression."""
    tree = ast.parse(code, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), names)
    return eval(compile(ast.Expression(last.value), where, "eval"), names) if isinstance(last, ast.Expr) else None


def shown(value: Any) -> dict[str, Any]:
    """How a notebook keeps a value, by media type."""
    if isinstance(value, Image.Image):
        file = io.BytesIO()
        value.save(file, "PNG")
        return {"image/png": base64.b64encode(file.getvalue()).decode() + "\n"}
    if isinstance(value, pd.DataFrame):
        return {
            "text/plain": value.to_string().splitlines(keepends=True),
            "text/html": value.to_html().splitlines(keepends=True),
        }
    return {"text/plain": [repr(value)]}


def main() -> None:
    started = time.monotonic()
    key = run(answered(json.loads(NOTEBOOK.read_text(encoding="utf-8"))))
    ANSWERS.write_text(json.dumps(key, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{ANSWERS.name}: {ANSWERS.stat().st_size / 1000:.0f} kB after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
