"""Tables that only evaluations of micro-MRI have."""
