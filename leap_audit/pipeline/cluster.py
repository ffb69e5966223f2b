"""Units of work on the workers of a Ray cluster.

A worker is a process with a loaded model. The model is put into Ray's object store once, and every
node copies it once. A worker has one unit at a time, and its result is stored here as it comes. A
worker that is lost is replaced, and its unit is performed again.
"""

import contextlib
import math
import pickle
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from leap_audit.errors import ClusterUnavailable, LeapAuditError, LessOptimised, reason_of
from leap_audit.pipeline.connection import connected, ray_module
from leap_audit.pipeline.execution import Advance, Executor, InThisProcess, Results
from leap_audit.pipeline.placement import Footprint, worker_environment
from leap_audit.pipeline.units import NO_SUPPLY, Supplied, Supply, Unit
from leap_audit.pipeline.work import Loaded
from leap_audit.pipeline.worker import Facts, Performed, Worker
from leap_audit.progress import Progress
from leap_audit.text.numbers import count

__all__ = ["ClusterExecutor", "executor_at"]

EVERY = 0.5
"""Seconds between two looks at how far the units are."""
NODES_EVERY = 30.0
"""Seconds between two looks for nodes that have joined the cluster."""
PATIENCE = 60.0
"""Seconds without a worker after which an audit says what it waits for, and goes on."""
TOGETHER = 10.0
"""Seconds that the other workers are waited for once one has started."""
ATTEMPTS = 3
"""Workers that one unit may lose; starts that may fail one after the other."""
EARLY = 16
"""Workers that are started before there are units."""
LOOK = "look"
"""The group of calls that a worker answers while it computes."""


@contextlib.contextmanager
def executor_at(
    address: str | None,
    loaded: Loaded,
    progress: Progress,
    *,
    seed: int,
    memory: int,
    workers: int = 1,
) -> Iterator[Executor]:
    """Yield the executor on the cluster at an address; None: in this process.

    seed: of the audit. memory: bytes that a worker takes. workers: units that this process
    computes at once. Raises RuntimeMissing or ClusterUnavailable.
    """
    if address is None:
        yield InThisProcess(loaded, workers)
        return
    with connected(address):
        executor = ClusterExecutor(loaded, progress, seed=seed, memory=memory)
        try:
            yield executor
        finally:
            executor.close()


class _Lost(Exception):
    """A worker is gone."""


@dataclass(eq=False)
class _Member:
    """One of the workers: where it is, and what it is doing."""

    actor: Any
    node: str
    call: Any
    """Reference to what it answers next; None: it is free."""
    facts: Facts | None = None
    """What it said when it started."""
    unit: Unit[Any] | None = None
    """The unit that is waited for."""
    look: Any = None
    """Reference to how far that unit is; None: nobody has asked."""


class ClusterExecutor:
    """The executor on the workers of the cluster that is connected.

    A worker takes as many processors of a node as the audit has threads, or all of them.
    Raises ClusterUnavailable: no node has so many.
    """

    def __init__(self, loaded: Loaded, progress: Progress, *, seed: int, memory: int) -> None:
        self.loaded, self._progress, self._seed = loaded, progress, seed
        self._ray = ray_module()
        gpu = loaded.model.provider.device == "cuda"
        self._footprint = Footprint(loaded.ground.threads, gpu, memory)
        self._spread = loaded.spread(seed)
        self._kind = self._ray.remote(concurrency_groups={LOOK: 1})(Worker)
        self._members: list[_Member] = []
        self._failures = 0
        self._compared = False
        self._looked = time.monotonic()
        rooms = self._rooms()
        self.workers = sum(fits for fits, _ in rooms.values())
        if not self.workers:
            raise ClusterUnavailable(
                f"no node of the Ray cluster has {self._footprint}; ask for fewer with --threads."
            )
        try:
            self._model = self._ray.put(loaded.model)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ClusterUnavailable(
                f"the model cannot be sent to Ray workers ({reason_of(error)}); leave --ray out, "
                "or save the model as ONNX."
            ) from error
        self._ground = loaded.ground
        self._fill(EARLY)
        threads = loaded.ground.threads
        progress.note(
            f"Ray: up to {count(self.workers, 'worker')} on {count(len(rooms), 'node')}, "
            f"{count(threads, 'thread') if threads else 'all cores of a node'} each."
        )
        self._await_workers()

    def close(self) -> None:
        """End the workers."""
        for member in self._members:
            self._ray.kill(member.actor)
        self._members = []

    def results(self, units: Sequence[Unit[Any]], advance: Advance) -> Results:
        """Yield each of the units with its result, as workers finish them.

        Raises ClusterUnavailable: a unit has lost ATTEMPTS workers, or there is no worker.
        """
        waiting, losses, moved = deque(units), Counter[str](), Counter[str]()
        supplies = _Supplies(self._ray)
        self._fill(len(units))
        try:
            while waiting or any(member.unit for member in self._members):
                if time.monotonic() - self._looked > NODES_EVERY:
                    self._fill(len(waiting) + len(self._busy()))
                for member in self._members:
                    if waiting and member.facts and member.call is None:
                        self._give(member, waiting.popleft(), supplies)
                for member in self._answered():
                    unit = member.unit
                    try:
                        answer = self._answer_of(member)
                    except _Lost as error:
                        if unit is not None:
                            losses[unit.key] += 1
                            _tell_loss(self._progress, unit, losses[unit.key], str(error))
                            waiting.appendleft(unit)
                        continue
                    if unit is not None and answer is not None:
                        advance(max(0, unit.steps - moved[unit.key]))
                        yield unit, answer.result
                self._count(moved, advance)
        finally:
            for member in self._busy():
                assert member.unit is not None
                self._aside(member.actor.stop).remote(member.unit.key)
                member.unit = None

    def _await_workers(self) -> None:
        """Wait until workers have started: what is timed here would be slower meanwhile."""
        began, first = time.monotonic(), math.inf
        with self._progress.stage("Starting Ray workers", len(self._members)) as advance:
            while any(member.facts is None for member in self._members):
                for member in self._answered():
                    with contextlib.suppress(_Lost):
                        self._answer_of(member)
                        advance()
                now = time.monotonic()
                if first == math.inf and any(member.facts for member in self._members):
                    first = now
                if now - first > TOGETHER or now - began > PATIENCE:
                    break
        if first == math.inf:
            self._progress.note(f"Waiting for a Ray worker: each takes {self._footprint}.")

    def _busy(self) -> list[_Member]:
        """The workers with a unit that is waited for."""
        return [member for member in self._members if member.unit is not None]

    # Workers

    def _rooms(self) -> dict[str, tuple[int, dict[str, float]]]:
        """Node -> how many workers fit it, and what each takes of it."""
        found = {
            node["NodeID"]: self._footprint.room(node["Resources"])
            for node in self._ray.nodes()
            if node["Alive"]
        }
        return {node: room for node, room in found.items() if room[0]}

    def _fill(self, most: int) -> None:
        """Start workers where there is room, one on each node before a second on any.

        most: no more than so many in all. Raises ClusterUnavailable: there is no node any more.
        """
        self._looked, rooms = time.monotonic(), self._rooms()
        if most and not rooms and not self._members:
            raise ClusterUnavailable(
                f"no node of the Ray cluster has {self._footprint} any more. The same command goes "
                "on from there, with or without --ray."
            )
        there = Counter(member.node for member in self._members)
        for number in range(max((fits for fits, _ in rooms.values()), default=0)):
            for node, (fits, takes) in rooms.items():
                if there[node] <= number < fits and len(self._members) < most:
                    there[node] += 1
                    self._members.append(self._started(node, takes))

    def _started(self, node: str, takes: Mapping[str, float]) -> _Member:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self._kind.options(
            **takes,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            runtime_env={"env_vars": worker_environment()},
        ).remote(self._model, self._ground)
        return _Member(actor, node, actor.start.remote(self._seed))

    def _give(self, member: _Member, unit: Unit[Any], supplies: "_Supplies") -> None:
        bare, supply = supplies.apart(unit)
        member.unit = unit
        member.call = member.actor.perform.remote(bare, unit.key, supply)

    def _aside(self, method: Any) -> Any:
        """A method of a worker, to be called while it computes."""
        return method.options(concurrency_group=LOOK)

    def _answered(self) -> list[_Member]:
        """Wait a little for the workers, and return one that has answered, if any."""
        calls = {member.call: member for member in self._members if member.call is not None}
        if not calls:
            time.sleep(EVERY)
            return []
        ready, _ = self._ray.wait(list(calls), num_returns=1, timeout=EVERY)
        return [calls[each] for each in ready]

    def _answer_of(self, member: _Member) -> Performed | None:
        """Take what a worker answered; None where it has started, or its unit was given up.

        Raises what the unit raised. Raises _Lost: the worker is gone, and has been replaced.
        """
        call, unit = member.call, member.unit
        member.call = member.look = member.unit = None
        try:
            found = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if member.facts and unit is None:
                return None
            if not member.facts and isinstance(error.cause, LeapAuditError):
                raise ClusterUnavailable(
                    f"the Ray worker on {self._host(member)} cannot compute: {error.cause}."
                ) from error
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            self._replace(member, _why(error))
            raise _Lost(_why(error)) from error
        if isinstance(found, Facts):
            self._failures, member.facts = 0, found
            self._compare(found)
            return None
        answer: Performed = pickle.loads(found)
        for sentence in answer.warned:
            warnings.warn(sentence, LessOptimised, stacklevel=2)
        return answer

    def _replace(self, member: _Member, why: str) -> None:
        """Start another worker for one that is gone, unless none of them can start."""
        self._members.remove(member)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(member.actor)
        if not member.facts:
            self._failures += 1
            if any(each.facts for each in self._members):
                return  # until the next look for nodes: this one may be going
            if self._failures >= ATTEMPTS:
                raise ClusterUnavailable(
                    f"the Ray worker on {self._host(member)} does not start ({why}); leap-audit "
                    "must be installed on every node as it is here."
                )
        self._fill(len(self._members) + 1)

    def _compare(self, facts: Facts) -> None:
        """Warn, once, where a node computes other last bits than this machine."""
        if facts.spread != self._spread and not self._compared:
            self._compared = True
            self._progress.warn(
                f"{facts.host} computes other last digits than this machine, as other processors "
                "do: another run may differ from this one in them."
            )

    def _host(self, member: _Member) -> str:
        nodes = {node["NodeID"]: node for node in self._ray.nodes()}
        return str(nodes.get(member.node, {}).get("NodeManagerHostname", "a node"))

    # Progress

    def _count(self, moved: Counter[str], advance: Advance) -> None:
        """Advance by what the workers have moved since the last look; key -> steps in `moved`."""
        advance(0)  # time passes also where nothing moves
        for member in self._busy():
            assert member.unit is not None
            key = member.unit.key
            if member.look is None:
                member.look = self._aside(member.actor.steps).remote(key)
                continue
            if not self._ray.wait([member.look], timeout=0)[0]:
                continue
            steps = 0
            with contextlib.suppress(self._ray.exceptions.RayError):  # its call says why
                steps = self._ray.get(member.look)
            member.look = None
            if (further := steps - moved[key]) > 0:
                moved[key] = steps
                advance(further)


class _Supplies:
    """The pictures that several units share, sent once."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._sent: dict[int, tuple[Supply, Any]] = {}

    def apart(self, unit: Unit[Any]) -> tuple[Unit[Any], Any]:
        """Return the unit without its supply, and a reference to that; None where it has none."""
        if not isinstance(unit, Supplied):
            return unit, None
        supply = unit.supply
        if id(supply) not in self._sent:
            self._sent[id(supply)] = supply, self._ray.put(supply)
        return replace(unit, supply=NO_SUPPLY), self._sent[id(supply)][1]


def _tell_loss(progress: Progress, unit: Unit[Any], times: int, why: str) -> None:
    """Warn that a worker was lost. Raises ClusterUnavailable: it is the last one for this unit."""
    if times < ATTEMPTS:
        progress.warn(f"A Ray worker was lost at {unit.title} ({why}): they are repeated.")
        return
    raise ClusterUnavailable(
        f"{times} Ray workers were lost at {unit.title} ({why}). What is finished is kept, and the "
        "same command goes on from there. A smaller --batch takes less memory, and with more "
        "--threads there are fewer workers on a node."
    )


def _why(error: Exception) -> str:
    """What Ray says of a worker that is gone, in a few words."""
    said = str(error)
    if "low on memory" in said:
        return "its node ran low on memory"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if lines and "creation task" in lines[0]:
        return lines[-1][:200].rstrip(".")
    return reason_of(error)
