"""Speed, measured as ratios inside one run: `make bench`, or `make bench ONLY=P1,P12`. See docs/benchmarks.md."""
