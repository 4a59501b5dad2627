"""What every training here shares: augmentation, checkpoints that survive a kill, progress lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from age_core.files import replacing

PX = 64  # side of the pictures that the models see and make


def augment(pictures: Tensor, generator: torch.Generator, scale=(0.9, 1.05), degrees=6.0, shift=0.04) -> Tensor:
    """Random zoom, turn and shift on a white ground, reduced to PX pixels.

    pictures: (B, 3, H, W) uint8. Returns (B, 3, PX, PX) float in [-1, 1]. `shift` is a share of the side. What is drawn
    comes from the generator's device, so a generator of the CPU turns pictures alike on every device.
    """
    count = pictures.shape[0]
    uniform = torch.rand(4, count, generator=generator, device=generator.device).to(pictures.device)
    zoom = 1.0 / (scale[0] + (scale[1] - scale[0]) * uniform[0])
    angle = (2 * uniform[1] - 1) * degrees * torch.pi / 180
    move = (2 * uniform[2:] - 1) * 2 * shift
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    theta = torch.stack([torch.stack([cos, -sin, move[0]], 1), torch.stack([sin, cos, move[1]], 1)], 1)  # (B, 2, 3)
    grid = F.affine_grid(theta, [count, 3, PX, PX], align_corners=False)
    ink = 1 - pictures.float() / 255  # zero outside is then white
    return 1 - 2 * F.grid_sample(ink, grid, align_corners=False)


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether a device computes in bfloat16; elsewhere it is emulated, several times slower than float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities() if kind == "cpu" else {}
    return can.get("avx512_bf16", False) or can.get("amx_bf16", False)


def fast_arithmetic(device: torch.device | str, dtype: torch.dtype = torch.float32) -> AbstractContextManager[object]:
    """bfloat16 where the device has it, else float32; weights that are in half precision already are left alone."""
    if dtype != torch.float32 or not has_bfloat16(device):
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def step_generator(seed: int, step: int) -> torch.Generator:
    """A generator that depends on the step alone, so that a resumed run draws what the first would have."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def save_checkpoint(path: Path, step: int, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Write weights and optimiser state atomically: a kill leaves the last whole checkpoint."""
    tensors = {
        f"{name}/{key}": value.contiguous() for name, m in modules.items() for key, value in m.state_dict().items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    copies = {k: v.cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
    with replacing(path) as temporary:
        save_file(copies, temporary, metadata={"step": str(step)})


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer | None = None) -> int:
    """Restore what `save_checkpoint` wrote; returns the step reached, 0 when there is no checkpoint."""
    if not path.exists():
        return 0
    parts: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
        for key in file.keys():
            name, rest = key.split("/", 1)
            parts.setdefault(name, {})[rest] = file.get_tensor(key)
    for name, module in modules.items():
        module.load_state_dict(parts[name])
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in parts.get("optimizer", {}).items():
            index, field = key.split("/")
            state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step


def linear_decay(step: int, steps: int, warmup: int = 200) -> float:
    """Learning-rate factor: up over `warmup` steps, then straight down to zero at `steps`."""
    return min(1.0, (step + 1) / warmup) * max(0.0, 1 - step / steps)


def log_progress(path: Path, steps: Iterator[tuple[int, int, dict[str, float]]], every: int = 50) -> None:
    """Drain a training generator of (step, steps, losses); print and append a JSON line every `every` steps."""
    started, first = time.monotonic(), None
    sums: dict[str, float] = {}
    count = 0
    for step, total, losses in steps:
        first = step if first is None else first
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + value
        count += 1
        if count % every == 0 or step + 1 == total:
            seconds = time.monotonic() - started
            left = seconds / (step - first + 1) * (total - step - 1)
            mean = {key: round(value / min(count, every), 5) for key, value in sums.items()}
            line = {"step": step + 1, "steps": total, **mean, "seconds": round(seconds, 1), "left_s": round(left)}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            sums, count = {}, 0
