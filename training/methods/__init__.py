"""How a network learns, a method a file."""
