"""The Bayes limit: the least error that an estimator can have."""
