"""Approximate answers where no junction tree fits: messages with loops, weighted samples."""
