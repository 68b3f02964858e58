"""What tests share: small runs, packages and images, and the ways to spoil them."""
