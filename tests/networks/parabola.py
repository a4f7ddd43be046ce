"""The closed form of the variance along an anchored path with the parabola."""

from torch import Tensor


def parabola_variance(step: Tensor, num_steps: int, sigma: float) -> Tensor:
    r"""Return the variance of :math:`x_t` under the parabola, in closed form.

    .. math::
        \operatorname{Var}[x_t] = \tfrac{8}{15} \sigma^2 T^{-4}\, t (t + 1)
        [6 t^3 - 15 t^2 T + 9 t^2 + 10 t T^2 - 15 t T + t + 5 T^2 - 1]

    At ``t = T`` this is :math:`\tfrac{8}{15} \sigma^2 (T^4 - 1) / T^3`.

    Args:
        step: ``t``, in ``0..T``.
        num_steps: ``T``.
        sigma: Deviation that one step adds where the profile is 1.

    Returns:
        The variance, float64, of the shape of ``step``.

    Erratum:
        Printed as ``Var[x_T]``, the variance of the end, though it depends on ``t``.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        equations (27) and (28).
    """
    t, end = step.double(), float(num_steps)
    bracket = 6 * t**3 - 15 * t**2 * end + 9 * t**2 + 10 * t * end**2 - 15 * t * end + t
    return 8 / 15 * sigma**2 / end**4 * t * (t + 1) * (bracket + 5 * end**2 - 1)
