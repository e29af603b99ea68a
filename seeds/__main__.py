"""``python -m seeds dev`` is ``partman seed dev``."""

from seeds.cli import main

if __name__ == "__main__":
    main()
