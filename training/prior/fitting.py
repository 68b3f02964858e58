"""One noisy image, one network: the optimisation of the deep image prior, iteration by iteration.

Ulyanov, Vedaldi, Lempitsky: Deep image prior. IJCV 2020, doi:10.1007/s11263-020-01303-4. A network is fitted to the
noisy image from a fixed random input; it learns structure before noise, so an early iterate is denoised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.prior.configuration import Configuration
from training.prior.network import INPUT_CHANNELS, SkipNetwork
from training.prior.stopping import Iteration, MovingVariance
from training.util.allocator import keep_freed_memory

_INPUT_SCALE = 0.1
_LEARNING_RATE = 0.01
_CHECKPOINT = 100  # iterations
_LARGEST_DROP = 5.0  # dB
_SEEDING = Lock()  # weights are drawn from torch's one generator, and workers of a cluster fit in several threads


@dataclass(frozen=True)
class Options:
    """What may differ from AUTO-DIP's optimisation.

    Attributes
    ----------
    input_noise : float
        Standard deviation of fresh normal noise on the input in each iteration.
    averaging : float
        Weight of the earlier results in the exponential average that is the result; 0: the last iterate.
    stop : bool
        Whether the fit ends by itself (``MovingVariance``), at the latest after all its iterations.
    """

    input_noise: float = 0.0
    averaging: float = 0.0
    stop: bool = False


ORIGINAL = Options(input_noise=1 / 30, averaging=0.99)
"""Those of the paper of 2020."""


def start(shape: Sequence[int], configuration: Configuration, seed: int) -> tuple[SkipNetwork, Tensor]:
    """Return the network and the random input (1, 32, Y, X) that a seed gives, the same on every device."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SkipNetwork(configuration.widths, configuration.skip)
        noise = torch.rand(1, INPUT_CHANNELS, *shape) * _INPUT_SCALE
    return network, noise.contiguous(memory_format=torch.channels_last)


class Fit:
    """The fit of one network to one image, an iteration at a time.

    Parameters
    ----------
    image : ndarray, float32, (Y, X)
        The noisy image, from 0 to 1.
    configuration : Configuration
        Its iterations are for the caller to count; see ``fit``.
    seed : int
        Of the weights, the input and the noise on it.
    options : Options
    device : str
        In torch's words.

    Raises
    ------
    UserError
        If the image is too small for the configuration's depth.
    """

    def __init__(
        self,
        image: NDArray[np.float32],
        configuration: Configuration,
        *,
        seed: int,
        options: Options | None = None,
        device: str = "cpu",
    ) -> None:
        configuration.check_fits(image.shape, "the image")
        keep_freed_memory()
        self._options = options or Options()
        network, noise = start(image.shape, configuration, seed)
        self._network, self._input = network.to(device), noise.to(device)
        self._image = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None].to(device)
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=_LEARNING_RATE, fused=True)
        self._noise = torch.Generator(device).manual_seed(seed)
        self._average: Tensor | None = None
        self._checkpoint: tuple[float, list[Tensor]] = (-np.inf, [])
        self.number = 0
        self.loss = np.nan

    def step(self) -> Tensor:
        """Run one iteration and return the result so far, (Y, X), on the fit's device."""
        self._optimiser.zero_grad()
        out = self._network(self._perturbed())
        loss = functional.mse_loss(out, self._image)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self.number += 1
        self.loss = loss.item()
        if self.number % _CHECKPOINT == 0:
            self._go_back_or_keep()
        return self._averaged(out.detach()[0, 0])

    def _perturbed(self) -> Tensor:
        if not self._options.input_noise:
            return self._input
        fresh = torch.empty_like(self._input).normal_(generator=self._noise)
        return fresh.mul_(self._options.input_noise).add_(self._input)

    def _averaged(self, out: Tensor) -> Tensor:
        weight = self._options.averaging
        if not weight:
            return out
        self._average = out if self._average is None else torch.lerp(out, self._average, weight)
        return self._average

    def _go_back_or_keep(self) -> None:
        """Take the weights of the last checkpoint where the fit has become much worse since, else keep today's."""
        psnr = -10 * np.log10(max(self.loss, 1e-12))
        weights = list(self._network.parameters())
        before, kept = self._checkpoint
        if psnr < before - _LARGEST_DROP:
            with torch.no_grad():
                for weight, value in zip(weights, kept, strict=True):
                    weight.copy_(value)
        else:
            self._checkpoint = psnr, [weight.detach().clone() for weight in weights]


def fit(
    image: NDArray[np.float32],
    configuration: Configuration,
    *,
    seed: int,
    options: Options | None = None,
    device: str = "cpu",
    every: int = 0,
    watch: Callable[[Iteration], object] | None = None,
    tell: Callable[[int, float], object] | None = None,
) -> Iteration:
    """Fit a network to an image and return the last iteration, or with ``options.stop`` the one that was chosen.

    Parameters
    ----------
    image, configuration, seed, options, device
        As of ``Fit``.
    every : int
        How many iterations apart ``watch`` is called; 0: never.
    watch : callable, optional
        Called with an ``Iteration``, its image included.
    tell : callable, optional
        Called after each iteration with its number and its loss.

    Raises
    ------
    UserError
        If the image is too small for the configuration's depth.
    """
    options = options or Options()
    going = Fit(image, configuration, seed=seed, options=options, device=device)
    rule = MovingVariance() if options.stop else None
    for number in range(1, configuration.iterations + 1):
        result = going.step()
        if tell is not None:
            tell(number, going.loss)
        if watch is not None and every and number % every == 0:
            watch(Iteration(number, going.loss, _array(result)))
        if rule is not None and rule.ended(Iteration(number, going.loss, _array(result))):
            break
    return Iteration(number, going.loss, _array(result)) if rule is None else rule.best


def _array(result: Tensor) -> NDArray[np.float32]:
    return np.array(result.cpu().numpy(), np.float32)
