"""Scores, residuals and pictures of any function from image to image."""
