"""Loss landscapes: what the loss looks like around a network, with and without noise, and along its anneal."""

from lehr.landscape.curvature import Curvature, hessian_eigenvalues
from lehr.landscape.loss import exact_loss, sampled_loss
from lehr.landscape.relief import rescaled, shape
from lehr.landscape.scan import directions, plane
from lehr.landscape.snapshot import MOMENTS, Snapshot, from_folder, snapshots
from lehr.landscape.trajectory import path

__all__ = [
    "MOMENTS", "Curvature", "Snapshot", "directions", "exact_loss", "from_folder", "hessian_eigenvalues", "path",
    "plane", "rescaled", "sampled_loss", "shape", "snapshots",
]  # fmt: skip
