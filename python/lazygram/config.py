"""What this installation is: version, instruction-set levels, threads, BLAS, CUDA."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_info

from lazygram import _core

__all__ = ["config", "show_config"]


def config() -> dict[str, Any]:
    """Facts about this installation as a dictionary.

    Returns
    -------
    dict
        ``version``; ``isa_compiled``, ``isa_available`` (lists, lowest first) and ``isa_used``;
        ``threads`` (what a call uses by default) and ``threading`` (backend); ``blas`` (a list of the BLAS
        libraries loaded, with version and threads; the core calls SciPy's); ``cuda`` (whether CUDA
        kernels were compiled in) and ``cuda_devices``; ``python``, ``numpy``, ``scipy``, ``machine``.
    """
    blas = [
        {key: info.get(key) for key in ("internal_api", "version", "num_threads", "architecture")}
        for info in threadpool_info()
        if info.get("user_api") == "blas"
    ]
    return {
        "version": _core.__version__,
        "isa_compiled": list(_core.isa_compiled()),
        "isa_available": list(_core.isa_available()),
        "isa_used": _core.isa_used(),
        "threads": _core.max_threads(),
        "threading": _core.threading_backend(),
        "blas": blas,
        "cuda": _core.cuda_compiled(),
        "cuda_devices": _core.cuda_devices(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
    }


def show_config() -> None:
    """Print :func:`config`, one fact a line."""
    facts = config()
    blas = "; ".join(
        f"{b['internal_api']} {b['version']} ({b['architecture']}, {b['num_threads']} threads)"
        for b in facts.pop("blas")
    )
    facts["blas"] = blas or "none found"
    for key, value in facts.items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        print(f"{key:14} {text}")
