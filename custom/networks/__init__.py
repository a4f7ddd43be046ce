"""Networks, their blocks, and noise schedules."""
