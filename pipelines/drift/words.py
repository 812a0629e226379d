"""What tables of residual preference call their differences."""

RESIDUAL = {
    "taken": "taken by the rebuild",
    "left": "left after it, beyond a seed",
    "found": "found by the control",
}
"""By the name of a figure."""
