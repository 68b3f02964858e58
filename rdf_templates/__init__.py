"""What a package's text files are filled from: RDF, README, architecture, macro and script; data, not code."""
