"""`python -m tfdistill` is the `tfdistill` command."""

from tfdistill.cli import main

if __name__ == "__main__":
    main()
