"""Fallback by layer: the few layers that have to stay in float for a model to keep its accuracy.

Measuring a set of layers takes seconds, and there are many sets. So reversion is tried on blocks first, the most
suspicious layers in the first one, and the search goes on inside the blocks that give most back for what they cost.
Once a measured set passes, layers are quantized again, the largest first, as long as it still passes. Where no part
of a block gives back what the block does, layers act together; delta debugging (Zeller and Hildebrandt, 2002) finds
which.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Callable, Optional

Measure = Callable[[Sequence[frozenset[str]]], Sequence[Optional[float]]]
"""For each set of layers in float: the points that the model loses against FP32; None: it crashed."""

CRASHED = 100.0
"""Points that a model loses which crashes: all there are."""

_ROUNDING = 1e-9  # sums of shares and of points that are equal may differ by the last digits


@dataclass(frozen=True)
class Layer:
    """A layer that is quantized unless it is reverted.

    Attributes:
        macs: its share of the model's multiply-accumulates, 0..1.
        suspicion: in any unit, higher is more suspicious; minus the expected SQNR in dB, say.
        group: layers of one group are reverted together; None: it stands alone.
    """

    name: str
    macs: float
    suspicion: float = 0.0
    group: Optional[str] = None


@dataclass(frozen=True)
class Limits:
    """What to reach, and at what cost.

    Attributes:
        target: points; a model that loses no more passes. The drop that the gate allows, less a margin.
        share: of the model's multiply-accumulates, 0..1; so much stays quantized at least.
        noise: points; who gives back no more has proven nothing.
        seconds: no measurement starts later; None: no limit.
        evaluations: sets measured at most; None: no limit.
        parallel: sets in one call of the callback at most, and parts that a block is cut into; 2 at least.
    """

    target: float
    share: float = 0.5
    noise: float = 0.0
    seconds: Optional[float] = None
    evaluations: Optional[int] = None
    parallel: int = 2


@dataclass(frozen=True)
class Step:
    """A decision.

    Attributes:
        action: `start`, `split` (a block, to see which part matters), `revert`, `refuse` (to revert what is too much of
            the model), `requantize`, `keep` (in float) or `stop`.
        layers: what it is about.
        damage: of the model after it, in points; None: not measured.
        share: of the multiply-accumulates that are quantized after it.
        why: in words.
    """

    action: str
    layers: tuple[str, ...]
    damage: Optional[float]
    share: float
    why: str


@dataclass(frozen=True)
class Reverted:
    """A layer, or a group of layers, that stays in float.

    Attributes:
        gave_back: points that are lost again when it alone is quantized (or, as long as that was not tried, that were
            won when it was reverted); None: it was reverted within a block only.
    """

    layers: tuple[str, ...]
    macs: float
    gave_back: Optional[float]


@dataclass(frozen=True)
class Fallback:
    """What was found.

    Attributes:
        excluded: what stays in float, what gave back most first.
        damage: points that this model loses; None: never measured.
        share: of the multiply-accumulates that stay quantized.
        passed: `damage` is within the target and `share` is enough.
        evaluations: sets that were measured.
        exhausted: what ended the search: `budget`, `share` (more would have to be reverted than may be) or `gains`
            (nothing that can be reverted gives anything back); None: it came to its end.
    """

    excluded: tuple[Reverted, ...]
    damage: Optional[float]
    share: float
    passed: bool
    evaluations: int
    steps: tuple[Step, ...]
    exhausted: Optional[str]

    @property
    def names(self) -> frozenset[str]:
        """Of all layers that stay in float."""
        return frozenset(name for item in self.excluded for name in item.layers)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def search(
    layers: Sequence[Layer],
    measure: Measure,
    limits: Limits,
    start: Collection[str] = frozenset(),
    clock: Callable[[], float] = time.monotonic,
) -> Fallback:
    """Find a small set of layers whose reversion to float brings the damage down to the target.

    Args:
        layers: in the order of the network.
        measure: gets at most `limits.parallel` sets, none twice, so that it may measure them side by side.
        start: layers that are in float at the beginning; they may be quantized if that does no harm.
        clock: seconds, for `limits.seconds`.
    """
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names) or not set(start) <= set(names):
        raise ValueError("the layers' names are not unique, or the start has others")
    if sum(layer.macs for layer in layers) > 1 + _ROUNDING or limits.parallel < 2:
        raise ValueError("shares add up to more than 1, or blocks are to be cut into less than 2 parts")
    run = _Search(_units(layers), measure, limits, clock)
    run.current = frozenset(unit for unit in run.units if set(unit.layers) & set(start))
    return run.run()


@dataclass(frozen=True)
class _Unit:
    """What is reverted as a whole."""

    layers: tuple[str, ...]
    macs: float
    suspicion: float


_Block = tuple[_Unit, ...]
_Set = frozenset[_Unit]


@dataclass(frozen=True)
class _Node:
    """A block that may hold culprits, and what it gave back when it was last measured."""

    block: _Block
    gain: float


class _Stop(Exception):
    """The search is over before a set passed, or before all was tried: (what is exhausted, why)."""


def _units(layers: Sequence[Layer]) -> _Block:
    """Layers by group, the most suspicious first; equals in the order of the network."""
    groups: dict[tuple[bool, str], list[Layer]] = {}
    for layer in layers:
        key = (False, layer.name) if layer.group is None else (True, layer.group)
        groups.setdefault(key, []).append(layer)
    units = [
        _Unit(tuple(x.name for x in group), sum(x.macs for x in group), max(x.suspicion for x in group))
        for group in groups.values()
    ]
    return tuple(sorted(units, key=lambda unit: -unit.suspicion))


def _parts(block: _Block, ways: int) -> list[_Block]:
    """`block` in at most `ways` parts of about the same number of units, in its order."""
    ways = min(ways, len(block))
    cuts = [round(index * len(block) / ways) for index in range(ways + 1)]
    return [block[first:last] for first, last in zip(cuts, cuts[1:])]


def _macs(units: Iterable[_Unit]) -> float:
    return sum(unit.macs for unit in units)


def _names(units: Iterable[_Unit]) -> tuple[str, ...]:
    return tuple(name for unit in units for name in unit.layers)


def _called(units: Iterable[_Unit]) -> str:
    names = _names(units)
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


class _Search:
    """The set that is in float now, and all that was measured."""

    def __init__(self, units: _Block, measure: Measure, limits: Limits, clock: Callable[[], float]) -> None:
        self.units, self.measure, self.limits, self.clock = units, measure, limits, clock
        self.ends = math.inf if limits.seconds is None else clock() + limits.seconds
        self.current: _Set = frozenset()
        self.known: dict[_Set, float] = {}
        self.gave: dict[_Unit, float] = {}
        self.steps: list[Step] = []
        self.floor = 0.0
        self.blocked = False

    # The whole search.

    def run(self) -> Fallback:
        exhausted = None
        try:
            self._begin()
            while not self._adopt():
                if not self._round():
                    self._give_up()
            self._win_back()
        except _Stop as stop:
            exhausted, why = stop.args
            self._record("stop", (), why)
        return self._result(exhausted)

    def _begin(self) -> None:
        if self._room() < 0:
            raise _Stop("share", f"only {self._share(self.current):.0%} is quantized to begin with")
        everything = frozenset(self.units)
        now, floor = self._damages([self.current, everything])
        self._record("start", self._ordered(self.current), f"loses {now:.2f} points")
        # A model in float that crashes says nothing about the layers.
        self.floor = 0.0 if floor >= CRASHED else floor
        if now > self.limits.target and self.floor - self.limits.noise > self.limits.target:
            raise _Stop("gains", f"with all of these layers in float it still loses {floor:.2f} points")

    def _round(self) -> bool:
        """Go through the layers that are quantized, from blocks to single ones; False: nothing was reverted."""
        before = self.current
        rest = tuple(unit for unit in self.units if unit not in self.current)
        frontier = [_Node(rest, self._damage(self.current) - self.floor)] if rest else []
        while frontier and not self._adopt():
            # The first of equals is the deepest, which is nearest to a decision.
            node = max(frontier, key=self._density)
            frontier.remove(node)
            if node.gain <= self.limits.noise or (self.blocked and not self._fits(node.block)):
                continue
            left = self._split(node) if len(node.block) > 1 else self._take(node, frontier)
            frontier = left + frontier
        return self.current != before

    def _give_up(self) -> None:
        if self.blocked:
            raise _Stop("share", f"reverting more would leave less than {self.limits.share:.0%} quantized")
        raise _Stop("gains", "nothing that is left gives back more than noise")

    # Finding culprits.

    def _density(self, node: _Node) -> float:
        """What a block gives back for what it costs: conversions on its borders, and its work in float."""
        # Rounded, so that equals are equal whatever the order of a sum was.
        return round(node.gain / (len(node.block) / len(self.units) + _macs(node.block)), 6)

    def _split(self, node: _Node) -> list[_Node]:
        """The parts of a block with what each gives back; none if its layers act together and were settled."""
        parts = _parts(node.block, self.limits.parallel)
        gains = self._gains(parts)
        given = ", ".join(f"{_called(part)}: {gain:.2f}" for part, gain in zip(parts, gains))
        self._record("split", node.block, f"points that the parts give back: {given}")
        if self._hidden(node.gain, gains):
            # What the block gave back may have changed since, by what was reverted elsewhere.
            whole = self._gains([node.block])[0]
            if self._hidden(whole, gains):
                self._revert_together(node.block, whole)
                return []
        return [_Node(part, gain) for part, gain in zip(parts, gains)]

    def _hidden(self, whole: float, gains: Sequence[float]) -> bool:
        """Whether the parts give back far less than the whole."""
        missing = whole - sum(max(gain, 0.0) for gain in gains)
        return missing > max(whole / 2, 2 * self.limits.noise)

    def _revert_together(self, block: _Block, gain: float) -> None:
        found = self._together(self.current, block, self._damage(self.current) - gain / 2, self._room())
        if _macs(found) > self._room():
            self._refuse(found)
            return
        gain = self._gains([found])[0]
        if gain > self.limits.noise:
            self._revert(self.current | set(found), f"give back {gain:.2f} points, but only together")

    def _together(self, held: _Set, block: _Block, aim: float, room: float) -> _Block:
        """Units of `block`, as few as delta debugging finds, that with `held` bring the damage down to `aim`.

        More than fits into `room` if they are more; then which is not looked at closely.
        """
        if len(block) == 1:
            return block
        first, second = _parts(block, 2)
        for half, damage in zip((first, second), self._damages([held | set(first), held | set(second)])):
            if damage <= aim:
                return self._together(held, half, aim, room)
        found = self._together(held | set(second), first, aim, room)
        room -= _macs(found)
        if min(unit.macs for unit in second) > room:
            return found + second
        return found + self._together(held | set(found), second, aim, room)

    def _take(self, node: _Node, others: Sequence[_Node]) -> list[_Node]:
        """Revert a single unit if what it gives back now still makes it the best; else the node as it is now."""
        fresh = _Node(node.block, self._gains([node.block])[0])
        if fresh.gain <= self.limits.noise:
            return []
        if any(self._density(other) > self._density(fresh) for other in others):
            return [fresh]
        if not self._fits(node.block) and not self._swap(node.block):
            self._refuse(node.block)
            return []
        self.gave[node.block[0]] = fresh.gain
        if node.block[0] not in self.current:
            why = f"gives back {fresh.gain:.2f} points, the most for what it costs"
            self._revert(self.current | set(node.block), why)
        return []

    def _swap(self, block: _Block) -> bool:
        """Revert what does not fit, if enough else becomes harmless by that and can be quantized again."""
        before, steps = self.current, len(self.steps)
        try:
            self._revert(self.current | set(block), "gives back the most, if others can make room for it")
            # Without an allowance for noise: the damage has to fall with every move, or the search might go in circles.
            self._requantize(self._damage(self.current))
        finally:
            enough = self._room() >= 0
            if not enough:
                self.current = before
                del self.steps[steps:]
        return enough

    def _refuse(self, block: _Block) -> None:
        self.blocked = True
        self._record("refuse", block, f"would leave less than {self.limits.share:.0%} quantized")

    def _adopt(self) -> bool:
        """Whether a set passes. Of those measured that do, the cheapest becomes the current one."""
        if self._passes(self.current):
            return True
        fits = [item for item in self.known if self._passes(item)]
        if not fits:
            return False
        best = max(fits, key=lambda item: (self._share(item), -self.known[item]))
        self._revert(best, "with these in float too it passes")
        return True

    # Stepping back.

    def _win_back(self) -> None:
        """Quantize again what need not be in float, in blocks and then one by one."""
        block = sorted(self._ordered(self.current), key=lambda unit: (self.gave.get(unit, 0.0), -unit.macs))
        if block:
            self._prune(tuple(block))
            self._requantize(self.limits.target + _ROUNDING)
        for unit in self._ranked():
            self._record("keep", (unit,), f"quantized alone, costs {self.gave[unit]:.2f} points")

    def _prune(self, block: _Block) -> None:
        self._damage(self.current - set(block))
        if self._passes(self.current - set(block)):
            self._quantize(block, "passes without them in float")
        elif len(block) > 1:
            parts = _parts(block, self.limits.parallel)
            limit = self._damage(self.current) + self.limits.noise + _ROUNDING
            damages = self._damages([self.current - set(part) for part in parts])
            # Harmless parts first, so that less is in float while the others are searched; the larger of the others
            # before the smaller, since they compete for what is left up to the target.
            for _, part in sorted(zip(damages, parts), key=lambda pair: pair[0] > limit):
                self._prune(part)

    def _requantize(self, allowed: float) -> None:
        """Quantize single units again while the damage is `allowed`: the least harmful first, of equals the largest."""
        tried = self._ordered(self.current)
        while tried:
            now = self._damage(self.current)
            after = self._damages([self.current - {unit} for unit in tried])
            harm = {unit: damage - now for unit, damage in zip(tried, after)}
            self.gave.update(harm)
            harmless = [unit for unit, damage in zip(tried, after) if damage <= allowed]
            if not harmless:
                return
            least = min(harmless, key=lambda unit: (max(harm[unit], 0.0), -unit.macs))
            self._quantize((least,), f"costs {max(harm[least], 0.0):.2f} points")
            tried = tuple(unit for unit in harmless if unit != least)

    # What is decided, and the record of it.

    def _revert(self, whole: _Set, why: str) -> None:
        new = self._ordered(whole - self.current)
        self.current = whole
        self._record("revert", new, why)

    def _quantize(self, units: _Block, why: str) -> None:
        self.current = self.current - set(units)
        self._record("requantize", units, why)

    def _record(self, action: str, units: _Block, why: str) -> None:
        damage, share = self.known.get(self.current), self._share(self.current)
        self.steps.append(Step(action, _names(units), damage, share, why))

    def _result(self, exhausted: Optional[str]) -> Fallback:
        excluded = [Reverted(unit.layers, unit.macs, self.gave.get(unit)) for unit in self._ranked()]
        return Fallback(
            tuple(excluded),
            self.known.get(self.current),
            self._share(self.current),
            self._passes(self.current),
            len(self.known),
            tuple(self.steps),
            exhausted,
        )

    def _ranked(self) -> _Block:
        """What is in float, what gave back most first."""
        return tuple(sorted(self._ordered(self.current), key=lambda unit: -self.gave.get(unit, -math.inf)))

    # Measuring, and what follows from it at once.

    def _damages(self, sets: Sequence[_Set]) -> list[float]:
        """Points lost with each of `sets` in float; measures those that are new, a few at a time."""
        fresh = [item for item in dict.fromkeys(sets) if item not in self.known]
        for first in range(0, len(fresh), self.limits.parallel):
            batch = fresh[first : first + self.limits.parallel]
            self._afford(len(batch))
            answers = self.measure([frozenset(_names(item)) for item in batch])
            if len(answers) != len(batch):
                raise ValueError("one answer for each set")
            for item, answer in zip(batch, answers):
                self.known[item] = CRASHED if answer is None else answer
        return [self.known[item] for item in sets]

    def _afford(self, more: int) -> None:
        if self.clock() >= self.ends:
            raise _Stop("budget", f"the budget of {self.limits.seconds:g} s is spent")
        most = self.limits.evaluations
        if most is not None and len(self.known) + more > most:
            raise _Stop("budget", f"{len(self.known)} of at most {most} evaluations are spent")

    def _damage(self, item: _Set) -> float:
        return self._damages([item])[0]

    def _gains(self, blocks: Sequence[_Block]) -> list[float]:
        now = self._damage(self.current)
        return [now - damage for damage in self._damages([self.current | set(block) for block in blocks])]

    def _passes(self, item: _Set) -> bool:
        enough = self._share(item) >= self.limits.share - _ROUNDING
        return enough and self.known.get(item, CRASHED) <= self.limits.target + _ROUNDING

    def _share(self, item: _Set) -> float:
        return _macs(unit for unit in self.units if unit not in item)

    def _room(self) -> float:
        """Share of the multiply-accumulates that may still be reverted."""
        return self._share(self.current) - self.limits.share + _ROUNDING

    def _fits(self, block: _Block) -> bool:
        return min(unit.macs for unit in block) <= self._room()

    def _ordered(self, units: Collection[_Unit]) -> _Block:
        return tuple(unit for unit in self.units if unit in units)
