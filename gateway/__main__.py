"""`python -m gateway` is the `sealgate` command."""

from gateway.cli.main import run

if __name__ == "__main__":
    run()
