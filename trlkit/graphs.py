"""A whole training step as one CUDA graph."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trlkit.contraction.captured import capturing

WARM_UP = 2  # steps before a capture, in which libraries set themselves up


def graphed(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
) -> "GraphedStep":
    """Train by one launch a step: forward, loss, backward and optimizer as a CUDA graph.

    Parameters
    ----------
    model : Module
        On one GPU; nothing in its forward pass may wait for the GPU or decide by its numbers.
    loss : callable
        ``loss(model(x), target)`` is a tensor of shape ().
    optimizer : Optimizer
        Of the model's parameters. Those that have the option are made ``capturable``.

    Returns
    -------
    GraphedStep
        ``step(x, target)`` gives the loss, as a new tensor.

    Notes
    -----
    The step is captured at the first batch, and again when the optimizer's settings (the
    learning rate of a schedule, say) or the model's mode have changed. A batch of another shape
    or dtype, the last of an epoch for example, and everything on a CPU takes the same step
    without a graph. Capturing leaves parameters, buffers, the optimizer's state and the random
    numbers as they were. Between captures, tensor dropout draws new masks at every step.

    Examples
    --------
    >>> from trlkit import CPTRL
    >>> model = CPTRL((4, 5), 3, rank=2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> step = graphed(model, nn.functional.cross_entropy, optimizer)
    >>> step(torch.randn(8, 4, 5), torch.zeros(8, dtype=torch.long)).shape
    torch.Size([])
    """
    return GraphedStep(model, loss, optimizer)


class GraphedStep:
    """What :func:`graphed` gives."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        own = {id(parameter) for parameter in model.parameters()}
        for group in optimizer.param_groups:
            if any(id(parameter) not in own for parameter in group["params"]):
                raise ValueError(
                    "the optimizer has parameters that are not the model's: make it of "
                    "model.parameters(), after the model is on its device"
                )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self._shape: tuple | None = None
        self._settings: tuple | None = None

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Take one step on a batch.

        Parameters
        ----------
        x : Tensor
            What the model takes.
        target : Tensor
            The loss' second argument.

        Returns
        -------
        Tensor of shape ()
            The loss, detached, before the step.

        Raises
        ------
        RuntimeError
            If the step cannot be captured, with torch's reason.
        """
        shape = x.shape, x.dtype, x.device, target.shape, target.dtype
        if not x.is_cuda or (self._shape is not None and shape != self._shape):
            return self._step(x, target).detach()
        if self._settings_now() != self._settings:
            self._capture(x, target)
            self._shape, self._settings = shape, self._settings_now()
        torch._foreach_copy_(self._inputs, [x.detach(), target])
        self._graph.replay()
        return self._output.clone()

    def _step(self, x: Tensor, target: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        cached = torch.is_autocast_cache_enabled()
        # Casts that autocast keeps from before are of parameters as they were then.
        torch.set_autocast_cache_enabled(False)
        try:
            value = self.loss(self.model(x), target)
        finally:
            torch.set_autocast_cache_enabled(cached)
        value.backward()
        self.optimizer.step()
        return value

    def _settings_now(self) -> tuple:
        """What a graph was captured with and cannot follow."""
        groups = [
            tuple((key, value) for key, value in group.items() if key != "params")
            for group in self.optimizer.param_groups
        ]
        modes = tuple(module.training for module in self.model.modules())
        return *groups, modes, torch.is_autocast_enabled("cuda")

    def _capture(self, x: Tensor, target: Tensor) -> None:
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True
        for state in self.optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and not value.is_cuda:
                    state[key] = value.to(x.device)  # the count of steps, as a rule
        self._inputs = [x.detach().clone(), target.clone()]
        side, now = torch.cuda.Stream(x.device), torch.cuda.current_stream(x.device)
        held, numbers = self._held(), torch.cuda.get_rng_state(x.device)
        strict = torch.cuda.get_sync_debug_mode()
        side.wait_stream(now)
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self._step(*self._inputs)
                torch.cuda.set_sync_debug_mode("error")  # what waits is found before the capture
                self._step(*self._inputs)
            torch.cuda.set_sync_debug_mode(strict)
            now.wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with capturing(self._graph, side):
                self._output = self._step(*self._inputs).detach()
        except RuntimeError as error:
            raise RuntimeError(
                "the training step cannot be captured as a CUDA graph; most often something in "
                "the model or the loss waits for the GPU (.item(), a branch on a tensor, a copy "
                f"from the CPU): take it out, or step without graphed(). torch says: {error}"
            ) from error
        finally:
            torch.cuda.set_sync_debug_mode(strict)
            self._put_back(held)
            torch.cuda.set_rng_state(numbers, x.device)

    def _held(self) -> tuple[list[tuple[Tensor, Tensor]], dict]:
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return (
            [(tensor, tensor.detach().clone()) for tensor in tensors],
            {
                parameter: {key: copy.deepcopy(value) for key, value in state.items()}
                for parameter, state in self.optimizer.state.items()
            },
        )

    def _put_back(self, held: tuple[list[tuple[Tensor, Tensor]], dict]) -> None:
        """Undo the steps of warming up, in the memory that the graph reads."""
        tensors, states = held
        with torch.no_grad():
            for tensor, before in tensors:
                tensor.copy_(before)
            for parameter, state in self.optimizer.state.items():
                before = states.get(parameter, {})
                for key, value in state.items():
                    if isinstance(value, Tensor):
                        value.copy_(before[key]) if key in before else value.zero_()
                    elif key in before:
                        state[key] = before[key]
