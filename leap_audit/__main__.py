"""`python -m leap_audit` is `leap-audit`."""

from leap_audit.cli import main

if __name__ == "__main__":
    main()
