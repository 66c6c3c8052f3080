"""Measurements: where time goes, side by side with other ways, as ratios within one run. No test asserts a time."""
