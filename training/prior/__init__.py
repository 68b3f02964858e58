"""Denoising from one image alone: the deep image prior as AUTO-DIP sets it."""
