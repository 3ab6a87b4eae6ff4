"""`python -m tipcap`: the command line, in this process."""

from tipcap.cli import main

if __name__ == "__main__":
    main()
