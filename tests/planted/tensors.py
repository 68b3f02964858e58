"""Test tensors that do not belong to the network, or that no tool reads as they were meant."""

import numpy as np

from planted.spoiling import Family

TENSORS = Family("tensors")
FIJI, QUPATH, ILASTIK, SITE, CORE = "Fiji (deepImageJ)", "QuPath", "ilastik", "BioImage.IO", "bioimageio.core"
EVERY = (FIJI, QUPATH, ILASTIK, SITE, CORE)


@TENSORS.fault("test-output", "off the test output", engines=("torch", "onnxruntime"))
def output_shifted_by_a_pixel(package):
    """The test output is shifted by one pixel"""
    package.save_tensor("output", np.roll(package.tensor("output"), 1, axis=-1))


@TENSORS.fault("test-tensors", "float64", tools=EVERY)
def output_in_double_precision(package):
    """The test output is float64, described as float32"""
    package.save_tensor("output", package.tensor("output").astype(np.float64))


@TENSORS.fault("test-tensors", "Fortran order", tools=EVERY)
def input_in_fortran_order(package):
    """The test input is stored in Fortran order"""
    package.save_tensor("input", np.asfortranarray(package.tensor("input")))


@TENSORS.fault("test-tensors", "120 along y", tools=EVERY)
def output_with_axes_swapped(package):
    """Height and width of the test output are swapped"""
    package.save_tensor("output", np.ascontiguousarray(package.tensor("output").swapaxes(2, 3)))


@TENSORS.fault("test-tensors", "80 along y, but 96 follows", tools=EVERY)
def output_without_its_halo(package):
    """The test output was saved after its halo was cut off"""
    package.save_tensor("output", np.ascontiguousarray(package.tensor("output")[..., 8:-8, 8:-8]))


@TENSORS.fault("informative-test", "0 everywhere", tools=(ILASTIK, SITE, CORE))
def zeros_as_a_test(package):
    """The test input is all zeros, and the test output what the network makes of them"""
    import torch

    image = np.zeros_like(package.tensor("input"))
    package.save_tensor("input", image)
    package.save_tensor("output", package.model(torch.from_numpy(image)).numpy())


@TENSORS.fault("informative-test", "NaN or infinite", tools=(ILASTIK, SITE, CORE))
def nan_on_both_sides(package):
    """The test input holds NaN, and so does the test output: they agree"""
    for name in ("input", "output"):
        package.save_tensor(name, np.full_like(package.tensor(name), np.nan))
