"""What a 512 x 512 image adds to KBNet's memory: the kernel attention in slices, and as the paper writes it.

python benchmarks/kbnet_memory.py [--size 512] [--width 64]

Each formulation runs in a process of its own, in one go: peak resident memory less that of the loaded network.
"""

import argparse
import json
import resource
import subprocess
import sys
import time


def plainly(content, attention, basis, bias, groups):
    """The kernel attention with every pixel's kernel written out: 36 C numbers a pixel."""
    from torch.nn import functional

    batch, channels, height, width = content.shape
    attention = attention.flatten(2).transpose(1, 2)
    kernels = (attention @ basis).view(batch, height * width, groups, 4, 36)
    patches = functional.unfold(content, 3, padding=1).view(batch, groups, 36, height * width)
    mixed = kernels @ patches.permute(0, 3, 1, 2).unsqueeze(4)
    mixed = mixed.reshape(batch, height * width, channels) + attention @ bias
    return mixed.transpose(1, 2).reshape(batch, channels, height, width)


def measure(formulation, size, width):
    """Run one formulation here and print the bytes that it added, its seconds and a few of its numbers."""
    import torch

    from training.networks import create, kbnet

    torch.manual_seed(0)
    network = create("kbnet", width=width).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.rsplit(".", 1)[-1] in {"ga1", "attgamma", "beta", "gamma"}:
            parameter.fill_(0.3)  # they start at zero, which would hide the kernel attention
    image = torch.rand(1, 1, size, size)
    if formulation == "plain":
        kbnet._kernel_attention = plainly
    network(image[:, :, :32, :32])
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    answer = network(image)
    seconds = time.perf_counter() - start
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - loaded) * 1024
    print(json.dumps({"added": added, "seconds": seconds, "sample": answer.flatten()[::997].tolist()}))


def compare(size=512, width=64):
    """Return the measurements of both formulations, {"sliced": ..., "plain": ...}."""
    results = {}
    for formulation in ("sliced", "plain"):
        command = [sys.executable, __file__, "--size", str(size), "--width", str(width), "--only", formulation]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        results[formulation] = json.loads(answer.stdout)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="height and width of the image")
    parser.add_argument("--width", type=int, default=64, help="channels at the finest level")
    parser.add_argument("--only", choices=("sliced", "plain"), help="run one formulation in this process")
    options = parser.parse_args()
    if options.only:
        measure(options.only, options.size, options.width)
        return
    results = compare(options.size, options.width)
    for formulation, result in results.items():
        print(f"{formulation:8} adds {result['added'] / 1e9:.2f} GB, {result['seconds']:.1f} s")
    print(f"ratio    {results['sliced']['added'] / results['plain']['added']:.3f}")


if __name__ == "__main__":
    main()
