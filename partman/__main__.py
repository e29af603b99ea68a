"""``python -m partman`` is ``partman``."""

from partman.cli import main

if __name__ == "__main__":
    main()
