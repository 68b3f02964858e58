"""Networks whose code is a library's, and so no file of this project."""
