"""How a process computes on CUDA, and what stays as it was."""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest
import torch

from age_core.erasure.torch_modes import deterministic
from age_core.models.precision import default_dtype, prepare_device


@pytest.fixture
def settings(monkeypatch):
    """Put back afterwards."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32 = before
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_only_cuda_is_prepared(device):
    prepare_device(device)
    assert torch.backends.cuda.matmul.allow_tf32 is (device != "cpu")
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (None if device == "cpu" else ":4096:8")
    assert torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")  # of the CPU


@pytest.mark.parametrize(
    ("device", "there", "native", "dtype"),
    [
        ("cpu", True, True, "float32"),
        ("mps", True, True, "float32"),
        ("cuda", False, True, "float32"),
        ("cuda:1", True, False, "float32"),
        ("cuda:1", True, True, "bfloat16"),
    ],
)
def test_models_are_opened_in_what_a_card_computes_well_in(monkeypatch, device, there, native, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert default_dtype(device) == dtype


def test_determinism_is_for_a_step_on_cuda_alone():
    def switches():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.utils.deterministic.fill_uninitialized_memory,
        )

    before = switches()
    with deterministic(torch.device("cpu")):
        assert switches() == before
    with pytest.raises(KeyError), deterministic(torch.device("cuda:0")):
        assert switches() == (True, True, True, False)
        raise KeyError
    assert switches() == before
