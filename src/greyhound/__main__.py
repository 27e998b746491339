"""`python -m greyhound` is `greyhound`."""

from greyhound.cli import main

if __name__ == "__main__":
    main()
