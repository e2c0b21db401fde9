"""`python -m toolkit` is the same program as `toolkit`."""

from toolkit.cli.main import main

if __name__ == "__main__":
    main()
