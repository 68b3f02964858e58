"""Rules times engines over a package, judged, and the certificate that says what came of it."""
