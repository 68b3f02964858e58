"""The layer between an image and a denoiser, its constants, and what they are measured and searched with."""
