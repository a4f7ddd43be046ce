"""Event handlers of trainings."""
