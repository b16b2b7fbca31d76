"""The version, said once more in pyproject.toml; a test holds them equal."""

__version__ = "0.1.0"
