"""Steps of a training that the host does not hold up: captured once for each layout and played again.

A step is forward, backward and update. What it reads is copied into memory of its own first, so the same launches
serve every batch of a layout. Before a capture the step is run a few times, as libraries need, and what it changed
is put back: every whole batch is computed by what was captured, also after a resume.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from tipcap.core.training_batches import Packed
from tipcap.errors import reason_of

Run = Callable[[], None]
Parts = dict[str, Tensor]
LossOf = Callable[[Packed, Tensor, Tensor], Parts]
"""The parts of the loss of a batch like the first, whose floats and integers lie where the others say."""
_WARM_UPS = 3


@runtime_checkable
class Recorder(Protocol):
    """How a device captures what it is asked to do."""

    def warm_up(self, run: Run) -> None:
        """Do it as often as libraries need before it."""
        ...

    def capture(self, run: Run) -> Run:
        """Return what does it again, without doing it."""
        ...


class CudaRecorder:
    """CUDA graphs, on a stream of their own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    def warm_up(self, run: Run) -> None:
        """Do it as often as libraries need before it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    run()
        finally:
            torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, run: Run) -> Run:
        """Return what does it again, without doing it."""
        graph = torch.cuda.CUDAGraph()
        # a thread prepares batches meanwhile, whose calls are none of this capture's
        with torch.cuda.graph(
            graph, stream=self._stream, capture_error_mode="thread_local"
        ):
            run()
        replay: Run = graph.replay
        return replay


def has_compiler() -> bool:
    """Return whether PyTorch's compiler may work for a GPU here."""
    return find_spec("triton") is not None


def compiled(function: Callable[..., Parts]) -> Callable[..., Parts]:
    """Return a function as PyTorch's compiler makes it for arguments of the same shapes.

    Kernels are not chosen by timing where that can be asked for: a resumed training must choose the same.
    """
    from torch._inductor import list_options  # slow to import

    options: dict[str, str | int | bool | Callable[..., Any]] = {"deterministic": True}
    known = "deterministic" in list_options()
    fast: Callable[..., Parts] = torch.compile(
        function, dynamic=False, options=options if known else None
    )
    return fast


class _Played(NamedTuple):
    """A captured step: where it reads, what it leaves, and what does it again."""

    floats: Tensor
    integers: Tensor
    parts: Parts
    again: Run


class Steps:
    """Makes updates from packed batches, in the fastest way that works here."""

    def __init__(
        self,
        loss_of: LossOf,
        update: Callable[[Tensor], None],
        optimiser: torch.optim.Optimizer,
        changing: Sequence[Tensor],
        device: torch.device,
        recorder: Recorder | None = None,
        *,
        compiles: bool = False,
        captures_update: bool = True,
    ) -> None:
        """Set up.

        Args:
            loss_of: see there; gradients flow through it.
            update: makes the step after the backward pass, at a learning rate that lies on the device.
            optimiser: of the update.
            changing: all that an update changes.
            device: to compute on.
            recorder: of the device; None captures nothing.
            compiles: whether to try PyTorch's compiler for the usual layout.
            captures_update: false where processes average their gradients in it.
        """
        self._loss_of, self._update, self._optimiser = loss_of, update, optimiser
        self._changing, self._device = changing, device
        self._recorder, self._captures_update = recorder, captures_update
        self._compiles = compiles
        self._played: dict[object, _Played] = {}
        self.refused: list[str] = []
        """Ways that did not work here, with the reason."""

    @property
    def way(self) -> str:
        """How whole batches are computed."""
        if self._recorder is None:
            return "step by step"
        return "captured, compiled" if self._compiles else "captured"

    def facts(self) -> dict[str, str]:
        """Return how steps are computed, for the record, and what did not work here."""
        refused = {"steps_refused": "; ".join(self.refused)} if self.refused else {}
        return {"steps": f"packed, {self.way}", **refused}

    def __call__(self, packed: Packed) -> Parts:
        """Make a step and return the parts of its loss, on the device; waits for nothing."""
        if packed.is_whole and self._recorder is not None:
            kind = (packed.layout, *packed.shapes)
            if kind not in self._played:
                self._capture(kind, packed)
        if packed.is_whole and self._recorder is not None:
            played = self._played[kind]
            played.floats.copy_(packed.floats, non_blocking=True)
            played.integers.copy_(packed.integers, non_blocking=True)
            played.again()
            if not self._captures_update:
                self._update(packed.rate(played.floats))
            return {name: part.clone() for name, part in played.parts.items()}
        floats, integers = (
            numbers.to(self._device, non_blocking=True)
            for numbers in (packed.floats, packed.integers)
        )
        parts = self._gradients(lambda: self._loss_of(packed, floats, integers))
        self._update(packed.rate(floats))
        return parts

    def _gradients(self, loss: Callable[[], Parts]) -> Parts:
        """Compute a loss and its gradients, which stay where they are once they are there."""
        self._optimiser.zero_grad(set_to_none=False)
        parts = loss()
        torch.stack(list(parts.values())).sum().backward()
        return {name: part.detach() for name, part in parts.items()}

    def _capture(self, kind: object, packed: Packed) -> None:
        """Capture a step for batches like one, in the first way that works."""
        while self._recorder is not None:
            before = [tensor.detach().clone() for tensor in self._changing]
            # a rare layout would not bring back what its compilation takes
            compiles = self._compiles and packed.is_usual
            try:
                self._played[kind] = self._recorded(packed, self._recorder, compiles)
            except Exception as error:  # libraries and drivers fail in their own ways
                self.refused.append(f"{self.way}: {reason_of(error)}")
                if compiles:
                    self._compiles = False
                else:
                    self._recorder = None
                continue
            finally:
                with torch.no_grad():
                    for tensor, value in zip(self._changing, before, strict=True):
                        tensor.copy_(value)
            return

    def _recorded(self, packed: Packed, recorder: Recorder, compiles: bool) -> _Played:
        floats, integers = (
            torch.empty_like(numbers, device=self._device, pin_memory=False).copy_(
                numbers
            )
            for numbers in (packed.floats, packed.integers)
        )
        like = packed._replace(floats=floats, integers=integers)

        def loss_at(floats: Tensor, integers: Tensor) -> Parts:
            return self._loss_of(like, floats, integers)

        loss = compiled(loss_at) if compiles else loss_at
        parts: Parts = {}

        def run() -> None:
            found = self._gradients(lambda: loss(floats, integers))
            if self._captures_update:
                self._update(packed.rate(floats))
            parts.update(found)

        recorder.warm_up(run)
        return _Played(floats, integers, parts, recorder.capture(run))
