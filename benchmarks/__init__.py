"""Benchmarks: ./dev bench NAME measures and writes its part of benchmarks/README.md."""
