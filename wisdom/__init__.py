"""The wisdom: wolf quotes on a steady tick, over a typed protocol."""
