"""Seconds of an iteration of the deep image prior: as the papers write it, and as it is computed here.

    python benchmarks/autodip_iteration.py [--size 512] [--rounds 12] [--threads 2]

Both run one iteration in turn, each in a process of its own (one keeps freed memory, one does not), from the same
seed. The ratio is that of the medians of processor time, of both processes' threads, and of wall time; the last
column is the largest difference of the two outputs after the first, and after the last iteration, as a part of the
range: the optimisation makes rounding grow.
"""

import argparse
import multiprocessing
import os
import statistics
import time

CONFIGURATIONS = ((4, 32, 4), (8, 32, 4))


def plainly(network, noise):
    """Return what a ``SkipNetwork`` makes of its input by torch's own modules, as the papers' code strings them."""
    import torch
    from torch import nn
    from torch.nn import functional

    def layer(module, features):
        if module.convolution.kernel_size[0] > 1:
            features = nn.ReflectionPad2d(1)(features)
        return functional.leaky_relu(module.norm(module.convolution(features)), 0.2, inplace=True)

    def scale(module, features):
        below = features
        for each in module.down:
            below = layer(each, below)
        below = below if module.deeper is None else scale(module.deeper, below)
        joined = nn.Upsample(scale_factor=2, mode="bilinear")(below)
        if module.skip is not None:
            beside = layer(module.skip, features)
            shape = [min(*lengths) for lengths in zip(joined.shape[2:], beside.shape[2:], strict=True)]
            joined = torch.cat([centre(each, *shape) for each in (beside, joined)], 1)
        joined = module.norm(joined)
        for each in module.up:
            joined = layer(each, joined)
        return joined

    def centre(features, height, width):
        top, left = (features.shape[2] - height) // 2, (features.shape[3] - width) // 2
        return features[:, :, top : top + height, left : left + width]

    return torch.sigmoid(network.last(scale(network.scales, noise)))


class Plain:
    """One fit by the plain formulation, started as ``training.prior.fitting.Fit`` starts."""

    def __init__(self, image, configuration, seed):
        import torch

        from training.prior.fitting import start

        self.image = torch.from_numpy(image)[None, None]
        self.network, self.noise = start(image.shape, configuration, seed)
        self.network.to(memory_format=torch.contiguous_format)
        self.noise = self.noise.contiguous()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.01)

    def step(self):
        """Run one iteration and return its image (Y, X)."""
        self.optimiser.zero_grad()
        out = plainly(self.network, self.noise)
        loss = ((out - self.image) ** 2 + 1e-8).mean()
        loss.backward()
        self.optimiser.step()
        return out.detach()[0, 0]


def work(pipe, formulation, size, configuration, threads):
    """Run an iteration each time that the pipe asks for one, and answer with its times and its image."""
    import numpy as np
    import torch

    from training.prior.configuration import Configuration
    from training.prior.fitting import Fit

    torch.set_num_threads(threads)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / 16
    image = 0.5 + 0.2 * np.sin(rows) * np.cos(columns) + np.random.default_rng(0).normal(0, 0.1, (size, size))
    image = np.clip(image, 0, 1).astype(np.float32)
    depth, width, skip = configuration
    chosen = Configuration(depth=depth, width=width, skip=skip, iterations=10**6)
    fit = Plain(image, chosen, 0) if formulation == "plain" else Fit(image, chosen, seed=0)
    while pipe.recv():
        processor, wall = time.process_time(), time.perf_counter()
        out = fit.step()
        pipe.send((time.process_time() - processor, time.perf_counter() - wall, out.numpy().copy()))


def compare(size, configuration, rounds, threads):
    """Return the times of both formulations, [(processor, wall)] of each round, and the differences of their images."""
    import numpy as np

    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for formulation in ("plain", "ours"):
        pipes[formulation], other = context.Pipe()
        words = (other, formulation, size, configuration, threads)
        processes.append(context.Process(target=work, args=words, daemon=True))
        processes[-1].start()
    times, differences = {name: [] for name in pipes}, []
    for _ in range(rounds):
        images = []
        for name, pipe in pipes.items():
            pipe.send(True)
            processor, wall, image = pipe.recv()
            times[name].append((processor, wall))
            images.append(image)
        differences.append(float(np.abs(images[0] - images[1]).max()))
    for pipe in pipes.values():
        pipe.send(False)
    for process in processes:
        process.join()
    return {name: measured[1:] for name, measured in times.items()}, (differences[0], differences[-1])  # warmed up


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[512])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    print(f"{'size':>5} {'network':>8} {'of':>10} {'plain, s':>9} {'ours, s':>8} {'ratio':>6}   differs")
    for size in options.size:
        for configuration in CONFIGURATIONS:
            times, (first, last) = compare(size, configuration, options.rounds, options.threads)
            for number, clock in enumerate(("processor", "wall")):
                plain, ours = (statistics.median(each[number] for each in times[name]) for name in ("plain", "ours"))
                named = "/".join(map(str, configuration))
                figures = f"{plain:9.3f} {ours:8.3f} {plain / ours:6.2f}   {first:.0e}, {last:.0e}"
                print(f"{size:5} {named:>8} {clock:>10} {figures}", flush=True)


if __name__ == "__main__":
    main()
