"""The run folder: its settings, its provenance, written and opened."""
