"""A network that works, but that TorchScript cannot express."""


def unscriptable(network):
    """Give a network, weights and all, a forward pass with a construct that has no script."""
    kind = type(network)

    def forward(self, x):
        return next(kind.forward(self, part) for part in [x])

    network.__class__ = type("Unscriptable", (kind,), {"forward": forward})
    return network
