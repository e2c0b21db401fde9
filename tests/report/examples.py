"""Evaluations to report of: small, but with something in every field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

INT8 = "int8 histogram 99.99, depthwise in float"


def verdict(outcome: str, value: float, drop: float, **more: Any) -> dict[str, Any]:
    bounds = {
        "lower": drop - 0.3,
        "upper": drop + 0.3,
        "samples": 82,
        "better": 3,
        "worse": 5,
    }
    return {
        "outcome": outcome,
        "value": value,
        "drop": drop,
        "needed": None,
        "reason": f"loses {drop} points",
        **bounds,
        **more,
    }


def candidate(label: str, precision: str, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(
        (
            "recipe",
            "search",
            "verdict",
            "milliseconds",
            "p99",
            "ratio",
            "spread",
            "cosine",
            "bytes",
            "memory_mb",
            "share",
        )
    )
    return {"label": label, "precision": precision, "kernels": "", "problem": None, **empty, **more}


def serving(label: str, precision: str) -> dict[str, Any]:
    return {"label": label, "precision": precision, "recipe": None, "options": {}, "options_digest": "77aa"}


def level(label: str, tried: list[dict[str, Any]], kept: bool = True, **times: Any) -> dict[str, Any]:
    """What is kept at a lesser level: the last that was tried, or native FP32."""
    figures = {"milliseconds": None, "ratio": None, **times}
    judged = {key: value for key, value in tried[-1].items() if key not in ("label", "ratio")}
    found = {"label": label, "serving": serving(label, label), "verdict": judged if kept else None}
    return {**found, "tried": tried, **figures}


def layer(name: str, dtype: str = "int8", sqnr: Optional[float] = 30.0, **more: Any) -> dict[str, Any]:
    activation = {
        "tensor": f"{name}.in",
        "threshold": 12.7,
        "zero_point": 0,
        "clipped": 0.00125,
        "sqnr_db": 33.0,
    }
    figures = {"macs": 2_500_000, "milliseconds": 0.5, "share_of_time": 0.25, "cosine": 0.9987}
    return {
        "name": name,
        "kind": "conv2d",
        "dtype": dtype,
        "activations": [activation],
        "output_sqnr_db": sqnr,
        "float_because": None,
        **figures,
        **more,
    }


def line(text: str, left: int, top: int) -> dict[str, Any]:
    """A line of 40 by 10 pixels."""
    right, bottom = left + 40, top + 10
    return {"text": text, "score": 0.9, "box": [[left, top], [right, top], [right, bottom], [left, bottom]]}


def model() -> dict[str, Any]:
    seen = {"value": 0.85, "drop": 0.2, "samples": 28, "dropped": None}
    return {
        "metric": "hmean",
        "chosen": INT8,
        "serving": serving(INT8, "int8"),
        "sentence": "det is served in INT8: loses 0.2 points",
        "candidates": [
            candidate("native", "native", milliseconds=230.0, bytes=4_000_000, ratio=1.0, verdict={"value": 0.85}),
            candidate("bf16", "bf16", milliseconds=48.0, ratio=4.8, verdict=verdict("pass", 0.851, -0.1)),
            candidate(
                INT8,
                "int8",
                search=seen,
                verdict=verdict("pass", 0.848, 0.2),
                milliseconds=41.0,
                p99=45.0,
                ratio=5.6,
                bytes=1_300_000,
                memory_mb=400,
                kernels="48 of 64 convolutions ran INT8",
                share={"int8": 0.86, "fp32": 0.14},
            ),
            candidate("int8 minmax", "int8", search={**seen, "drop": 30.0, "dropped": "far behind"}, milliseconds=40.0),
            candidate("int8 kl", "int8", problem="crashed: SIGSEGV"),
        ],
        "would_take": {"latency": INT8},
        "races": [],
        "fallback": None,
        "levels": {
            "AVX2": level(
                "fp32",
                [
                    {"label": INT8, "ratio": 4.1, **verdict("fail", 0.8, 5.0)},
                    {"label": "fp32", "ratio": 3.48, **verdict("pass", 0.85, 0.0)},
                ],
                milliseconds=66.0,
                ratio=3.48,
            )
        },
        "layers": [layer("conv2d_0"), layer("conv2d_1", "fp32", 12.0, float_because="fallback: gives back 0.4 points")],
        "histograms": {"conv2d_0.in": {"counts": [0, 0, 1, 6, 90, 3, 0, 0], "limit": 8.0, "threshold": 2.0}},
        "exceeded": [],
    }  # fmt: skip


def passed(image: str = "") -> dict[str, Any]:
    """An evaluation that passed."""
    return {
        "pipeline": "ocr",
        "version": "0.2",
        "passed": True,
        "reason": None,
        "data": {
            "directory": "data/receipts",
            "digest": "9c1e",
            "splits": {"calibration": 40, "search": 28, "verdict": 82},
            "warnings": ["a.jpg and b.jpg are the same image"],
        },
        "gate": {
            "max_drop": 0.5,
            "relative": False,
            "confidence": 0.95,
            "inconclusive": "accept",
            "prefer": "int8",
            "int8_share": 0.5,
        },
        "models": {"det": model()},
        "end_to_end": {
            "metric": "recall",
            "native": 0.71,
            "served": 0.708,
            "verdict": verdict("pass", 0.708, 0.2),
            "lines": 4300,
            "agreement": {
                "kind": "text",
                "path": "lines.text",
                "samples": 82,
                "rate": 0.0021,
                "high": 0.0043,
            },
            "hypothetical": False,
        },
        "gallery": [
            {
                "sample": "x.jpg",
                "image": image,
                "native": {"lines": [line("TOTAL 7.00", 10, 10), line("发票号码", 10, 30)]},
                "served": {"lines": [line("TOTAL 7.80", 11, 10), line("发票号码", 10, 30)]},
                "lost": 1,
                "won": 0,
            }
        ],
        "environment": {
            "cpu": "AMD EPYC",
            "level": "AVX512_CORE_VNNI",
            "features": ["avx2", "avx512_vnni"],
            "packages": {"paddlepaddle": "2.6.2"},
            "threads": 1,
            "keys": {"export/det": "a3f1"},
        },
        "seconds": {"calibrate": 21.2, "tournament": 402},
    }


def failed() -> dict[str, Any]:
    """INT8 was forced and calibrated with the wrong data: nothing is served, the whole is as it would be."""
    found = passed()
    det = found["models"]["det"]
    found.update(passed=False, reason="det loses 3.2 points in INT8, must be under 0.5")
    whole = verdict("fail", 0.676, 3.4)
    found["end_to_end"].update(served=0.676, verdict=whole, hypothetical=True)
    det.update(chosen=None, serving=None, sentence="det is not served")
    det["candidates"][2].update(verdict=verdict("fail", 0.818, 3.2), share={"int8": 0.38, "fp32": 0.62})
    det["exceeded"] = [
        {"tensor": "relu_0", "threshold": 2.0, "calibrated": 2.0, "validation": 3.0, "layers": ["conv2d_0"]},
        {"tensor": "relu_7", "threshold": 5.0, "calibrated": 6.0, "validation": 19.2, "layers": ["conv2d_1"]},
    ]
    step = {
        "action": "revert",
        "layers": ["conv2d_1"],
        "damage": 2.8,
        "share": 0.4,
        "why": "gives back 0.4 points",
    }
    det["fallback"] = {
        "excluded": [{"layers": ["conv2d_1"], "gave_back": 0.4}, {"layers": ["conv2d_5"], "gave_back": None}],
        "steps": [step],
        "damage": 2.8,
        "share": 0.38,
        "passed": False,
        "exhausted": "share",
    }
    return found


def inconclusive() -> dict[str, Any]:
    """Accepted, though 82 samples do not decide."""
    found = passed()
    found["models"]["det"]["candidates"][2]["verdict"] = verdict("inconclusive", 0.847, 0.31, needed=240)
    return found


def picture(path: Path) -> str:
    """A grey picture of 100 by 60 pixels."""
    cv2.imwrite(str(path), np.full((60, 100, 3), 200, np.uint8))
    return str(path)
