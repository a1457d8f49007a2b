"""`python -m adpkv`: the command line."""

from adpkv.cli.app import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
