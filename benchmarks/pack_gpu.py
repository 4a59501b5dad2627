"""What a machine with a GPU gets to carry, where it takes 64 MiB at most: the ignored folder build/gpu-pack.

    python -m benchmarks.pack_gpu --art build/emoji/art.safetensors    # here; --no-wheels where pip reaches nothing
    python -m benchmarks.pack_gpu --move-aside                         # what stays here while the rest travels
    git checkout -- assets docs viz                                    # afterwards

There, in the repository's root:

    python3 -m pip install --no-index --no-deps build/gpu-pack/wheels/*.whl
    python3 -m benchmarks.pack_gpu --unpack
    python3 -m benchmarks.gpu_check --out "$OUT" --budget 420

Packed are the wheels that such a machine lacks, the bundled text encoder with the word pieces that are used, and the
art as lossless WebP (at 96 pixels where 128 would be too much). The bundled denoiser is too large to go along: a round
with --train makes one, and the checks in the emoji world then use that. Where files stay from one call to the next, the
bundled weights go in two: the wheels and the denoiser (56 MiB with the tracked files), then the whole text encoder
(57 MiB). So the recorded world was made: `benchmarks.evidence.world DIR --device cuda --seconds 240`, one process with
--most 0 first, then a dozen at once with --part, under CUDA's MPS, then --pack and what it wrote back in one archive.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from age_core.emoji.art import PICTURE_PX, Art
from age_core.errors import AgeError
from age_core.files import new_folder
from benchmarks.gpu.pack import ART, PACK, TEXT, pack_art, pack_text, unpack_text

ROOT = Path(__file__).parents[1]
LIMIT_MIB = 63.0  # of all that travels, the tracked files included
ART_MIB, SMALLER_PX = 20.0, 96  # what the art may take at its own size, and the size it has otherwise
# what the image of such a machine lacks, or has in an older version
WHEELS = (
    "diffusers",
    "importlib_metadata",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_inspection",
    "filelock",
)
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (28, 27, 17)] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
# tracked files that no check reads; the text encoder is written anew there
ASIDE = (
    "assets/emoji-sd/text_encoder/model.safetensors",
    "assets/emoji-sd/unet/diffusion_pytorch_model.safetensors",
    "assets/atlas",
    "assets/graphs",
    "assets/runs",
    "assets/world",
    "docs",
    "viz",
)


def fetch_wheels(folder: Path) -> None:
    """The versions that are installed here, for Python 3.12 on x86-64."""
    names = [f"{name}=={version(name)}" for name in WHEELS]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--implementation", "cp", *platforms, "-d", str(folder), *names]
    subprocess.run(command, check=True)


def size_mib(paths: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20


def tracked(root: Path = ROOT) -> list[Path]:
    """The files that travel by themselves: all that git knows but what is moved aside."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in names.split("\0") if name and not name.startswith(ASIDE)]


def pack(target: Path, art: Path | None, wheels: bool, limit_mib: float, beside: Iterable[Path]) -> list[str]:
    """Write the folder; a line for each part. Raises AgeError, and leaves none, where all would be over the limit."""
    shutil.rmtree(target, ignore_errors=True)
    with new_folder(target) as folder:
        lines = [f"{pack_text(folder / TEXT)} word pieces of the text encoder"]
        if art is not None:
            lines.append(f"art at {pack_small_art(Art.load(art), folder / ART)} pixels")
        if wheels:
            fetch_wheels(folder / "wheels")
        parts = {path.name: size_mib([path, *path.rglob("*")]) for path in sorted(folder.iterdir())}
        parts["tracked files"] = size_mib(beside)
        lines += [f"{size:6.1f} MiB {name}" for name, size in parts.items()]
        if (total := sum(parts.values())) > limit_mib:
            largest = max(parts, key=lambda name: parts[name])
            raise AgeError(
                f"All that travels would be {total:.1f} MiB, over the limit of {limit_mib:g}: leave something out; "
                f"{largest} alone are {parts[largest]:.1f} MiB."
            )
    return [*lines, f"{total:6.1f} MiB in all"]


def pack_small_art(art: Art, path: Path) -> int:
    """The art at its own size, or smaller where that is too much; the side in pixels."""
    pack_art(art, path, PICTURE_PX)
    if size_mib([path]) <= ART_MIB:
        return PICTURE_PX
    pack_art(art, path, SMALLER_PX)
    return SMALLER_PX


def move_aside(root: Path = ROOT) -> None:
    """Remove what git can bring back. Raises AgeError where something of it was changed."""
    changed = subprocess.run(["git", "status", "--porcelain", *ASIDE], cwd=root, capture_output=True, text=True)
    if changed.returncode or changed.stdout:
        raise AgeError(f"Not everything here is committed: {(changed.stdout or changed.stderr).splitlines()[0]}")
    for name in ASIDE:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--art", type=Path, help="what `python -m age_core.emoji art` wrote; needed to train")
    parser.add_argument("--no-wheels", action="store_true")
    parser.add_argument("--limit-mib", type=float, default=LIMIT_MIB)
    parser.add_argument("--move-aside", action="store_true", help="remove the tracked files that do not travel")
    parser.add_argument("--unpack", action="store_true", help="there: write the text encoder where it belongs")
    args = parser.parse_args()
    try:
        if args.unpack:
            unpack_text(PACK / TEXT)
        elif args.move_aside:
            move_aside()
        else:
            print(*pack(PACK, args.art, not args.no_wheels, args.limit_mib, tracked()), sep="\n")
    except AgeError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
