"""What the check asks of files in processes of its own: the formats against one another, bioimageio's own test."""
