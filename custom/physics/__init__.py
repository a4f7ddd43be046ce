"""Signal models as pure functions: k-space acquisition, downsampling, data consistency."""
