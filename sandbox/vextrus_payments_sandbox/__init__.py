"""The local sandbox."""
