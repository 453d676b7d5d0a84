"""Modules on disk: safetensors and JSON with a checksum each (floor 1)."""
