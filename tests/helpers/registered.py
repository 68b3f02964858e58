"""A network from a file outside of the tree, for a while."""

from contextlib import contextmanager

from training.networks import NETWORKS, register


@contextmanager
def registered(path):
    """Have the network of a file in ``NETWORKS``."""
    network = register(path)
    try:
        yield network
    finally:
        del NETWORKS[network.name]
