"""Fine-tuning of published Gaussian denoisers on fluorescence images, from files on disk to a run folder."""
