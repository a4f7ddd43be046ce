"""The science of each study: what its paper plots and tabulates beyond an evaluation."""
