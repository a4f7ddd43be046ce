"""What only evaluations of micro-MRI tabulate."""
