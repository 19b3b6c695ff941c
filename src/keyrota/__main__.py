"""`python -m keyrota`."""

from keyrota.app.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
