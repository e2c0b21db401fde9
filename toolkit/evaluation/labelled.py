"""How many answers are right by classes that are known, where a pipeline is not judged by them.

A few labelled samples prove nothing about a drop, but they show whether the model and its preprocessing are in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from toolkit.evaluation.agreement import Rule, at

TOP = (1, 5)


def accuracy(rule: Rule, labels: Sequence[Optional[int]], answers: Sequence[Any]) -> dict[str, Any]:
    """Top-1 and top-5 accuracy over the samples that have a label.

    Args:
        rule: its path names the numbers of classes, the likeliest first.
        labels: the class of each sample; None: not known.
        answers: to the same samples, parsed JSON.

    Returns:
        `samples` with a label, and of these the shares (0..1) `top1` and `top5`.
    """
    known = [(label, _classes(rule, answer)) for label, answer in zip(labels, answers) if label is not None]
    shares = {f"top{k}": sum(label in found[:k] for label, found in known) / max(1, len(known)) for k in TOP}
    return {"samples": len(known), **shares}


def comparable(rule: Rule, answers: Sequence[Any]) -> bool:
    """Whether what the rule's path names are numbers of classes, and not their names."""
    found = [item for answer in answers for item in _classes(rule, answer)]
    return bool(found) and all(isinstance(item, int) and not isinstance(item, bool) for item in found)


def _classes(rule: Rule, answer: Mapping[str, Any]) -> list[Any]:
    found = at(answer, rule.path)
    return list(found) if isinstance(found, (list, tuple)) else [found]
