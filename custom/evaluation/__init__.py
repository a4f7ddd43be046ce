"""Measure, tabulate and draw what each method gives."""
