"""The pages about migrations, and the same facts as JSON."""
