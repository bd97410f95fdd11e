"""Benchmarks: `make bench`. Figures drift with the machine; read the ratios and the medians."""
