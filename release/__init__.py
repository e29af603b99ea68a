"""What a release consists of: `make dist` makes it."""
