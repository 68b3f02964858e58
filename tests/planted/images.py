"""Networks that are right on the example and wrong on another image: its size, its intensities, its place in a row."""

import torch

from planted.spoiling import Family, wrapped

IMAGES = Family("images")
TORCH, BOTH = {"engines": ("torch",)}, {"engines": ("torch", "onnxruntime")}


def _trace(package, module):
    """Put a TorchScript in the place of the package's, with its buffers as they were before tracing."""
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    traced = torch.jit.trace(module, torch.rand(2, 1, 67, 93), check_trace=False)
    for name, buffer in traced.named_buffers():
        buffer.copy_(before[name])
    traced.save(package / "weights.pt")


def _wrong(package, forward):
    _trace(package, wrapped(package.model, forward))


def _divides(package, statistic):
    def forward(model, image):
        divisor = statistic(image, (1, 2, 3), keepdim=True)
        return model(image / divisor * divisor)

    _wrong(package, forward)


def _places(image):
    """Row and column of each pixel, from 1."""
    ones = torch.ones_like(image)
    return ones.cumsum(-2), ones.cumsum(-1)


def _keep(image, kept):
    return image * kept.to(image.dtype)


@IMAGES.fault("larger-image", "returns a shape of 1x1x96x", **TORCH)
def cropped_to_the_example(package):
    """The TorchScript returns no more than the size that it was traced at"""
    height, width = package.tensor("input").shape[-2:]
    _wrong(package, lambda model, image: model(image)[..., :height, :width])


@IMAGES.fault("larger-image", "on an image larger than the test image", **BOTH)
def wrong_in_the_far_corner(package):
    """The TorchScript blackens the lower right corner of what is both higher and wider than the example"""

    def forward(model, image):
        row, column = _places(image)
        return _keep(model(image), (row <= 96) | (column <= 120))

    _wrong(package, forward)


@IMAGES.fault("larger-image", "on a wide image", **BOTH)
def wrong_beyond_a_width(package):
    """The TorchScript knows positions up to 500 pixels"""
    _wrong(package, lambda model, image: _keep(model(image), _places(image)[1] <= 500))


@IMAGES.fault("larger-image", "on a tall image", **BOTH)
def wrong_on_tall_images(package):
    """The TorchScript is wrong in images more than three times as high as wide"""

    def forward(model, image):
        row, column = _places(image)
        return _keep(model(image), row <= 3 * column.amax(-1, keepdim=True))

    _wrong(package, forward)


@IMAGES.fault("intensities", "NaN.*for a(n image of zeros| saturated image)", **TORCH)
def divides_by_the_deviation(package):
    """The TorchScript divides by the image's deviation, which is 0 where all pixels are alike"""
    _divides(package, torch.Tensor.std)


@IMAGES.fault("intensities", "NaN.*for an image of zeros", **TORCH)
def divides_by_the_brightest(package):
    """The TorchScript divides by the image's maximum, which is 0 where it is dark"""
    _divides(package, torch.Tensor.amax)


@IMAGES.fault("intensities", "NaN.*for a saturated image", **TORCH)
def computes_in_half_precision(package):
    """The TorchScript takes its input as float16, which ends at 65504"""
    _wrong(package, lambda model, image: model(image.half().float()))


@IMAGES.fault("intensities", "on a negative image", **BOTH)
def negative_becomes_zero(package):
    """The TorchScript takes negative pixels as 0"""
    _wrong(package, lambda model, image: model(image.relu()))


@IMAGES.fault("intensities", "on a saturated image", **BOTH)
def bright_is_cut_off(package):
    """The TorchScript cuts intensities at 4095, the end of a 12-bit camera"""
    _wrong(package, lambda model, image: model(image.clamp(max=4095)))


@IMAGES.fault("intensities", "on a faint image", **BOTH)
def rounds_to_whole_numbers(package):
    """The TorchScript rounds pixels to whole numbers, as the example's are"""
    _wrong(package, lambda model, image: model(image.round()))


class _WithState(torch.nn.Module):
    """The model with a number that its calls change: ``step(model, image, number)`` gives the result and the next."""

    def __init__(self, model, step):
        super().__init__()
        self.model = model
        self.step = step
        self.register_buffer("number", torch.zeros(1))

    def forward(self, image):
        result, number = self.step(self.model, image, self.number.clone())
        self.number.copy_(number)
        return result


@IMAGES.fault("repeatable", "gives another result for the same image again", **TORCH)
def black_at_the_third_call(package):
    """The TorchScript counts its calls and is black at the third"""
    _trace(package, _WithState(package.model, lambda model, image, n: (_keep(model(image), n != 2), n + 1)))


@IMAGES.fault("agrees-with-test", "off the test output", **BOTH)
def measures_the_first_image_alone(package):
    """The TorchScript takes the mean of the first image that it is given for that of all"""

    def step(model, image, first):
        mean = image.mean()
        first = torch.where(first == 0, mean, first)
        return model(image - mean + first) - first + mean, first

    _trace(package, _WithState(package.model, step))


@IMAGES.fault("carries-over", "an image that it had before", **TORCH)
def scales_by_the_brightest_so_far(package):
    """The TorchScript scales by the brightest pixel of all images that it was given"""

    def step(model, image, top):
        top = torch.maximum(top, image.amax())
        return model(image) * (1 + top / 1000), top

    traced = _WithState(package.model, step)
    _trace(package, traced)
    traced.number.zero_()
    package.save_tensor("output", traced(torch.from_numpy(package.tensor("input"))).detach().numpy())


@IMAGES.fault("batch", "when two come at once", **TORCH)
def the_second_of_a_batch_is_darker(package):
    """The TorchScript halves the second image of a batch"""
    _wrong(package, lambda model, image: torch.cat([model(image)[:1], model(image)[1:] / 2]))


@IMAGES.fault("batch", "when two come at once", **TORCH)
def statistics_of_the_batch(package):
    """The TorchScript subtracts the mean of all images of the batch, and adds that of each"""
    _wrong(package, lambda model, image: model(image - image.mean() + image.mean((1, 2, 3), keepdim=True)))
