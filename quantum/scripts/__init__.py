"""Circuits that PennyLane hands to a device: operators with values in them, not traced (floor 6).

`script` runs one through the engine, `readout` measures with shots, `branches` follows measurements
in mid-circuit, `derivatives` and `bridge` serve PennyLane's own interfaces.
"""
