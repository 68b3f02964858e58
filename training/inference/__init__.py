"""Any denoiser over images of any size and axes, in tiles where memory asks for them."""
